"""The first baseline, layer by layer as in the competition's notebook."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from bunri.training.networks.fcn8s import FCN8s


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return FCN8s(12).eval()


def describe(layer):
    """Return the kind and the sizes of a layer."""
    match layer:
        case nn.Conv2d() | nn.ConvTranspose2d():
            kind = "up" if isinstance(layer, nn.ConvTranspose2d) else "conv"
            assert layer.bias is not None
            assert layer.dilation == (1, 1)
            assert layer.groups == 1
            sizes = {layer.kernel_size, layer.stride, layer.padding}
            assert all(size[0] == size[1] for size in sizes)
            inner = (layer.kernel_size[0], layer.stride[0], layer.padding[0])
            return (kind, layer.in_channels, layer.out_channels, *inner)
        case nn.MaxPool2d():
            return ("pool", layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
        case nn.ReLU():
            return "relu"
        case nn.Dropout():
            return ("dropout", layer.p)
    raise AssertionError(layer)


def block(*channels):
    """Return VGG's 3x3 convolutions with ReLU between these widths, and the pooling."""
    layers = []
    for before, after in pairwise(channels):
        layers += [("conv", before, after, 3, 1, 1), "relu"]
    return [*layers, ("pool", 2, 2, 0, False)]


def test_fcn8s__encoder_is_vgg16_cut_at_17_and_24(network):
    parts = [[describe(layer) for layer in part] for part in network.encoder]
    assert parts == [
        [*block(3, 64, 64), *block(64, 128, 128), *block(128, 256, 256, 256)],  # [0:17]
        block(256, 512, 512, 512),  # [17:24]
        block(512, 512, 512, 512),  # [24:31]
    ]
    assert [len(part) for part in parts] == [17, 7, 7]


def test_fcn8s__encoder_strides_and_widths(network):
    pixels = torch.zeros(1, 3, 64, 96)
    pool3 = network.encoder[0](pixels)
    pool4 = network.encoder[1](pool3)
    pool5 = network.encoder[2](pool4)
    assert pool3.shape == (1, 256, 8, 12)  # 1/8
    assert pool4.shape == (1, 512, 4, 6)  # 1/16
    assert pool5.shape == (1, 512, 2, 3)  # 1/32


def test_fcn8s__fc6_and_fc7(network):
    assert [describe(layer) for layer in network.fc] == [
        ("conv", 512, 4096, 1, 1, 0),
        "relu",
        ("dropout", 0.5),
        ("conv", 4096, 4096, 1, 1, 0),
        "relu",
        ("dropout", 0.5),
    ]


def test_fcn8s__scores(network):
    assert describe(network.score_fc) == ("conv", 4096, 12, 1, 1, 0)
    assert describe(network.score_pool3) == ("conv", 256, 12, 1, 1, 0)
    assert describe(network.score_pool4) == ("conv", 512, 12, 1, 1, 0)


def test_fcn8s__upsampling(network):
    assert describe(network.upscore2) == ("up", 12, 12, 4, 2, 1)
    assert describe(network.upscore2_pool4) == ("up", 12, 12, 4, 2, 1)
    assert describe(network.upscore8) == ("up", 12, 12, 16, 8, 4)


def test_fcn8s__has_no_other_layers(network):
    assert {name for name, _ in network.named_children()} == {
        *("encoder", "fc", "score_fc", "score_pool3", "score_pool4"),
        *("upscore2", "upscore2_pool4", "upscore8"),
    }


def test_fcn8s__number_of_parameters(network):
    def conv(before, after, kernel_px=3):
        return before * after * kernel_px**2 + after  # weights, then one bias an output

    vgg16 = (
        conv(3, 64) + conv(64, 64)  # 1,792 + 36,928
        + conv(64, 128) + conv(128, 128)  # 73,856 + 147,584
        + conv(128, 256) + 2 * conv(256, 256)  # 295,168 + 2 * 590,080
        + conv(256, 512) + 2 * conv(512, 512)  # 1,180,160 + 2 * 2,359,808
        + 3 * conv(512, 512)  # 3 * 2,359,808
    )  # fmt: skip
    assert vgg16 == 14_714_688
    fully_connected = conv(512, 4096, 1) + conv(4096, 4096, 1)
    assert fully_connected == 2_101_248 + 16_781_312
    scores = conv(4096, 12, 1) + conv(512, 12, 1) + conv(256, 12, 1)
    assert scores == 49_164 + 6_156 + 3_084
    upsampling = 2 * conv(12, 12, 4) + conv(12, 12, 16)
    assert upsampling == 2 * 2_316 + 36_876
    expected = vgg16 + fully_connected + scores + upsampling
    assert expected == 33_697_160
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("size_hw", [(32, 32), (64, 96)])
def test_fcn8s__output_has_a_score_per_class_and_pixel(network, size_hw):
    with torch.no_grad():
        assert network(torch.zeros(2, 3, *size_hw)).shape == (2, 12, *size_hw)


def test_fcn8s__forward_adds_the_skips_in_the_notebooks_order(network):
    """The whole forward pass written out once more, from the layers by name."""
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pool3 = network.encoder[0](pixels)
        pool4 = network.encoder[1](pool3)
        pool5 = network.encoder[2](pool4)
        up = network.upscore2(network.score_fc(network.fc(pool5)))
        up = network.upscore2_pool4(up + network.score_pool4(pool4))
        expected = network.upscore8(up + network.score_pool3(pool3))
        assert torch.equal(network(pixels), expected)
        # Each of the three scores matters, or the comparison above would prove little.
        for name in ("score_fc", "score_pool3", "score_pool4"):
            layer = network.get_submodule(name)
            bias = layer.bias.clone()
            layer.bias += 1.0
            assert not torch.allclose(network(pixels), expected)
            layer.bias.copy_(bias)


def test_fcn8s__number_of_classes_is_free():
    with torch.device("meta"):
        assert FCN8s(5)(torch.zeros(1, 3, 32, 32)).shape == (1, 5, 32, 32)

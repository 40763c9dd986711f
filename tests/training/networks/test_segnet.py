"""SegNet is VGG16-BN and its mirror, and puts every maximum back where it was."""

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import nn
from torchvision.models import vgg16_bn

from bunri.training.networks.segnet import SegNet


def list_convs(part):
    return [
        (m.in_channels, m.out_channels, m.kernel_size, m.padding)
        for m in part.modules()
        if isinstance(m, nn.Conv2d)
    ]


def test_segnet__encoder_computes_what_torchvisions_vgg16_bn_does():
    torch.manual_seed(1)
    features = vgg16_bn(weights=None).features.train()
    network = SegNet(3)
    names = network.encoder.state_dict()
    values = features.state_dict().values()
    network.encoder.load_state_dict(dict(zip(names, values, strict=True)))
    pixels = torch.rand(2, 3, 64, 64)
    found = pixels
    with torch.no_grad():
        for stage in network.encoder:
            found = F.max_pool2d(stage(found), 2)
        expected = features(pixels)
    assert expected.std() > 0.01
    assert torch.equal(found, expected)


def test_segnet__decoder_is_the_mirror_but_for_the_classes():
    with torch.device("meta"):
        network = SegNet(7)
    encoder, decoder = list_convs(network.encoder), list_convs(network.decoder)
    classifier = list_convs(network.classifier)
    assert len(encoder) == 13
    mirrored = [(after, before, *rest) for before, after, *rest in reversed(encoder)]
    assert decoder == mirrored[:-1]
    assert classifier == [(64, 7, (3, 3), (1, 1))]
    stages = [len(list_convs(stage)) for stage in network.decoder]
    assert stages == [3, 3, 3, 2, 1]  # the classifier is the last stage's second


def test_segnet__number_of_parameters():
    def block(before, after):
        return before * after * 9 + after + 2 * after  # convolution with bias, normalisation

    widths = [3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    pairs = list(pairwise(widths))
    encoder = sum(block(before, after) for before, after in pairs)
    decoder = sum(block(after, before) for before, after in pairs[1:]) + 64 * 12 * 9 + 12
    with torch.device("meta"):
        network = SegNet(12)
    assert sum(p.numel() for p in network.encoder.parameters()) == encoder
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder == 29_449_932


def test_segnet__maxima_return_to_their_places():
    """With stages that change nothing, only the maximum of each 32 x 32 square is left."""
    network = SegNet(2)
    network.encoder = nn.ModuleList(nn.Identity() for _ in range(5))
    network.decoder = nn.ModuleList(nn.Identity() for _ in range(5))
    network.classifier = nn.Identity()  # type: ignore[assignment]
    pixels = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    squares = pixels.unfold(2, 32, 32).unfold(3, 32, 32)  # (N, C, 2, 3, 32, 32)
    largest = squares.amax(dim=(-2, -1), keepdim=True)
    kept = torch.where(squares == largest, squares, 0.0)
    expected = kept.permute(0, 1, 2, 4, 3, 5).reshape(pixels.shape)
    assert torch.equal(network(pixels), expected)

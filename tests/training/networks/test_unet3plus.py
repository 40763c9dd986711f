"""U-Net 3+: its heads, its guide, and which scales reach which depth."""

from typing import Any

import pytest
import torch

from bunri.training.config import LossConfig, ModelConfig
from bunri.training.losses.losses import compute_loss, compute_training_loss
from bunri.training.networks.build import build_network
from bunri.training.networks.unet3plus import FullScaleDecoder
from tests.builders import write_data
from tests.cli.runner import list_train_arguments, run


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    config = ModelConfig(
        name="unet3plus",
        encoder="test_efficientnet",
        weights="none",
        decoder_channels=64,
        dropout=0.0,
    )
    return build_network(config, 4)[0]


@pytest.fixture
def pixels():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(4))


def test_forward__evaluation_is_the_mean_of_the_heads(network, pixels):
    with torch.no_grad():
        together = network.eval()(pixels)
        network.training = True  # alone: every part stays in evaluation mode
        heads = network(pixels)
    assert len(heads) == 5
    torch.testing.assert_close(together, sum(heads) / 5)
    assert not torch.allclose(heads[0], heads[4])


def test_forward__an_absent_class_loses_everywhere(network, pixels):
    """The guide sees one score a photo; a low one outweighs any pixel's own logit."""
    with torch.no_grad():
        before = network.eval()(pixels)
        bias = network.presence[1].bias
        kept = bias.clone()
        bias[2] = -1000.0
        after = network(pixels)
        bias.copy_(kept)
    assert (before.argmax(dim=1) == 2).any() or before[:, 2].min() > -100
    assert not (after.argmax(dim=1) == 2).any()
    torch.testing.assert_close(after[:, [0, 1, 3]], before[:, [0, 1, 3]])


def test_presence__learns_from_the_segmentation_loss_alone(network, pixels):
    """A class that is nowhere gets a lower score, one that is everywhere a higher one."""
    network.train().zero_grad()
    targets = torch.full((2, 64, 96), 1)
    compute_training_loss(network(pixels), targets, LossConfig(dice=0.0)).backward()
    gradient = network.presence[1].bias.grad
    network.zero_grad()
    assert gradient[1] < 0
    assert (gradient[[0, 2, 3]] > 0).all()


def test_full_scale_decoder__every_scale_reaches_every_depth():
    scales = [(3, 2), (4, 4), (5, 8)]
    decoder = FullScaleDecoder(scales, 2).eval()
    features = [
        torch.rand(1, channels, 64 // stride, 32 // stride, requires_grad=True)
        for channels, stride in scales
    ]
    maps = decoder(features)
    assert [tuple(m.shape) for m in maps] == [(1, 6, 32, 16), (1, 6, 16, 8), (1, 5, 8, 4)]
    assert decoder.scales == [(6, 2), (6, 4), (5, 8)]
    for depth in maps[:2]:
        gradients = torch.autograd.grad(depth.sum(), features, retain_graph=True)
        assert all(g.abs().sum() > 0 for g in gradients)


def test_full_scale_decoder__what_is_finer_is_pooled_by_its_maximum():
    """One bright pixel of the finest scale is still there at its place two scales deeper."""
    depth: Any = FullScaleDecoder([(1, 2), (1, 4), (1, 8), (1, 16)], 1).eval().depths[2]
    assert [type(branch[0]).__name__ for branch in depth.branches] == [
        "MaxPool2d",
        "MaxPool2d",
        "Identity",
        "Upsample",
    ]
    bright = torch.zeros(1, 1, 16, 16)
    bright[0, 0, 5, 10] = 7.0
    pooled = depth.branches[0][0](bright)
    assert pooled.shape == (1, 1, 4, 4)
    assert pooled[0, 0, 1, 2] == pooled.sum() == 7.0
    assert depth.branches[3][0](torch.ones(1, 1, 2, 2)).shape == (1, 1, 4, 4)


def test_compute_training_loss__is_the_mean_over_outputs():
    generator = torch.Generator().manual_seed(1)
    logits = [torch.randn(2, 3, 4, 5, generator=generator) for _ in range(3)]
    targets = torch.randint(0, 3, (2, 4, 5), generator=generator)
    config = LossConfig(ce=1.0, dice=0.5)
    single = [compute_loss(x, targets, config) for x in logits]
    torch.testing.assert_close(
        compute_training_loss(logits, targets, config), (single[0] + single[1] + single[2]) / 3
    )
    assert compute_training_loss(logits[0], targets, config) == single[0]
    assert compute_training_loss(tuple(logits[:1]), targets, config) == single[0]


def test_compute_training_loss__every_output_is_taught():
    outputs = [torch.zeros(1, 2, 2, 2, requires_grad=True) for _ in range(2)]
    targets = torch.tensor([[[0, 1], [1, 0]]])
    compute_training_loss(outputs, targets, LossConfig(ce=1.0, dice=0.0)).backward()
    expected = (
        (torch.full((1, 2, 2, 2), 0.5) - torch.nn.functional.one_hot(targets, 2).movedim(-1, 1))
        / 4
        / 2
    )
    for logits in outputs:
        torch.testing.assert_close(logits.grad, expected)


def test_train__with_several_logits(tmp_path):
    """The whole command: steps on five heads, validation and prediction on their mean."""
    data = write_data(tmp_path / "data", counts=(3, 2, 1))
    settings = ("name=unet3plus", "encoder=test_efficientnet")
    arguments = list_train_arguments(
        data,
        tmp_path / "run",
        *(f"model.{setting}" for setting in settings),
        "train.epochs=1",
        "train.samples_per_epoch=3",
    )
    assert run(*arguments).code == 0
    photo = data.folder / "batch_01" / "test_0000.png"
    assert run("predict", tmp_path / "run", photo, "--out", tmp_path / "out").code == 0

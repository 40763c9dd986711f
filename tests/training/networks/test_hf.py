"""transformers' networks: the contract, and the same logits as transformers' own classes."""

import dataclasses
import sys
from typing import Any, get_args

import pytest
import torch

from bunri.core.errors import ConfigError, MissingExtraError, WeightsError
from bunri.training.config import LossConfig, ModelConfig, ModelName
from bunri.training.losses.losses import compute_training_loss
from bunri.training.networks.build import build_network
from bunri.training.networks.weights import PretrainedWeights
from tests.training.networks.test_build import NetworkContract

pytest.importorskip("transformers")

import segmentation_models_pytorch as smp
from safetensors.torch import save_file
from transformers import EomtForUniversalSegmentation, Mask2FormerForUniversalSegmentation

from bunri.training.networks import hf
from bunri.training.networks.hf_networks import combine_queries

TINY_SIZES: dict[str, dict[str, Any]] = {
    "hf_segformer": {"hidden_sizes": (8, 16, 24, 32), "num_attention_heads": (1, 1, 2, 2)},
    "hf_mask2former": {
        "backbone": {"embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 32,
        "dim_feedforward": 32,
        "encoder_layers": 1,
        "decoder_layers": 4,
        "num_attention_heads": 2,
        "num_queries": 9,
    },
    "hf_eomt": {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_blocks": 2,
        "num_queries": 9,
        "image_size": 96,
    },
}


@pytest.fixture(scope="module", autouse=True)
def _tiny_sizes():
    """Add a size ``tiny`` to each network."""
    families = {
        name: dataclasses.replace(
            family, sizes={**family.sizes, "tiny": hf._Size(TINY_SIZES[name], "test/tiny")}
        )
        for name, family in hf._FAMILIES.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hf, "_FAMILIES", families)
        yield


def build(config, num_classes):
    """Return a network, typed so that tests may access its parts."""
    network: Any = build_network(config, num_classes)[0]
    return network


def configure(name, encoder="tiny", weights="none"):
    return ModelConfig(
        name=name, encoder=encoder, weights=weights, decoder_channels=64, dropout=0.0
    )


class TestHfSegformer(NetworkContract):
    config = configure("hf_segformer")


class TestHfMask2former(NetworkContract):
    config = configure("hf_mask2former")
    num_outputs = 4


class TestHfEomt(NetworkContract):
    config = configure("hf_eomt")
    num_outputs = 3


def test_network_contract__is_inherited_for_every_name():
    here = [tests for tests in NetworkContract.__subclasses__() if tests.__module__ == __name__]
    names = {name for name in get_args(ModelName) if name.startswith("hf_")}
    assert {tests.config.name for tests in here} == names == set(hf._FAMILIES)


def test_combine_queries__by_hand():
    """Two queries, two classes and "no object", one pixel."""
    classes = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.9, 1e-9]]]).log()
    masks = torch.tensor([0.5, 0.75]).logit().reshape(1, 2, 1, 1)
    expected = [0.5 * 0.5 + 0.1 * 0.75, 0.25 * 0.5 + 0.9 * 0.75]
    found = combine_queries(classes, masks)
    assert found.shape == (1, 2, 1, 1)
    torch.testing.assert_close(found.exp().flatten(), torch.tensor(expected))


@pytest.mark.parametrize("scale", [1.0, 20.0, 1e4])
def test_combine_queries__is_finite_and_its_gradient_too(scale):
    generator = torch.Generator().manual_seed(2)
    classes = (torch.randn(1, 5, 4, generator=generator) * scale).requires_grad_()
    masks = (torch.randn(1, 5, 2, 3, generator=generator) * scale).requires_grad_()
    logits = combine_queries(classes, masks)
    logits.sum().backward()
    for tensor in (logits, classes.grad, masks.grad):
        assert tensor is not None
        assert tensor.isfinite().all()
    # Each of 3 logits has a slope of 1 at most; 6 pixels share the classes.
    assert masks.grad is not None
    assert masks.grad.abs().max() <= 3.001


def test_combine_queries__half_precision_around_it_changes_nothing():
    classes, masks = torch.full((1, 1, 3), 0.0), torch.full((1, 1, 1, 1), -15.0)
    classes[..., 1] = -9.0
    expected = combine_queries(classes, masks)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(combine_queries(classes, masks), expected)
    # 2e-11, which half precision does not know.
    assert expected[0, 1, 0, 0].item() == pytest.approx(-15.0 - 9.0 - 0.6932, abs=0.1)


def without_scipy(monkeypatch, module):
    """Let transformers' classes be built although their loss, never called, wants scipy."""
    monkeypatch.setattr(
        f"transformers.models.{module}.modeling_{module}.requires_backends", lambda *_: None
    )


def test_hf_segformer__same_as_transformers():
    torch.manual_seed(1)
    network = build(configure("hf_segformer"), 5)
    family, size = hf._find(configure("hf_segformer"))
    theirs = family.parts(family.configure(size.settings, configure("hf_segformer"), 5)).eval()
    network.eval()
    network.encoder.load_state_dict(theirs.segformer.state_dict())
    network.decoder.load_state_dict(theirs.decode_head.state_dict())
    pixels = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = torch.nn.functional.interpolate(
            theirs(pixels).logits, size=(64, 96), mode="bilinear"
        )
        torch.testing.assert_close(network(pixels), expected)


@pytest.mark.parametrize(
    ("name", "module", "theirs"),
    [
        ("hf_mask2former", "mask2former", Mask2FormerForUniversalSegmentation),
        ("hf_eomt", "eomt", EomtForUniversalSegmentation),
    ],
)
def test_queries__same_as_transformers(monkeypatch, name, module, theirs):
    """From their weights under their names, on the size EoMT's positions were learned for."""
    without_scipy(monkeypatch, module)
    config = configure(name, weights="imagenet")
    family, size = hf._find(config)
    torch.manual_seed(2)
    reference = theirs(family.configure(size.settings, config, 7)).eval()
    if name == "hf_eomt":
        reference.attn_mask_probs.zero_()  # as their masks are at the end of training
    given = {n: t for n, t in reference.state_dict().items() if "criterion" not in n}
    monkeypatch.setattr(hf, "load_hub_weights", lambda *_: PretrainedWeights(given, "s", "l"))
    network = build(config, 7)
    pixels = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        answer = reference(pixels)
        quarter = combine_queries(answer.class_queries_logits, answer.masks_queries_logits)
        expected = torch.nn.functional.interpolate(quarter, size=(96, 96), mode="bilinear")
        torch.testing.assert_close(network.eval()(pixels), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["hf_mask2former", "hf_eomt"])
def test_build_network__class_layer_of_other_weights_is_made_anew(monkeypatch, name):
    config = configure(name, weights="imagenet")
    family, size = hf._find(config)
    published = family.parts(family.configure(size.settings, config, 150)).state_dict()
    asked = []

    def load(*args):
        asked.append(args)
        return PretrainedWeights(published, "source", "license")

    monkeypatch.setattr(hf, "load_hub_weights", load)
    network = build(config, 3)
    assert asked == [("test/tiny", "main", family.trained_on, family.license)]
    assert network.class_predictor.weight.shape[0] == 4
    query = next(t for n, t in published.items() if n.endswith(("query.weight", "embedder.weight")))
    assert any(p.shape == query.shape and torch.equal(p, query) for p in network.parameters())
    assert network.training


@pytest.mark.parametrize("name", hf._FAMILIES)
def test_build_network__weights_of_another_size(tmp_path, name):
    other = {"hf_segformer": "mit_b0", "hf_eomt": "tiny", "hf_mask2former": "tiny"}[name]
    family, size = hf._find(configure(name, other))
    model = family.parts(family.configure(size.settings, configure(name), 3))
    tensors = {n: t.contiguous() for n, t in model.state_dict().items()}
    tensors.pop(next(n for n in tensors if n.endswith("norm.weight")))
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=f"do not fit {name} with tiny: they lack ") as e:
        build_network(configure(name, weights=str(tmp_path / "w.safetensors")), 3)
    assert "model.weights=none" in e.value.hint


def test_build_network__encoder_of_smp_lands_in_the_same_layers(tmp_path):
    """Under the authors' names of MiT; same features on the same photo."""
    torch.manual_seed(5)
    theirs = smp.encoders.get_encoder("mit_b0", weights=None).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases and scales are not all alike
            parameter.add_(torch.randn_like(parameter) * 0.05)
    save_file(theirs.state_dict(), tmp_path / "mit.safetensors")
    config = configure("hf_segformer", "mit_b0", str(tmp_path / "mit.safetensors"))
    network = build(config, 3)
    pixels = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        found = network.eval().encoder(pixels, output_hidden_states=True).hidden_states
        expected = theirs(pixels)[-4:]
    for ours, their in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, their, atol=1e-4, rtol=1e-4)


def test_load_hf_weights__segformer_takes_the_encoder_of_smp(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "bunri.training.networks.weights.fetch_from_hub", lambda *a: asked.append(a)
    )
    with pytest.raises(WeightsError, match=r"smp-hub/mit_b0\.imagenet could not be loaded"):
        build_network(configure("hf_segformer", "mit_b0", "imagenet"), 3)
    assert asked[0][0] == "smp-hub/mit_b0.imagenet"


@pytest.mark.parametrize("weights", ["none", "imagenet"])
@pytest.mark.parametrize(
    ("name", "wrong", "near"),
    [
        ("hf_segformer", "mit_b6", "mit_b0"),
        ("hf_mask2former", "swin_tinny", "swin_tiny"),
        ("hf_eomt", "tf_efficientnet_lite0", "dinov2_small"),
    ],
)
def test_build_network__unknown_size_names_the_known(name, wrong, near, weights):
    with pytest.raises(ConfigError, match=f"'{wrong}' is not allowed with {name}.*{near}"):
        build_network(configure(name, wrong, weights), 3)


def test_build_network__without_transformers(monkeypatch):
    for name in ("hf", "hf_networks"):
        monkeypatch.delitem(sys.modules, f"bunri.training.networks.{name}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delattr("bunri.training.networks.hf", raising=False)
    with pytest.raises(MissingExtraError, match="transformers, which is not installed") as e:
        build_network(configure("hf_segformer"), 3)
    assert 'pip install "bunri[hf]"' in e.value.hint


def test_sizes__depths_and_widths_are_those_of_the_published_models():
    """Each real size can be built; parameters stand in docs/models.md."""
    for name, family in hf._FAMILIES.items():
        for encoder, size in family.sizes.items():
            if name == "hf_segformer" and encoder != "tiny":
                params = smp.encoders.encoders[encoder]["params"]
                assert list(size.settings["hidden_sizes"]) == params["embed_dims"]
                assert list(size.settings["depths"]) == params["depths"]
            elif encoder != "tiny":
                assert encoder.partition("_")[2] in size.repo


@pytest.mark.parametrize("name", ["hf_mask2former", "hf_eomt"])
def test_queries__learn_from_the_loss_on_pixels(name):
    """Two photos of two halves each, upright and across, are learned within 40 steps."""
    pixels, targets = torch.zeros(2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.int64)
    pixels[0, :, :32], targets[0, :32] = 1.0, 1
    pixels[1, 0, :, 32:], targets[1, :, 32:] = 1.0, 2
    torch.manual_seed(1)
    network = build(configure(name), 4)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = compute_training_loss(network(pixels), targets, LossConfig())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3
    with torch.no_grad():
        right = network.eval()(pixels).argmax(dim=1) == targets
    assert right.float().mean() > 0.95

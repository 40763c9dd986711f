"""What MODEL means: bundles with ONNX files, lone files, and models that ship."""

import json
from dataclasses import replace

import pytest

from bunri.core.errors import ModelError
from bunri.core.files import hash_file
from bunri.model import lookup as stored_model
from bunri.model.bundle import read_bundle, write_bundle
from bunri.model.lookup import find_kept_info, find_model, is_model, open_model
from tests.onnx_models import INFO, make_bytes


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "model", INFO, None, make_bytes())
    return tmp_path / "model"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_model, "SHIPPED_FOLDER", tmp_path / "shipped")
    write_bundle(tmp_path / "shipped" / "bunri-small", INFO, None, make_bytes())
    return tmp_path / "shipped" / "bunri-small"


def test_bundle__of_an_onnx_file_alone(folder):
    stored = open_model(str(folder))
    assert stored.weights == stored.onnx == folder / "model.onnx"
    assert stored.info.weights_sha256 == stored.info.onnx_sha256 == hash_file(stored.weights)
    assert stored.num_bytes == len(make_bytes())
    assert stored.num_parameters == 12
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "bunri.json", "model.onnx"]


def test_bundle__with_both_files_runs_the_onnx_file(tmp_path):
    write_bundle(tmp_path / "both", INFO, b"weights", make_bytes())
    stored = open_model(str(tmp_path / "both"))
    assert stored.weights.name == "model.onnx"
    assert stored.info.weights_sha256 == hash_file(tmp_path / "both" / "model.safetensors")


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx"])
def test_bundle__either_file_changed_or_gone(tmp_path, name):
    write_bundle(tmp_path / "both", INFO, b"weights", make_bytes())
    path = tmp_path / "both" / name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"its SHA-256 differs"):
        read_bundle(tmp_path / "both")
    path.unlink()
    with pytest.raises(ModelError, match=r"is missing"):
        read_bundle(tmp_path / "both")


def test_open_model__lone_file_is_the_same_model(folder, tmp_path):
    lone = tmp_path / "lone.onnx"
    lone.write_bytes((folder / "model.onnx").read_bytes())
    stored = open_model(str(lone))
    assert stored.onnx == lone
    assert stored.info == replace(open_model(str(folder)).info)


def test_shipped__is_found_by_its_name_unless_the_disk_has_it(shipped, folder, monkeypatch):
    assert find_model("bunri-small") == shipped
    monkeypatch.chdir(folder.parent)
    folder.rename(folder.with_name("bunri-small"))
    assert find_model("bunri-small").resolve() == folder.with_name("bunri-small")


def test_shipped__is_named_where_a_model_is_not_found(shipped, tmp_path):
    with pytest.raises(ModelError, match=r"Did you mean 'bunri-small'") as caught:
        find_model(str(tmp_path / "bunri-smal"))
    assert "name of a model that ships" in caught.value.hint


def test_is_model__of_everything_that_may_stand_before_photos(shipped, folder, tmp_path):
    (tmp_path / "lone.onnx").touch()
    for name in ("bunri-small", str(folder), str(tmp_path / "lone.onnx")):
        assert is_model(name)
    for name in (str(tmp_path), "no.onnx", str(folder / "README.md"), "a\0b"):
        assert not is_model(name)


def test_find_kept_info__only_where_something_can_be_kept(shipped, folder, tmp_path):
    assert find_kept_info(str(folder)) == folder / "bunri.json"
    (tmp_path / "lone.onnx").touch()
    for name, what in (("bunri-small", "a part of bunri"), (tmp_path / "lone.onnx", "a single")):
        with pytest.raises(ModelError, match=what):
            find_kept_info(str(name))


def test_open_model__a_bundle_folder_may_be_called_like_a_file(folder):
    place = folder.rename(folder.with_name("model-1.onnx"))
    assert open_model(str(place)).onnx == place / "model.onnx"


def test_bundle__no_hash_is_no_leave_to_skip_the_check(tmp_path):
    write_bundle(tmp_path / "model", INFO, b"weights")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    change_info(tmp_path / "model", weights_sha256="")
    with pytest.raises(ModelError, match=r"its SHA-256 differs"):
        read_bundle(tmp_path / "model")


def test_bundle__a_file_that_nobody_vouches_for(tmp_path):
    write_bundle(tmp_path / "both", INFO, b"weights", make_bytes())
    change_info(tmp_path / "both", onnx_sha256="")
    with pytest.raises(ModelError, match=r"says nothing of .*model\.onnx"):
        read_bundle(tmp_path / "both")


def change_info(folder, **values):
    path = folder / "bunri.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_find_kept_info__a_shipped_model_by_another_path(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"a part of bunri"):
        find_kept_info("shipped/bunri-small")

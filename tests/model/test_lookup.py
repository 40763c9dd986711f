"""What MODEL means: bundles with ONNX files, lone files, and models that ship."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bunri.core.errors import ModelError
from bunri.core.files import hash_file
from bunri.model import lookup as stored_model
from bunri.model.bundle import read_bundle, write_bundle
from bunri.model.lookup import find_model, find_writable_bundle, is_model, open_model
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


def test_find_writable_bundle__neither_shipped_models_nor_files(shipped, folder, tmp_path):
    assert find_writable_bundle(str(folder)) == folder
    (tmp_path / "lone.onnx").touch()
    for name, what in (("bunri-small", "a part of bunri"), (tmp_path / "lone.onnx", "a single")):
        with pytest.raises(ModelError, match=what):
            find_writable_bundle(str(name))


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
    with pytest.raises(ModelError, match=r"has no hash of .*model\.onnx"):
        read_bundle(tmp_path / "both")


def change_info(folder, **values):
    path = folder / "bunri.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_find_writable_bundle__a_shipped_model_by_another_path(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"a part of bunri"):
        find_writable_bundle("shipped/bunri-small")


def test_find_model__bundle_folder(folder):
    assert find_model(str(folder)) == folder


def test_find_model__run_folder(tmp_path):
    write_bundle(tmp_path / "run" / "bundle", INFO, b"weights")
    assert find_model(str(tmp_path / "run")) == tmp_path / "run" / "bundle"


def test_find_model__run_without_a_model_yet(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    with pytest.raises(ModelError, match="no model yet: no epoch was completed") as caught:
        find_model(str(tmp_path / "run"))
    assert "--resume" in caught.value.hint


def test_find_model__a_file(folder):
    with pytest.raises(ModelError, match=r"README\.md is a file, but not an \.onnx file"):
        find_model(str(folder / "README.md"))


def test_find_model__another_folder(tmp_path):
    with pytest.raises(ModelError, match="is neither a run folder nor a bundle folder"):
        find_model(str(tmp_path))


def test_find_model__nearest_names_beside_it(tmp_path):
    for name in ("fpn-512", "fpn-256", "zebra"):
        write_bundle(tmp_path / name, INFO, b"")
    write_bundle(tmp_path / "fpn-run" / "bundle", INFO, b"")
    (tmp_path / "fpn-51").mkdir()
    (tmp_path / "fpn-5.txt").write_text("")
    with pytest.raises(ModelError) as caught:
        find_model(str(tmp_path / "fpn-5120"))
    message = caught.value.message
    assert "There is no model" in message
    assert "Did you mean 'fpn-512'" in message
    assert message.endswith("Allowed: fpn-256, fpn-512, fpn-run, zebra, bunri-small.")


@pytest.mark.parametrize("name", ["nowhere/at/all", "x" * 5000, "a\0b", "\ud800", "a/" * 3000])
def test_find_model__names_that_no_model_can_have(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="There is no model"):
        find_model(name)


def test_find_model__folder_beside_it_that_cannot_be_listed(tmp_path, monkeypatch):
    def fail(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(ModelError, match="There is no model"):
        find_model(str(tmp_path / "model"))


def test_find_model__a_url():
    with pytest.raises(ModelError, match=r"https://example\.com/model\.onnx is a URL"):
        find_model("https://example.com/model.onnx")


def test_open_model__neither_path_nor_name(folder):
    with (folder / "model.onnx").open("rb") as file:
        pass
    wrong: tuple[Any, ...] = (file, b"bunri-small", None, 5)
    for model in wrong:
        with pytest.raises(ModelError, match="is not a model") as caught:
            open_model(model)
        assert repr(model) in caught.value.message


def test_open_model__paths_and_open_models(folder, monkeypatch):
    stored = open_model(folder)
    assert stored == open_model(str(folder))
    monkeypatch.setattr(stored_model, "read_bundle", None)  # it is not read again
    assert open_model(stored) is stored


def test_open_model__run_folder_is_known(folder, tmp_path):
    assert open_model(folder).run_folder is None
    (tmp_path / "run").mkdir()
    folder.rename(tmp_path / "run" / "bundle")
    assert open_model(tmp_path / "run").run_folder == tmp_path / "run"


def test_open_model__from_several_threads(shipped):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(open_model, ["bunri-small"] * 32))
    assert all(one == opened[0] for one in opened)

"""A model on disk: what is written is read back, and nothing else is taken for a model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import ModelError, OutputError
from bunri.core.version import __version__
from bunri.core.waste_classes import COMPETITION_TABLE, choose_class_table
from bunri.images.frames import Preprocessing
from bunri.model import bundle
from bunri.model.bundle import read_bundle, write_bundle
from bunri.model.info import BundleInfo
from bunri.model.lookup import find_model

WEIGHTS = b"not a network, and no one here can tell" * 100
SCORES = {
    "miou": {"global": 0.5, "per_image": None, "per_batch": 0.25, "batch_size": 16},
    "classes": [
        {"name": "Background", "iou": 0.75, "photos": 3, "pixels": 10},
        {"name": "Battery", "iou": None, "photos": 0, "pixels": 0},
    ],
}
INFO = BundleInfo(
    table=COMPETITION_TABLE,
    preprocessing=Preprocessing.build(384, "half"),
    architecture={"name": "fpn", "encoder": "resnet18"},
    training={"epochs": 3, "data": "학습.json", "config": {"seed": 21}},
    scores=SCORES,
    licenses={"weights": "Apache-2.0", "data": "CC BY 4.0"},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    write_bundle(path, INFO, WEIGHTS)
    return path


def edit(folder: Path, **changes: Any) -> None:
    """Change values of ``bunri.json``; ``...`` takes one out."""
    path = folder / "bunri.json"
    content = json.loads(path.read_text("utf-8")) | changes
    content = {key: value for key, value in content.items() if value is not ...}
    path.write_text(json.dumps(content), "utf-8")


# --- writing and reading ------------------------------------------------------------------------


def test_write_bundle__three_files_and_nothing_else(folder):
    names = sorted(path.name for path in folder.parent.rglob("*"))
    assert names == ["README.md", "bunri.json", "model", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_read_bundle__round_trip(folder):
    info = read_bundle(folder)
    assert len(info.weights_sha256) == 64
    assert replace(info, weights_sha256="") == INFO


def test_read_bundle__round_trip_of_another_table(tmp_path):
    info = replace(INFO, table=choose_class_table(["Zebra", "개미"]), scores={}, training={})
    write_bundle(tmp_path / "m", info, b"")
    assert replace(read_bundle(tmp_path / "m"), weights_sha256="") == info


def test_write_bundle__json_says_who_wrote_it_in_readable_korean(folder):
    text = (folder / "bunri.json").read_text("utf-8")
    assert json.loads(text)["bunri"] == __version__
    assert json.loads(text)["format"] == 1
    assert "일반 쓰레기" in text


def test_write_bundle__card_says_what_one_wants_to_know(folder):
    card = (folder / "README.md").read_text("utf-8")
    assert "fpn network" in card
    assert "global 0.5000, per image no data" in card
    assert "per batch of 16 0.2500" in card
    assert "| Background | 0.7500 |  | 3 |" in card
    assert "| Battery | no data |  | 0 |" in card
    assert "- epochs: 3" in card
    assert "- weights: Apache-2.0" in card
    assert "seed" not in card


def test_write_bundle__same_bundle_same_bytes(folder, tmp_path):
    write_bundle(tmp_path / "again", INFO, WEIGHTS)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_write_bundle__replaces_the_old_one(folder):
    (folder / "stray.txt").write_bytes(b"")
    write_bundle(folder, replace(INFO, training={"epochs": 4}), b"new")
    assert read_bundle(folder).training == {"epochs": 4}
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]
    assert not (folder / "stray.txt").exists()


class Crash(BaseException):
    """Stands for a process that ends in the middle."""


@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["write_bytes", "write_json", "write_text", "hash_file"])
def test_write_bundle__failing_between_writes_leaves_the_old_one(folder, monkeypatch, step, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(bundle, step, fail)
    with pytest.raises((Crash, OutputError)):
        write_bundle(folder, replace(INFO, training={"epochs": 4}), b"new")
    monkeypatch.undo()
    assert replace(read_bundle(folder), weights_sha256="") == INFO
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


@pytest.mark.parametrize("number", range(1, 8))
def test_write_bundle__failing_at_any_rename_leaves_a_whole_one(folder, monkeypatch, number):
    rename, calls = Path.replace, []

    def rename_or_crash(path, target):
        calls.append(path)
        if len(calls) == number:
            raise Crash
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", rename_or_crash)
    new = replace(INFO, training={"epochs": 4})
    try:
        write_bundle(folder, new, b"new")
    except Crash:
        pass
    else:
        assert number > 5
    assert replace(read_bundle(folder), weights_sha256="") in (INFO, new)


@pytest.mark.parametrize("changes", [{"scores": {"a": float("nan")}}, {"training": {"a": {1, 2}}}])
def test_write_bundle__values_that_are_no_json_leave_the_old_one(folder, changes):
    with pytest.raises((ValueError, TypeError)):
        write_bundle(folder, replace(INFO, **changes), b"new")
    assert replace(read_bundle(folder), weights_sha256="") == INFO


# --- damage -------------------------------------------------------------------------------------


def test_read_bundle__tampered_weights(folder):
    content = bytearray(WEIGHTS)
    content[1000] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"its SHA-256 differs") as caught:
        read_bundle(folder)
    assert "Copy the bundle again" in caught.value.hint


def test_read_bundle__missing_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        read_bundle(folder)


def test_read_bundle__weights_that_cannot_be_read(folder, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(bundle, "hash_file", fail)
    with pytest.raises(ModelError, match="cannot be read"):
        read_bundle(folder)


@pytest.mark.parametrize("path", ["missing", "model/model.safetensors", "x" * 300, "a\0b"])
def test_read_bundle__no_such_bundle(folder, path):
    with pytest.raises(ModelError, match=r"bunri\.json cannot be read") as caught:
        read_bundle(folder.parent / path)
    assert "A MODEL is a run folder, or a bundle folder" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"format": ' + b"9" * 5000 + b"}"]
)
def test_read_bundle__not_json(folder, content):
    (folder / "bunri.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"bunri\.json cannot be read"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "content", ["[]", "5", "null", "{}", '{"format": "1"}', '{"format": null}', '{"format": 1.0}']
)
def test_read_bundle__json_of_something_else(folder, content):
    (folder / "bunri.json").write_text(content)
    with pytest.raises(ModelError, match="does not describe a bundle"):
        read_bundle(folder)


@pytest.mark.parametrize("value", [True, 0, -1])
def test_read_bundle__format_that_never_was(folder, value):
    edit(folder, format=value)
    with pytest.raises(ModelError, match="does not describe a bundle"):
        read_bundle(folder)


def test_read_bundle__newer_format(folder):
    edit(folder, format=2, bunri="9.0", classes=...)
    with pytest.raises(ModelError, match=r"written by bunri '9\.0', which is newer") as caught:
        read_bundle(folder)
    assert "pip install --upgrade bunri" in caught.value.hint


KEYS = [
    "classes", "preprocessing", "architecture", "training", "scores", "licenses", "weights_sha256",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [..., None, 5, "text", [], [1], True])
def test_read_bundle__value_that_is_missing_or_of_another_kind(folder, key, value):
    edit(folder, **{key: value})
    with pytest.raises(ModelError) as caught:
        read_bundle(folder)
    if (key, value) == ("weights_sha256", "text"):
        assert "its SHA-256 differs" in caught.value.message
    else:
        assert "bunri.json is incomplete or damaged" in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"size_px": 0}, {"size_px": -32}, {"size_px": "512"}, {"size_px": 512.5}, {"size_px": None},
        {"size_px": 1e999}, {"size_px": float("nan")}, {"size_px": 10**9}, {"size_px": True},
        {"mean_rgb": [0.5, 0.5]}, {"mean_rgb": 0.5}, {"mean_rgb": [0.5, 0.5, "0.5"]},
        {"mean_rgb": [0.5, 0.5, float("nan")]}, {"mean_rgb": [0.5, 0.5, 1e999]},
        {"std_rgb": [0.5, 0.5, 0.0]}, {"std_rgb": [0.5, 0.5, -0.1]}, {"std_rgb": "abc"},
        {"std_rgb": [0.5, 0.5, 0.5, 0.5]}, {"std_rgb": [0.5, 0.5, None]},
    ],
)  # fmt: skip
def test_read_bundle__preprocessing_that_cannot_be(folder, changes):
    content = json.loads((folder / "bunri.json").read_text("utf-8"))["preprocessing"]
    edit(folder, preprocessing=content)
    read_bundle(folder)
    edit(folder, preprocessing=content | changes)
    with pytest.raises(ModelError, match=r"bunri\.json is incomplete or damaged"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "rows",
    [
        [], {}, ["a", "b"], [{"name": "Background"}],
        [{"name": "A", "name_ko": "", "color_rgb": [0, 0, 0]}],
        [{"name": n, "name_ko": "", "color_rgb": [0, 0, 300]} for n in "AB"],
        [{"name": "A", "name_ko": "", "color_rgb": [0, 0, 0]}] * 2,
    ],
)  # fmt: skip
def test_read_bundle__classes_that_cannot_be(folder, rows):
    edit(folder, classes=rows)
    with pytest.raises(ModelError, match=r"bunri\.json is incomplete or damaged"):
        read_bundle(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "model"
    write_bundle(path, INFO, b"")
    return path


@given(key=st.sampled_from([*KEYS, "format", "bunri"]), value=JSON)
def test_read_bundle__any_value_is_read_or_refused(shared_folder, key, value):
    path = shared_folder / "bunri.json"
    before = path.read_bytes()
    try:
        edit(shared_folder, **{key: value})
        read_bundle(shared_folder)
    except ModelError as error:
        assert str(error)  # noqa: PT017 (either outcome is right)
    finally:
        path.write_bytes(before)


# --- what MODEL means ---------------------------------------------------------------------------


def test_find_model__bundle_folder(folder):
    assert find_model(str(folder)) == folder


def test_find_model__run_folder(tmp_path):
    write_bundle(tmp_path / "run" / "bundle", INFO, WEIGHTS)
    assert find_model(str(tmp_path / "run")) == tmp_path / "run" / "bundle"


def test_find_model__run_without_a_model_yet(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    with pytest.raises(ModelError, match="no model yet: no epoch was completed") as caught:
        find_model(str(tmp_path / "run"))
    assert "--resume" in caught.value.hint


def test_find_model__a_file(folder):
    with pytest.raises(ModelError, match="is a file, not a bundle"):
        find_model(str(folder / "model.safetensors"))


def test_find_model__another_folder(tmp_path):
    with pytest.raises(ModelError, match="is neither a run nor a bundle"):
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

"""A model on disk: what is written is read back, and nothing else is taken for a model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bunri.core.errors import ModelError, OutputError
from bunri.core.version import __version__
from bunri.core.waste_classes import COMPETITION_TABLE, choose_class_table
from bunri.images.frames import Preprocessing
from bunri.model import bundle
from bunri.model.bundle import read_bundle, write_bundle
from bunri.model.info import BundleInfo

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
    assert "Network: fpn, frames of 384 pixels" in card
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
    assert "A MODEL is a run folder; a bundle folder" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 200_000, b'{"format": ' + b"9" * 5000 + b"}"]
)
def test_read_bundle__something_else(folder, content):
    (folder / "bunri.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"bunri\.json is incomplete or damaged"):
        read_bundle(folder)


def test_read_bundle__newer_format(folder):
    edit(folder, format=2, bunri="9.0", classes=...)
    with pytest.raises(ModelError, match=r"written by bunri '9\.0', which is newer") as caught:
        read_bundle(folder)
    assert "pip install --upgrade bunri" in caught.value.hint


KEYS = [
    "classes", "preprocessing", "architecture", "training", "scores", "licenses", "weights_sha256",
]  # fmt: skip
WHITE_PAPER = {"size_px": 384, "mean_rgb": [1, 1, 1], "std_rgb": [1, 1, 0]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict.fromkeys(KEYS, ...), KEYS),
        ({"format": 0}, ["format"]),
        ({"preprocessing": WHITE_PAPER}, ["preprocessing.std_rgb.2"]),
        ({"training_photos": "not hashes"}, ["training_photos"]),
        ({"classes": [{"name": "Background"}]}, ["class table"]),
        ({"classes": [{"name": "A", "name_ko": "", "color_rgb": [0, 0, 0]}]}, ["class table"]),
    ],
)
def test_read_bundle__all_faults_are_named(folder, changes, named):
    edit(folder, **changes)
    with pytest.raises(ModelError, match=r"bunri\.json is incomplete or damaged") as caught:
        read_bundle(folder)
    assert all(name in str(caught.value) for name in named)


def test_read_bundle__keys_of_a_later_version_are_ignored(folder):
    edit(folder, later="a fact that this version does not use")
    assert replace(read_bundle(folder), weights_sha256="") == INFO


def test_write_prediction__keeps_the_rest(folder):
    bundle.write_prediction(folder, {"settings": {"flips": ["horizontal"]}, "evidence": {}})
    stored = read_bundle(folder)
    assert stored.prediction["settings"] == {"flips": ["horizontal"]}
    assert replace(stored, prediction={}, weights_sha256="") == INFO

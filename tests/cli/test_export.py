"""``bunri export``: a bundle without torch that says the same, or nothing and the reason."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bunri.exporting import parity
from bunri.model.bundle import read_bundle
from bunri.model.lookup import open_model
from tests.builders import write_data
from tests.cli.runner import run


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """Both kinds of bundle of the trained model, with what was printed of the second."""
    folder = tmp_path_factory.mktemp("exported")
    data = write_data(folder / "data", (16, 4, 3), size_hw=(48, 64))
    notes = folder / "notes.md"
    notes.write_text("## Weaknesses\n\nPaints only rectangles.\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BUNRI_CACHE", str(folder / "cache"))
        # Two epochs of training leave classes nearly as probable as one another.
        patched.setattr(parity, "MAX_MIOU_LOSS", 0.5)
        plain = run("export", trained / "first", "--out", folder / "f32", "--probs",
                    "--notes", notes)  # fmt: skip
        int8 = run("export", trained / "first", "--out", folder / "int8", "--int8",
                   "--calibration", data.train, "--val", data.val, "--json")  # fmt: skip
    assert plain.code == 0, plain.err
    assert int8.code == 0, int8.err
    return folder, plain, json.loads(int8.out)


@pytest.mark.slow
def test_export__writes_a_bundle_that_predicts_the_same(exported, trained, tmp_path, monkeypatch):
    folder, plain, _ = exported
    assert "ONNX Runtime, whole graph f32" in " ".join(plain.out.split())
    photo = folder / "data" / "batch_01" / "val_0000.png"
    monkeypatch.setenv("BUNRI_BACKEND", "onnxruntime")
    for name, model in (("torch", trained / "first"), ("onnx", folder / "f32")):
        ended = run("predict", model, photo, "--out", tmp_path / name)
        assert ended.code == 0, ended.err
    masks = [
        np.asarray(Image.open(next((tmp_path / name).glob("masks/*.png"))))
        for name in ("torch", "onnx")
    ]
    assert (masks[0] == masks[1]).mean() >= 0.999


@pytest.mark.slow
def test_export__ships_int8_alone_with_its_own_scores(exported):
    folder, _, report = exported
    names = sorted(path.name for path in (folder / "int8").iterdir())
    assert names == ["README.md", "bunri.json", "model.onnx", "parity.json", "parity.md"]
    assert (folder / "f32" / "model.safetensors").is_file()
    sizes = [(folder / name / "model.onnx").stat().st_size for name in ("int8", "f32")]
    assert sizes[0] < 0.4 * sizes[1]
    rows = {(row["name"], row["precision"]): row for row in report["rows"]}
    info = read_bundle(folder / "int8")
    assert info.scores["miou"]["global"] == rows["ONNX Runtime", "int8"]["miou"]
    assert info.photo_hashes
    assert rows["ONNX Runtime", "f32"]["equal_pixels"] >= 0.999
    assert json.loads((folder / "int8" / "parity.json").read_text())["rows"] == report["rows"]


@pytest.mark.slow
def test_export__card_has_notes_and_a_program_that_runs(exported, tmp_path, monkeypatch):
    folder, _, _ = exported
    card = (folder / "f32" / "README.md").read_text()
    assert "Paints only rectangles." in card
    program = re.search(r"```python\n(.*?)```", card, re.S)
    assert program
    Image.new("RGB", (50, 40)).save(tmp_path / "photo.jpg")
    (tmp_path / "model.onnx").write_bytes((folder / "f32" / "model.onnx").read_bytes())
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(program[1], found)
    classes = found["classes"]
    assert isinstance(classes, np.ndarray)
    assert classes.shape == (40, 50)


@pytest.mark.slow
def test_export__int8_has_no_scores_of_float32(exported, trained, tmp_path, monkeypatch):
    folder, _, _ = exported
    monkeypatch.setattr(parity, "MIN_EQUAL_INT8", 0.0)
    fitted = ("--int8", "--calibration", folder / "data" / "train.json")
    ended = run("export", trained / "first", "--out", tmp_path / "int8", *fitted)
    assert ended.code == 0, ended.err
    assert read_bundle(tmp_path / "int8").scores == {}


@pytest.mark.slow
def test_export__sees_photos_at_another_size_when_asked(trained, tmp_path):
    """What the run scored at its own size is not said of the file."""
    own = open_model(str(trained / "first")).info
    assert own.scores
    small = tmp_path / "small"
    smaller = run("export", trained / "first", "--out", small, "--frame-px", 128)
    assert smaller.code == 0, smaller.err
    info = read_bundle(small)
    assert own.preprocessing.size_px != 128
    assert info.preprocessing == replace(own.preprocessing, size_px=128)
    assert info.scores == {}
    card = (small / "README.md").read_text()
    assert "frames of 128 pixels" in card
    assert "not scored on labelled photos" in card


@pytest.mark.slow
def test_export__writes_nothing_that_misses_its_bound(exported, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "MIN_EQUAL_F32", 1.1)
    ended = run("export", trained / "first", "--out", tmp_path / "model")
    assert ended.code == 1
    assert "is not written" in ended.err
    assert "at least 110 % must" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_export__refuses_what_is_onnx_already(exported, tmp_path):
    folder, _, _ = exported
    ended = run("export", folder / "int8", "--out", tmp_path / "model")
    assert ended.code == 2
    assert "is ONNX already" in ended.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--int8"], "--int8 needs photos"),
        (["--calibration", "{train}"], "--calibration is only for int8"),
        (["--int8", "--calibration", "{train}"], "has 6 photo(s); int8 is fitted to at least 16"),
        (["--val", "{test}"], "is a set without labels"),
        (["--val", "{train}"], "was trained on"),
        (["--notes", "{missing}"], "cannot be read as text"),
        (["--out", "{folder}"], "exists already"),
        (["--frame-px", "63"], "greater than or equal to 64"),
    ],
)
def test_export__refuses(model, data, tmp_path, options, text):
    names = {"train": data.train, "test": data.test, "missing": tmp_path / "none.md",
             "folder": data.folder}  # fmt: skip
    given = [option.format(**names) for option in options]
    ended = run("export", model, "--out", tmp_path / "out", *given)
    assert ended.code == 2
    assert text in " ".join(ended.err.split())
    assert not (tmp_path / "out").exists()

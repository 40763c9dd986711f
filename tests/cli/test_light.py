"""What works where torch is not installed, and the model that ships: the shortest command."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from bunri.images.photos import read_index_mask
from bunri.model import lookup as stored_model
from bunri.model.bundle import write_bundle
from tests.cli.runner import plain_environment, run
from tests.onnx_models import INFO, make_bytes, write_stripes
from tests.test_architecture import TORCH_LIBRARIES

PROGRAM = f"""
import sys
for library in {TORCH_LIBRARIES!r}:
    sys.modules[library] = None  # an import of it raises ImportError
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else found(name, *rest)
from bunri.cli import main
main()
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a model of three classes, a photo of them, and its labels."""
    write_bundle(tmp_path / "model", INFO, None, make_bytes())
    write_stripes(tmp_path)
    return tmp_path


@pytest.fixture
def shipped(folder, monkeypatch):
    (folder / "shipped").mkdir()
    (folder / "model").rename(folder / "shipped" / "bunri-small")
    monkeypatch.setattr(stored_model, "SHIPPED_FOLDER", folder / "shipped")


def run_light(folder, *arguments):
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**plain_environment(), "BUNRI_BACKEND": "onnxruntime"}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def test_without_torch__from_photo_to_score(folder):
    ended = run_light(folder, "predict", "model", "photo.png", "--out", "out")
    assert ended.returncode == 0, ended.stderr
    mask = read_index_mask(folder / "out" / "masks" / "photo.png")
    np.testing.assert_array_equal(mask[0], np.repeat([0, 1, 2], [20, 20, 24]))
    for command in (
        ("submit", "model", "labels.json", "--out", "submission.csv"),
        ("check-submission", "submission.csv", "labels.json"),
        ("score", "submission.csv", "labels.json"),
        ("evaluate", "model", "labels.json"),
    ):
        ended = run_light(folder, *command)
        assert ended.returncode == 0, (command, ended.stderr)
    assert "1.0000" in ended.stdout


def test_without_torch__a_model_that_needs_it(folder):
    write_bundle(folder / "heavy", INFO, b"weights")
    ended = run_light(folder, "predict", "heavy", "photo.png")
    assert ended.returncode == 2
    assert "torch, which is not installed" in ended.stderr
    assert "bunri export" in ended.stderr


@pytest.mark.usefixtures("shipped")
def test_predict__photos_alone_are_for_the_model_that_ships(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ended = run("predict", "photo.png", "--out", "out")
    assert ended.code == 0, ended.err
    assert "Tin 31.2 %" in ended.out
    assert "bunri-small" in ended.err
    assert json.loads((folder / "out" / "predictions.json").read_text())["model"] == "bunri-small"


@pytest.mark.usefixtures("shipped")
def test_predict__what_is_neither_model_nor_photo(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").touch()
    cases = {
        "foto.png": "foto.png does not exist",
        "foto": "no model 'foto'",
        "run": "no model yet",
    }
    for argument, words in cases.items():
        ended = run("predict", argument, "photo.png")
        assert ended.code == 2
        assert words in ended.err


def test_predict__without_a_shipped_model_a_photo_is_no_model(folder, monkeypatch):
    monkeypatch.setattr(stored_model, "SHIPPED_FOLDER", folder / "none")
    ended = run("predict", folder / "photo.png")
    assert ended.code == 2
    assert "is a file, but not an .onnx file" in ended.err


@pytest.mark.usefixtures("shipped")
def test_tune__keeps_nothing_in_a_model_that_ships(folder):
    ended = run("tune", "bunri-small", folder / "labels.json")
    assert ended.code == 2
    assert "a part of bunri" in ended.err


def test_evaluate__counts_what_a_quantised_file_no_longer_says(folder):
    ended = run("evaluate", folder / "model", folder / "labels.json", "--out", folder / "said")
    assert ended.code == 0, ended.err
    cost = json.loads((folder / "said" / "evaluation.json").read_text())["cost"]
    assert cost["parameters"] == 12
    assert cost["file_bytes"] == len(make_bytes())


@pytest.mark.parametrize(
    "command",
    [
        ("stats", "labels.json", "--out", "stats.html"),
        ("evaluate", "model", "labels.json", "--report", "page.html"),
        ("report", "said", "--out", "page.html"),
    ],
)
def test_without_plotly__pages_say_what_they_need(folder, monkeypatch, command):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "plotly" else found(name)
    )
    monkeypatch.chdir(folder)
    ended = run(*command)
    assert ended.code == 2
    assert "needs plotly, which is not installed." in ended.err
    assert 'pip install "bunri[report]"' in ended.err

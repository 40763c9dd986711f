"""Training with every change on, from the command line."""

import json

import pytest

from tests.builders import write_data
from tests.cli.runner import list_train_arguments, run
from tests.training.painted import EVERYTHING

ON = [f"augment.{name}={value}" for name, value in EVERYTHING.items()]


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.mark.parametrize("crop", ["64", "null"])
def test_train__with_everything_on(data, tmp_path, crop):
    settings = [*ON, f"augment.crop_size_px={crop}", "data.repeat_rare=0.9", "train.epochs=1"]
    ended = run(*list_train_arguments(data, tmp_path / "run", *settings))
    assert ended.code == 0, ended.err
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["train_loss"] > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["augment.paste_classes=[Batery]"], ["'Batery'", "Did you mean 'Battery'"]),
        (["augment.paste_classes=[Background]"], ["'Background'"]),
        (["augment.paste_classes=[Battery]"], ["nothing to paste", "Battery"]),
        (["data.repeat_rare=0"], ["nothing to paste", "data.repeat_rare = 0"]),
    ],
)
def test_train__nothing_to_paste(data, tmp_path, settings, words):
    out = tmp_path / "run"
    ended = run(*list_train_arguments(data, out, "augment.paste=0.5", *settings))
    assert ended.code == 2
    text = " ".join(ended.err.split())
    assert all(word in text for word in words), ended.err
    assert not out.exists()

"""``bunri train --folds`` from the command line."""

import json

import pytest

from bunri.cli.training_display import TrainingDisplay
from tests.builders import TINY_SETTINGS, write_data
from tests.cli.runner import run
from tests.doctor.clean_set import draw_scene

SETTINGS = [part for s in (*TINY_SETTINGS, "train.epochs=1", "train.samples_per_epoch=3")
            for part in ("--set", s)]  # fmt: skip


@pytest.fixture
def data(tmp_path):
    data = write_data(tmp_path / "data", (6, 4, 3))
    for seed, path in enumerate(sorted((data.folder / "batch_01").glob("*.png"))):
        draw_scene(seed, 64, 64).save(path)
    return data


def test_train_folds__stopped_resumed_and_scored(data, tmp_path, monkeypatch):
    folder = tmp_path / "folds"
    arguments = ["train", "--folds", 2, "--data", data.train, "--data", data.val, "--out", folder]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TrainingDisplay, "end_step", stop)
        ended = run(*arguments, *SETTINGS)
    assert ended.code == 130
    assert f"Continue with: bunri train --resume --out {folder}" in ended.err
    ended = run(*arguments, *SETTINGS)
    assert ended.code == 2
    assert "Go on with its folds by --resume" in ended.err

    ended = run("train", "--resume", "--out", folder)
    assert ended.code == 0, ended.err
    report = json.loads((folder / "out_of_fold.json").read_text("utf-8"))
    assert report["num_photos"] == 10
    low, high = report["intervals"]["global_miou"]
    assert low <= report["miou"]["global"] <= high
    assert f"{report['miou']['global']:.4f}" in ended.out
    assert f"{low:.4f}-{high:.4f}" in ended.out
    check_first_fold(folder, data, report["folds"][0])

    ended = run("train", "--resume", "--out", folder)
    assert ended.code == 0
    assert "Training epochs" not in ended.err
    assert json.loads((folder / "out_of_fold.json").read_text("utf-8")) == report


def check_first_fold(folder, data, row):
    """A fold is a run: its model, on its own photos, has the score that is told."""
    part = folder / "folds" / "fold_1"
    matching = 0
    for path in sorted(part.glob("*.json")):
        ended = run("evaluate", folder / "fold_1", path, "--images", data.folder, "--json",
                    "--batch-size", 3)  # fmt: skip
        if path.name.startswith("train"):
            assert ended.code == 2
            assert "was trained on" in ended.err
        else:
            assert ended.code == 0, ended.err
            matching += json.loads(ended.out)["num_photos"]
    assert matching == row["num_photos"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--folds", 2, "--val", "val.json"], "leave out --val"),
        (["--folds", 1], "greater than or equal to 2"),
        (["--val", "val.json", "--also-train", "x.json"], "--also-train belongs to --folds"),
        ([], "--folds"),
    ],
)
def test_train_folds__options_that_do_not_go_together(data, tmp_path, more, message):
    ended = run("train", "--data", data.train, "--out", tmp_path / "folds", *more)
    assert ended.code == 2
    assert message in " ".join(ended.err.replace("│", " ").split())
    assert not (tmp_path / "folds").exists()


def test_train_folds__resume_takes_no_other_option(tmp_path):
    ended = run("train", "--resume", "--folds", 2, "--out", tmp_path / "folds")
    assert ended.code == 2
    assert "leave out all options but --out" in " ".join(ended.err.replace("│", " ").split())

"""What training says of settings and data before it starts, and the frames behind it."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.contracts import IGNORE_INDEX
from bunri.core.errors import RunError
from bunri.training.checkpoints import Checkpoint
from bunri.training.config import load_config
from bunri.training.listener import TrainingListener
from bunri.training.plan import DataSource, RunFolder, RunPlan
from bunri.training.runs import resume_training, start_training
from bunri.training.samples.loading import WaitClock, collate_samples
from tests.builders import CATEGORY_IDS, TINY_SETTINGS, change_document, write_data
from tests.cli.runner import list_train_arguments, run


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def put_class(path, class_index):
    """Let every object of a file be of one class."""

    def change(document):
        for annotation in document["annotations"]:
            annotation["category_id"] = CATEGORY_IDS[class_index]

    change_document(path, change)


# -- classes that no training photo has ------------------------------------------------------


def test_command__names_classes_without_a_training_photo(data, tmp_path):
    put_class(data.train, 3)
    put_class(data.val, 5)
    folder = tmp_path / "run"
    ended = run(*list_train_arguments(data, folder, "train.epochs=1"))
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.err.splitlines() if line.startswith("Warning: ")]
    assert line == (
        "Warning: No training photo has UNKNOWN, General trash, Paper pack, Metal, Glass, Plastic, "
        "Styrofoam, Plastic bag, Battery, Clothing: a model cannot learn what it never sees. "
        "Validation photos have Metal in 4; the IoU there will be 0."
    )
    assert "Warning" not in run("train", "--resume", "--out", folder).err


def test_command__names_no_class_where_all_are_seen(data, tmp_path):
    def change(document):
        for number, annotation in enumerate(document["annotations"]):
            annotation["category_id"] = CATEGORY_IDS[1 + number % 11]

    change_document(data.train, change)
    ended = run(*list_train_arguments(data, tmp_path / "run", "train.epochs=1"))
    assert ended.code == 0, ended.err
    assert "Warning" not in ended.err


def test_command__hostile_class_name_is_shown_and_not_obeyed(data, tmp_path):
    def rename(document):
        names = iter(["[red]Can\x1b[31m", "B", "C"])
        document["categories"] = document["categories"][:3]
        ids = [row["id"] for row in document["categories"]]
        for row in document["categories"]:
            row["name"] = next(names)
        for annotation in document["annotations"]:
            annotation["category_id"] = ids[1]

    change_document(data.train, rename)
    change_document(data.val, rename)
    ended = run(*list_train_arguments(data, tmp_path / "run", "train.epochs=1"))
    assert ended.code == 0, ended.err
    assert "[red]Can" in ended.err
    assert "\x1b" not in ended.err


# -- frames of any size ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("augment.crop_size_px=70",), ("augment.crop_size_px=70", "padded to 96")),
        (
            ("input.size_px=100", "augment.crop_size_px=null"),
            ("input.size_px=100", "padded to 128"),
        ),
    ],
)
def test_command__frame_that_is_no_multiple_of_the_stride(data, tmp_path, settings, said):
    folder = tmp_path / "run"
    ended = run(*list_train_arguments(data, folder, "train.epochs=1", *settings))
    assert ended.code == 0, ended.err
    assert f"{said[0]} is no multiple of 32: frames are {said[1]}" in ended.err
    ended = run("evaluate", folder, data.val, "--json")
    assert ended.code == 0, ended.err
    figures = json.loads(ended.out)
    trained = json.loads((folder / "metrics.jsonl").read_text())
    assert figures["miou"]["global"] == pytest.approx(trained["miou"]["global"], abs=1e-6)


def test_command__says_nothing_of_frames_that_fit(data, tmp_path):
    ended = run(*list_train_arguments(data, tmp_path / "run", "train.epochs=1"))
    assert "padded" not in ended.err


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 3))
def test_collate_samples__pads_at_the_bottom_and_right(height, width, number):
    samples = [
        (
            torch.full((3, height, width), i + 1.0),
            torch.full((height, width), i, dtype=torch.int64),
            i == 1,
        )
        for i in range(number)
    ]
    pixels, targets, is_pseudo = collate_samples(samples)
    assert is_pseudo.tolist() == [i == 1 for i in range(number)]
    padded_hw = (-(-height // 32) * 32, -(-width // 32) * 32)
    assert pixels.shape == (number, 3, *padded_hw)
    assert targets.shape == (number, *padded_hw)
    for i in range(number):
        assert (pixels[i, :, :height, :width] == i + 1).all()
        assert (targets[i, :height, :width] == i).all()
        assert pixels[i].sum() == (i + 1) * 3 * height * width
        assert (targets[i] == IGNORE_INDEX).sum() == np.prod(padded_hw) - height * width


# -- photos of mixed sizes -------------------------------------------------------------------


@pytest.mark.parametrize("crop", ["64", "null"])
def test_command__photos_of_mixed_sizes(tmp_path, crop):
    tall = write_data(tmp_path / "tall", size_hw=(96, 48))
    wide = write_data(tmp_path / "wide", counts=(5, 3, 1), size_hw=(40, 130))
    folder = tmp_path / "run"
    arguments = list_train_arguments(
        tall, folder, f"augment.crop_size_px={crop}", "train.batch_size=4"
    )
    arguments += ["--data", wide.train, "--val", wide.val]
    ended = run(*arguments)
    assert ended.code == 0, ended.err
    for data in (tall, wide):
        ended = run("evaluate", folder, data.val, "--json")
        assert ended.code == 0, ended.err
    pixels = sum(row["pixels"] for row in json.loads(ended.out)["classes"])
    assert pixels == 3 * 40 * 130


# -- a checkpoint of another class table -----------------------------------------------------


@pytest.mark.parametrize(
    ("names", "problems"),
    [
        (["A", "B", "D"], ["'C' is in the checkpoint alone", "'D' is in the data alone"]),
        (["A", "B"], ["'C' is in the checkpoint alone"]),
        (["A", "B", "C", "D"], ["'D' is in the data alone"]),
        (["A", "C", "B"], ["class 1 is 'B' in the checkpoint, 'C' in the data",
                           "class 2 is 'C' in the checkpoint, 'B' in the data"]),
    ],
)  # fmt: skip
def test_claim_classes__tells_the_difference(names, problems):
    checkpoint = Checkpoint(class_names=["A", "B", "C"])
    with pytest.raises(RunError) as caught:
        checkpoint.claim_classes(names)
    assert list(caught.value.problems) == problems
    assert checkpoint.class_names == ["A", "B", "C"]


def test_claim_classes__same_or_new():
    checkpoint = Checkpoint()
    checkpoint.claim_classes(["A", "B"])
    checkpoint.claim_classes(("A", "B"))
    assert checkpoint.class_names == ["A", "B"]


def test_resume_training__checkpoint_of_another_class_table(data, tmp_path):
    config = load_config("", (*TINY_SETTINGS, "train.epochs=1"))
    train = DataSource.pair([data.train], [], "--images")
    val = DataSource.pair([data.val], [], "--val-images")
    folder = RunFolder(tmp_path / "run")
    start_training(RunPlan(config, train, val), folder, TrainingListener())
    checkpoint = Checkpoint.load(folder.checkpoint)
    checkpoint.class_names[3:5] = ["Paper pack", "Paper"]
    checkpoint.save(folder.checkpoint)
    ended = run("train", "--resume", "--out", folder.path)
    assert ended.code == 2
    assert "another class table than the data has" in ended.err
    assert "class 3 is 'Paper pack' in the checkpoint, 'Paper' in the data" in ended.err
    checkpoint.class_names[3:5] = ["Paper", "Paper pack"]
    checkpoint.save(folder.checkpoint)
    resume_training(folder, TrainingListener())


# -- waiting ---------------------------------------------------------------------------------


def test_wait_clock__counts_the_loader_and_not_the_step(monkeypatch):
    now = 0.0

    def pass_time(seconds):
        nonlocal now
        now += seconds

    def load():
        for number in range(3):
            pass_time(2.0)
            yield torch.full((1,), number), torch.zeros(1), torch.zeros(1)
        pass_time(0.5)

    monkeypatch.setattr("bunri.training.samples.loading.time.monotonic", lambda: now)
    clock = WaitClock()
    numbers = []
    for pixels, *_ in clock.watch(load()):
        numbers.append(int(pixels))
        pass_time(10.0)
    assert numbers == [0, 1, 2]
    assert clock.waited_s == 6.5


def test_timings__tell_the_wait(data, tmp_path):
    folder = tmp_path / "run"
    ended = run(*list_train_arguments(data, folder))
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in (folder / "timings.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert 0 < line["wait_s"] < line["train_s"]

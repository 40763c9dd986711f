"""Validation photos that are in training too are refused before the first step."""

import shutil

import numpy as np
import pytest
from PIL import Image

from bunri.training import data_checks
from tests.builders import change_document, write_data
from tests.cli.runner import list_train_arguments, run
from tests.doctor.clean_set import draw_scene


@pytest.fixture
def data(tmp_path):
    """Six training and four validation photos that look like nothing else."""
    data = write_data(tmp_path / "data")
    for seed, path in enumerate(sorted((data.folder / "batch_01").glob("*.png"))):
        draw_scene(seed, 64, 64).save(path)
    return data


def train(data, *settings):
    folder = data.folder.parent / "run"
    ended = run(*list_train_arguments(data, folder, "train.epochs=1", *settings))
    assert folder.exists() == (ended.code == 0)
    return ended


def test_train__sound_splits(data):
    assert train(data).code == 0


def test_train__the_same_photo_on_both_sides(data):
    photos = data.folder / "batch_01"
    shutil.copy(photos / "train_0002.png", photos / "val_0001.png")
    ended = train(data)
    assert ended.code == 2
    assert "1 photo(s) of the validation set are in training too" in ended.err
    assert (
        "'batch_01/train_0002.png' (train) and 'batch_01/val_0001.png' (val): the same pixels"
    ) in ended.err
    assert "--set data.allow_leaks=true" in ended.err


def test_train__an_edited_copy_on_both_sides(data):
    photos = data.folder / "batch_01"
    image = np.asarray(Image.open(photos / "train_0004.png"))[:, ::-1]
    Image.fromarray((image * 1.1).clip(0, 255).astype(np.uint8)).save(photos / "val_0000.png")
    ended = train(data)
    assert ended.code == 2
    assert (
        "'batch_01/train_0004.png' (train) and 'batch_01/val_0000.png' (val): a copy" in ended.err
    )


def test_train__the_same_file_on_both_sides(data):
    def list_first_training_photo(document):
        document["images"][0]["file_name"] = "batch_01/train_0000.png"

    change_document(data.val, list_first_training_photo)
    assert "in training too" in train(data).err


def test_train__all_the_same_if_told_so(data):
    photos = data.folder / "batch_01"
    shutil.copy(photos / "train_0002.png", photos / "val_0001.png")
    assert train(data, "data.allow_leaks=true").code == 0


def test_train__every_pair_is_listed(data):
    photos = data.folder / "batch_01"
    for number in range(3):
        shutil.copy(photos / f"train_000{number}.png", photos / f"val_000{number}.png")
    ended = train(data)
    assert "3 photo(s) of the validation set" in ended.err
    assert ended.err.count("the same pixels") == 3


def test_train__of_very_many_pairs_equal_pixels_are_found(data, monkeypatch):
    monkeypatch.setattr(data_checks, "MAX_PAIRS", 3)
    photos = data.folder / "batch_01"
    shutil.copy(photos / "train_0002.png", photos / "val_0001.png")
    ended = train(data)
    assert ended.code == 2
    assert "the same pixels" in ended.err

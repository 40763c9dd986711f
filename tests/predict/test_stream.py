"""A folder of photos: in order, several at once, and nothing is written after an error."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import ModelError, OutputError
from bunri.predict.outputs import PhotoTask
from bunri.predict.to_folder import predict_photos
from tests.predict.fakes import ColorBackend, FixedBackend, build, paint


class Together(ColorBackend):
    """Answers only when two photos are being looked at."""

    def __init__(self):
        super().__init__()
        self.barrier = threading.Barrier(2, timeout=20)

    @contextmanager
    def share_cores(self):
        yield 2

    def predict_probs(self, pixels):
        self.barrier.wait()
        return super().predict_probs(pixels)


@pytest.fixture
def tasks(tmp_path):
    """Twelve photos, the first all of class 0, the next of class 1, and so on."""
    found = []
    for index in range(12):
        path = tmp_path / f"{index:02}.png"
        Image.fromarray(paint(np.full((8, 8), index, np.uint8))).save(path)
        found.append(PhotoTask(path, path.stem))
    return found


def tell_class(prediction):
    return {"name": prediction.task.name, "class": int(prediction.mask[0, 0])}


def test_stream__two_at_once_and_rows_in_order(tasks):
    rows = list(predict_photos(build(Together()), tasks, tell_class))
    assert rows == [{"name": f"{index:02}", "class": index} for index in range(12)]


def test_stream__a_damaged_photo_keeps_its_place(tasks):
    tasks[3].photo.write_bytes(b"")
    rows = list(predict_photos(build(ColorBackend()), tasks, tell_class))
    assert [row.get("class") for row in rows] == [0, 1, 2, None, *range(4, 12)]
    assert rows[3]["photo"] == str(tasks[3].photo)
    assert "is empty" in rows[3]["error"]


def test_stream__a_broken_model_ends_it(tasks):
    predictor = build(FixedBackend(*[np.nan] * 12))
    with pytest.raises(ModelError, match="not all numbers"):
        list(predict_photos(predictor, tasks, tell_class))


def test_stream__after_an_error_nothing_more_is_written(tasks):
    written = []

    def write(prediction):
        written.append(prediction.task.name)
        if len(written) == 3:
            raise OutputError("the disk is full")
        return {}

    with pytest.raises(OutputError, match="full"):
        list(predict_photos(build(ColorBackend()), tasks, write))
    assert len(written) <= 5  # but for the two that may be under way already

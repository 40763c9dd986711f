"""One predictor for eight threads: masks as of one thread, and a process that is left as it was."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from bunri.images.photos import read_photo
from bunri.model.bundle import write_bundle
from bunri.predict.backends.engines import ONNX_ENGINES
from bunri.predict.outputs import PhotoTask, PredictedPhoto, write_prediction
from bunri.predict.predictor import load_predictor
from bunri.predict.settings import PredictionSettings, TileSettings
from bunri.predict.to_folder import predict_photos
from tests.onnx_models import INFO, make_bytes

SIZES_HW = ((64, 64), (48, 64), (64, 40), (90, 130))
SUFFIXES = (".jpg", ".png", ".webp")
SETTINGS = (
    PredictionSettings(flips=("horizontal",), min_region_share=0.01),
    PredictionSettings(tiles=TileSettings(scale=1.5)),
)


@pytest.fixture
def tasks(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for number in range(12):
        size_hw = SIZES_HW[number % len(SIZES_HW)]
        cells = rng.integers(0, 256, (-(-size_hw[0] // 8), -(-size_hw[1] // 8), 3), np.uint8)
        image = cells.repeat(8, 0).repeat(8, 1)[: size_hw[0], : size_hw[1]]
        path = tmp_path / f"{number:02}{SUFFIXES[number % len(SUFFIXES)]}"
        Image.fromarray(image).save(path)
        found.append(PhotoTask(path, path.stem))
    return found


def read_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("engine", ONNX_ENGINES)
@pytest.mark.parametrize("settings", SETTINGS, ids=["views", "tiles"])
def test_threads__predict_and_write_as_one(tmp_path, monkeypatch, tasks, engine, settings):
    pytest.importorskip(engine)
    monkeypatch.setenv("BUNRI_BACKEND", engine)
    write_bundle(tmp_path / "model", INFO, None, make_bytes())
    predictor = load_predictor(str(tmp_path / "model"), lambda _: settings)
    expected = {task.name: predictor.predict_mask(read_photo(task.photo)) for task in tasks}
    assert len({mask.tobytes() for mask in expected.values()}) > len(SIZES_HW)
    before = read_umask(), list(warnings.filters)

    def predict_all(number):
        folder = tmp_path / f"out_{number}"

        def write(prediction):
            return write_prediction(folder, prediction, predictor.table)

        order = tasks[number:] + tasks[:number]
        if number % 2:  # half of the threads share the cores, at overlapping times
            list(predict_photos(predictor, order, write))
        else:
            for task in order:
                image = read_photo(task.photo)
                write(PredictedPhoto(task, image, predictor.predict_mask(image)))
        return folder

    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(predict_all, range(8)))
    assert (read_umask(), list(warnings.filters)) == before
    for folder in folders:
        for name, mask in expected.items():
            with Image.open(folder / "masks" / f"{name}.png") as written:
                np.testing.assert_array_equal(np.asarray(written), mask)
        assert len(list(folder.glob("overlays/*.jpg"))) == len(tasks)
        assert not list(folder.rglob(".partial*"))

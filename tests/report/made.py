"""Evaluations of painted photos, made without a network."""

from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.classes import ClassInfo, ClassTable
from bunri.labels.records import Photo
from bunri.report.pages.evaluation import write_evaluation_page
from bunri.report.picture_choice import PictureKeeper
from bunri.scores.boundary import count_boundary
from bunri.scores.calibration import Calibration
from bunri.scores.confusion import ClassCounts, count_confusion, stack_matrices
from bunri.scores.results import SIZES, Result, SizeCounts, score_counts

NAMES = ("Background", "can", "box", "bag")
SIZE_HW = (24, 32)


def make_table(names=NAMES):
    return ClassTable(tuple(ClassInfo(n, n, (9 * i, 40 * i, 200)) for i, n in enumerate(names)))


def paint_pair(seed: int, size_hw=SIZE_HW):
    """Return truth and prediction: a rectangle of one class, found more or less well."""
    rng = np.random.default_rng(seed)
    truth, prediction = np.zeros(size_hw, np.uint8), np.zeros(size_hw, np.uint8)
    index = 1 + seed % 3
    truth[4:16, 6:20] = index
    shift = int(rng.integers(0, 6))
    prediction[4 : 16 - shift, 6 + shift : 22] = index
    if seed % 4 == 0:
        prediction[6:10, 10:14] = 1 + index % 3
    return truth, prediction


def make_evaluation(num_photos=6, *, names=NAMES, files=None, seed=0, **changes: Any):
    """Return a result, its keeper of pictures, and (truth, prediction) of each photo."""
    table = make_table(names)
    files = files or [f"batch/{i:04d}.jpg" for i in range(num_photos)]
    pairs = [paint_pair(seed + i) for i in range(num_photos)]
    keeper = PictureKeeper(num_photos, len(table))
    calibration = Calibration()
    matrices, along = [], []
    rng = np.random.default_rng(0)
    for i, (truth, prediction) in enumerate(pairs):
        image = rng.integers(0, 255, (*SIZE_HW, 3), np.uint8)
        keeper.watch(Photo(i, files[i], *SIZE_HW), image, truth, prediction)
        calibration.add(truth, prediction, np.full(SIZE_HW, 0.8, np.float32))
        matrices.append(count_confusion(truth, prediction, len(table)))
        counts = count_boundary(truth, prediction, len(table))
        along.append((counts.hits, counts.truth, counts.predicted))
    boundary = ClassCounts(*np.array(along).swapaxes(0, 1))
    counted = SizeCounts(stack_matrices(matrices, len(table)), boundary, calibration)
    values: dict[str, Any] = {
        "model": "runs/a",
        "data": "data/val.json",
        "overlap_rule": "largest-first",
        "table": table,
        "photos": tuple(files),
        "sizes": dict.fromkeys(SIZES, counted),
        "config": {"seed": 1, "optim": {"lr": 0.001}},
        "cost": {"parameters": 4_000_000, "file_bytes": 16e6, "photo_s": 0.125},
    }
    return Result(**{**values, **changes}), keeper, pairs


def write_page_of(path: Path, result, keeper, history=()) -> str:
    scores = {size: score_counts(counts) for size, counts in result.sizes.items()}
    pictures = keeper.list_pictures()
    write_evaluation_page(path, result, scores, pictures, keeper.mistakes, history)
    return path.read_text("utf-8")

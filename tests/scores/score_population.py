"""Confusion matrices of photos that never were: a population whose true scores are known.

Classes differ in how often, how large and how hard they are, and photos in how hard they are, as
in real sets; pixels are counts, nothing is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.classes import ClassInfo, ClassTable
from bunri.scores.calibration import NUM_BINS, Calibration
from bunri.scores.confusion import ClassCounts, Matrices
from bunri.scores.metrics import compute_scores
from bunri.scores.result_files import write_result
from bunri.scores.results import SIZES, Result, SizeCounts, score_counts

PRESENCE = np.array([1.0, 0.57, 0.53, 0.33, 0.16, 0.12])
RECALL = np.array([0.96, 0.85, 0.8, 0.65, 0.7, 0.55])
NUM_CLASSES = len(PRESENCE)
PHOTO_PX = 512 * 512


def compute_global_miou(matrices: Matrices) -> float:
    return compute_scores(matrices).global_miou


def compute_per_image_miou(matrices: Matrices) -> float:
    return compute_scores(matrices).per_image_miou


@dataclass(frozen=True)
class Scenes:
    """What photos show: pixels of each class (N, C), and how hard each photo is (N, 1)."""

    area_px: npt.NDArray[np.float64]
    ease: npt.NDArray[np.float64]


def draw_scenes(rng: np.random.Generator, num_photos: int) -> Scenes:
    present = rng.random((num_photos, NUM_CLASSES)) < PRESENCE
    area = np.minimum(rng.lognormal(np.log(8000), 1.1, present.shape), 45_000) * present
    area[:, 0] = PHOTO_PX - np.floor(area[:, 1:]).sum(1)
    return Scenes(np.floor(area), rng.normal(0, 0.5, (num_photos, 1)))


def predict_scenes(rng: np.random.Generator, scenes: Scenes, gain: float = 0.0) -> Matrices:
    """Return what a model would make of scenes; ``gain`` is added to the logit of every recall."""
    num_photos = len(scenes.area_px)
    logit = np.log(RECALL / (1 - RECALL)) + scenes.ease + gain
    share = 1 / (1 + np.exp(-logit - rng.normal(0, 1, scenes.area_px.shape)))
    hits = np.floor(scenes.area_px * share)
    missed = scenes.area_px - hits
    invented = np.floor(missed * rng.beta(1, 2, missed.shape) / 2)
    matrices = np.zeros((num_photos, NUM_CLASSES, NUM_CLASSES), np.int64)
    classes = np.arange(NUM_CLASSES)
    matrices[:, classes, classes] = hits
    photos = np.arange(num_photos)
    for index in classes:
        # Some of what is missed is called any other class, the rest background (of which the
        # rest goes to the commonest class).
        other = (index + rng.integers(1, NUM_CLASSES, num_photos)) % NUM_CLASSES
        np.add.at(matrices, (photos, index, other), invented[:, index].astype(np.int64))
        rest = (missed - invented)[:, index].astype(np.int64)
        matrices[:, index, 0 if index else 1] += rest
    return matrices


def draw_matrices(rng: np.random.Generator, num_photos: int, gain: float = 0.0) -> Matrices:
    return predict_scenes(rng, draw_scenes(rng, num_photos), gain)


def make_result(matrices: Matrices, names: Sequence[str] = (), **changes: Any) -> Result:
    """Return an evaluation of photos whose boundary and calibration are made up."""
    num_photos, num_classes, _ = matrices.shape
    counts = ClassCounts.of(matrices)
    boundary = ClassCounts(counts.hits // 9, counts.truth // 9, counts.predicted // 9)
    photos = [np.repeat([[100.0], [50], [60]], NUM_BINS, axis=1)] * num_photos
    calibration = Calibration(photos)
    classes = (ClassInfo(f"class {i}", f"클래스 {i}", (i, 0, 0)) for i in range(num_classes))
    values: dict[str, Any] = {
        "model": "runs/a",
        "data": "val.json",
        "overlap_rule": "largest-first",
        "table": ClassTable(tuple(classes)),
        "photos": tuple(names) or tuple(f"{i:04d}.jpg" for i in range(num_photos)),
        "sizes": dict.fromkeys(SIZES, SizeCounts(matrices, boundary, calibration)),
        "config": {"seed": 1, "optim": {"lr": 0.001, "name": "adamw"}},
        "cost": {
            "parameters": 1000, "file_bytes": 4100, "photo_s": 0.25, "peak_memory_bytes": None,
        },
    }  # fmt: skip
    return Result(**{**values, **changes})


def write_evaluation(folder: Path, result: Result) -> Path:
    """Write an evaluation folder as ``bunri evaluate`` does."""
    write_result(folder, result, {size: score_counts(c) for size, c in result.sizes.items()})
    return folder

"""The result of an evaluation: counts of every photo, and the scores computed from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.fields import NonNegative
from bunri.scores.boundary import DISTANCE_SHARE
from bunri.scores.calibration import Calibration, compute_error
from bunri.scores.confusion import ClassCounts, Matrices
from bunri.scores.intervals import (
    NO_INTERVAL,
    Interval,
    ScoreIntervals,
    bootstrap_distance,
    bootstrap_scores,
)
from bunri.scores.metrics import (
    Score,
    ScoreSheet,
    compute_scores,
    list_class_scores,
    list_scores,
    replace_nan,
)
from bunri.scores.robustness import RobustnessCounts, RobustnessScores

SIZES = ("photo", "submission")
"""The photo's own size, and the submission's 256 x 256."""


@dataclass(frozen=True, slots=True, eq=False)
class SizeCounts:
    """Counts of every photo at one size: matrices (N, C, C), boundary (N, C) each, calibration."""

    matrices: Matrices
    boundary: ClassCounts
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A single model that took part, recognised anywhere by the SHA-256 of its weights."""

    model: str
    weights_sha256: str
    weight: NonNegative = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Evaluation of one model, or of several together, on one set of photos.

    Attributes:
        model: Name or path as the user gave it.
        data: Path of the annotation file.
        overlap_rule: Name of the rule by which overlapping labels were drawn.
        photos: File names, in the order of the counts.
        sizes: Counts by size; keys are ``SIZES``.
        config: Settings of the training; empty if unknown, and for several models.
        models: Single models that predicted.
        combine: Way in which several models were combined; empty for one.
        prediction: Settings of prediction that are not the defaults.
        is_tuned_here: Whether these settings were chosen on these very photos.
        cost: ``parameters``, ``file_bytes``, ``photo_s`` (seconds) and ``peak_memory_bytes``; None
            is unknown.
        robustness: Counts of the same photos under corruptions, if they were asked for.
    """

    model: str
    data: str
    overlap_rule: str
    table: ClassTable
    photos: tuple[str, ...]
    sizes: Mapping[str, SizeCounts]
    config: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[UsedModel, ...] = ()
    combine: str = ""
    prediction: Mapping[str, Any] = field(default_factory=dict)
    is_tuned_here: bool = False
    cost: Mapping[str, float | None] = field(default_factory=dict)
    robustness: RobustnessCounts | None = None


@dataclass(frozen=True, slots=True)
class BoundaryScores:
    """Boundary IoU, with the photos and pixels along the edges of each class's truth.

    NaN is "no data".
    """

    miou: float
    interval: Interval
    class_iou: tuple[float, ...]
    class_intervals: tuple[Interval, ...]
    class_photos: tuple[int, ...]
    class_pixels: tuple[int, ...]

    def to_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """Return the scores as plain values; "no data" is null."""
        columns = {
            "name": class_names,
            "iou": map(replace_nan, self.class_iou),
            "interval": (interval.to_json() for interval in self.class_intervals),
            "photos": self.class_photos,
            "pixels": self.class_pixels,
        }
        return {
            "distance_share": DISTANCE_SHARE,
            "miou": replace_nan(self.miou),
            "interval": self.interval.to_json(),
            "classes": [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ],
        }


@dataclass(frozen=True, slots=True)
class SizeScores:
    """Every score at one size, with its interval."""

    sheet: ScoreSheet
    intervals: ScoreIntervals
    boundary: BoundaryScores
    calibration: Calibration
    calibration_interval: Interval

    def list_overall(self) -> list[tuple[Score, float, Interval]]:
        """Return every overall score with its value and interval, in the order of the list."""
        special = {
            "boundary": (self.boundary.miou, self.boundary.interval),
            "calibration": (self.calibration.error, self.calibration_interval),
        }
        return [
            (score, *special[score.basis])
            if score.basis in special
            else (
                score,
                self.sheet.overall[score.key],
                self.intervals.overall.get(score.key, NO_INTERVAL),
            )
            for score in list_scores()
        ]

    def list_class(self, index: int) -> list[tuple[Score, float, Interval]]:
        """Return every score of one class with its value and interval."""
        boundary = self.boundary.class_iou[index], self.boundary.class_intervals[index]
        values = self.sheet.classes[index].scores
        return [
            (score, *boundary)
            if score.basis == "boundary"
            else (score, values[score.key], self.intervals.classes[score.key][index])
            for score in list_class_scores()
        ]

    def to_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """Return all scores as plain values; "no data" is null."""
        return {
            **self.sheet.to_json(class_names),
            "intervals": self.intervals.to_json(class_names),
            "boundary": self.boundary.to_json(class_names),
            "calibration": {
                **self.calibration.to_json(),
                "interval": self.calibration_interval.to_json(),
            },
        }


def score_counts(counts: SizeCounts, batch_size: int = 16) -> SizeScores:
    """Compute every score of the photos behind ``counts``.

    Raises:
        InputError: No photos, or a batch size below 1.
    """
    boundary = counts.boundary
    total = boundary.sum()
    sheet = compute_scores(counts.matrices, batch_size)
    intervals = bootstrap_scores(boundary)
    return SizeScores(
        sheet,
        bootstrap_scores(counts.matrices),
        BoundaryScores(
            miou=float(total.miou),
            interval=intervals.overall["global_miou"],
            class_iou=tuple(total.iou.tolist()),
            class_intervals=intervals.classes["iou"],
            class_photos=tuple((boundary.truth > 0).sum(0).tolist()),
            class_pixels=tuple(total.truth.tolist()),
        ),
        counts.calibration,
        bound_calibration(counts.calibration),
    )


def bound_calibration(calibration: Calibration) -> Interval:
    """Return the interval of the calibration error."""
    return bootstrap_distance(np.stack(calibration.photos), compute_error)


def describe_result(
    result: Result, scores: Mapping[str, SizeScores], robustness: RobustnessScores | None = None
) -> dict[str, Any]:
    """Return a result as plain values: scores at the photo's size, and the others below a key."""
    names = result.table.names
    values = {
        "model": result.model,
        "data": result.data,
        "overlap_rule": result.overlap_rule,
        "models": [asdict(one) for one in result.models],
        "combine": result.combine,
        "prediction": dict(result.prediction),
        "is_tuned_here": result.is_tuned_here,
        **scores["photo"].to_json(names),
        "submission_size": scores["submission"].to_json(names),
        "cost": dict(result.cost),
    }
    return values if robustness is None else values | {"robustness": robustness.to_json()}

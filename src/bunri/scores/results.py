"""What an evaluation gave: counts of every photo, and the scores they make.

Knows nothing of how photos are predicted, nor of files; ``result_files`` keeps it on disk.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from typing import Any

import numpy as np

from bunri.core.classes import ClassTable
from bunri.scores.boundary import DISTANCE_SHARE
from bunri.scores.calibration import Calibration, compute_error
from bunri.scores.intervals import (
    Interval,
    ScoreIntervals,
    bootstrap_counts,
    bootstrap_distance,
    bootstrap_scores,
)
from bunri.scores.metrics import ClassCounts, Matrices, ScoreSheet, compute_scores, replace_nan
from bunri.scores.robustness import RobustnessCounts, RobustnessScores

SIZES = ("photo", "submission")
"""At the photo's own size, and at the submission's 256 x 256."""


@dataclass(frozen=True, slots=True, eq=False)
class SizeCounts:
    """What was counted at one size.

    Attributes:
        matrices: int64 (N, C, C), one confusion matrix per photo.
        boundary: int64 (N, C) each, one row per photo.
        calibration: Of the same photos.
    """

    matrices: Matrices
    boundary: ClassCounts
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A single model that took part.

    Attributes:
        model: As it was named.
        weights_sha256: Of its weights: the same model, wherever it lies.
        weight: How much it counted among others.
    """

    model: str
    weights_sha256: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One model on one set of photos.

    Attributes:
        model: The model, as it was named.
        data: The annotation file.
        overlap_rule: How its masks were drawn.
        table: The classes.
        photos: File names, in the order of the counts.
        sizes: Keys are ``SIZES``.
        config: Settings the model was trained with; empty if unknown, and for several models.
        models: What predicted; empty if unknown, as before it was kept.
        combine: How several were combined; empty for one.
        prediction: Settings of prediction that are not the defaults.
        is_tuned_here: Whether these were chosen on these very photos.
        cost: ``parameters``, ``file_bytes``, ``photo_s`` and ``peak_memory_bytes``; None is
            unknown.
        robustness: The same photos under corruptions; None if that was not asked.
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
    """Boundary IoU; NaN where there is no data.

    Attributes:
        miou: Mean over classes.
        interval: Of the mean.
        class_iou: Per class in index order.
        class_intervals: Of each class.
        class_photos: Photos whose truth holds the class.
        class_pixels: Pixels of the truth along the edges of the class.
    """

    miou: float
    interval: Interval
    class_iou: tuple[float, ...]
    class_intervals: tuple[Interval, ...]
    class_photos: tuple[int, ...]
    class_pixels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SizeScores:
    """Every score at one size.

    Attributes:
        sheet: Scores.
        intervals: Of them.
        boundary: Boundary IoU, with its intervals.
        calibration: Its error is a score.
        calibration_interval: Of that error.
    """

    sheet: ScoreSheet
    intervals: ScoreIntervals
    boundary: BoundaryScores
    calibration: Calibration
    calibration_interval: Interval

    def to_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """Return all scores as plain values; "no data" is null."""
        boundary = self.boundary
        columns = (
            class_names, boundary.class_iou, boundary.class_intervals, boundary.class_photos,
            boundary.class_pixels,
        )  # fmt: skip
        return {
            **self.sheet.to_json(class_names),
            "intervals": self.intervals.to_json(class_names),
            "boundary": {
                "distance_share": DISTANCE_SHARE,
                "miou": replace_nan(boundary.miou),
                "interval": boundary.interval.to_json(),
                "classes": [
                    {
                        "name": name,
                        "iou": replace_nan(iou),
                        "interval": interval.to_json(),
                        "photos": photos,
                        "pixels": pixels,
                    }
                    for name, iou, interval, photos, pixels in zip(*columns, strict=True)
                ],
            },
            "calibration": {
                **self.calibration.to_json(),
                "interval": self.calibration_interval.to_json(),
            },
        }


def score_counts(counts: SizeCounts, batch_size: int = 16) -> SizeScores:
    """Return every score of the photos behind ``counts``.

    Raises:
        InputError: No photos, or a batch size below 1.
    """
    boundary = counts.boundary
    total = boundary.sum()
    sheet = compute_scores(counts.matrices, batch_size)
    along = bootstrap_counts(boundary)
    return SizeScores(
        sheet,
        bootstrap_scores(counts.matrices),
        BoundaryScores(
            miou=float(total.miou),
            interval=along.overall["global_miou"],
            class_iou=tuple(total.iou.tolist()),
            class_intervals=along.classes["iou"],
            class_photos=tuple((boundary.truth > 0).sum(0).tolist()),
            class_pixels=tuple(total.truth.tolist()),
        ),
        counts.calibration,
        bound_calibration(counts.calibration),
    )


def bound_calibration(calibration: Calibration) -> Interval:
    """Return the interval of the calibration error; none where photos were not kept apart."""
    if len(calibration.photos) < calibration.num_photos:
        return Interval(nan, nan)
    return bootstrap_distance(np.stack(calibration.photos), compute_error)


def describe_result(
    result: Result, scores: Mapping[str, SizeScores], robustness: RobustnessScores | None = None
) -> dict[str, Any]:
    """Return a result as plain values: scores at the photo's size, and the others below a key.

    Args:
        result: Whose.
        scores: Keys are ``SIZES``.
        robustness: Scores of ``result.robustness``, if it has that.
    """
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

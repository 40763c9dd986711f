"""How far a score can be trusted: intervals by bootstrap over photos, paired between models.

Owns which scores have an interval, and verdicts. What a score is stands in ``metrics``, how photos
are drawn in ``resampling``; nothing is known of models or files.

Photos are drawn with replacement, as many as there are, and every score is reckoned again from
the summed matrices of each draw.

An interval tells of other photos of the same kind, for the very model that was scored. It does
not tell what training again with another seed would give, nor of classes that no photo holds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from bunri.core.errors import InputError
from bunri.scores.metrics import ClassCounts, Matrices, divide, mean_rows, replace_nan
from bunri.scores.resampling import Floats, draw_weights, find_bounds

NUM_DRAWS, SEED, LEVEL = 1000, 0, 0.95
MIN_PHOTOS = 5
"""Fewer photos that hold a class say nothing about others: there is no interval."""

OVERALL_SCORES = (
    "global_miou",
    "per_image_miou",
    "pixel_accuracy",
    "mean_accuracy",
    "weighted_iou",
)
"""The per-batch mIoU is not among them: it belongs to one order of the photos, and a draw has
none."""
CLASS_SCORES = ("iou", "precision", "recall", "f1")

Verdict = Literal["better", "no evidence", "worse", "no data"]
Named = TypeVar("Named")


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a score lies at the level asked for; NaN on both sides where there is too little."""

    low: float
    high: float

    def to_json(self) -> list[float] | None:
        """Return ``[low, high]``, or None without an interval."""
        return None if replace_nan(self.low) is None else [self.low, self.high]


@dataclass(frozen=True, slots=True)
class ScoreIntervals:
    """Intervals of every score of a set of photos.

    Attributes:
        overall: Keys are ``OVERALL_SCORES``.
        classes: Keys are ``CLASS_SCORES``; per class in index order.
        level: How often they hold the truth.
        num_draws: How often photos were drawn.
        seed: Of the draws.
    """

    overall: Mapping[str, Interval]
    classes: Mapping[str, tuple[Interval, ...]]
    level: float
    num_draws: int
    seed: int

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return the intervals as plain values: ``[low, high]`` by score, null where none is.

        Args:
            class_names: Names in index order.
        """
        columns = zip(*(self.classes[key] for key in CLASS_SCORES), strict=True)
        return {
            "level": self.level,
            "draws": self.num_draws,
            "seed": self.seed,
            **{key: interval.to_json() for key, interval in self.overall.items()},
            "classes": [
                {"name": name}
                | {key: one.to_json() for key, one in zip(CLASS_SCORES, row, strict=True)}
                for name, row in zip(class_names, columns, strict=True)
            ],
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more one model scores than another on the same photos.

    Attributes:
        value: Score of the candidate minus score of the baseline; NaN is "no data".
        interval: Of the value.
    """

    value: float
    interval: Interval

    @property
    def verdict(self) -> Verdict:
        """The candidate is better or worse only if the interval is on one side of 0."""
        if replace_nan(self.value) is None:
            return "no data"
        if self.interval.low > 0:
            return "better"
        return "worse" if self.interval.high < 0 else "no evidence"


@dataclass(frozen=True, slots=True)
class ScoreDifferences:
    """Differences of every score; keys as in :class:`ScoreIntervals`."""

    overall: Mapping[str, Difference]
    classes: Mapping[str, tuple[Difference, ...]]


def bootstrap_scores(
    matrices: Matrices, num_draws: int = NUM_DRAWS, seed: int = SEED, level: float = LEVEL
) -> ScoreIntervals:
    """Return an interval for each score.

    A draw in which a class is absent counts for the scores of that class as little as for its
    mean. Where every photo gives the same score, the interval is that one value.

    Args:
        matrices: int64 (N, C, C), one confusion matrix per photo.
        num_draws: How often photos are drawn.
        seed: Of the draws; the same seed gives the same intervals.
        level: How often an interval shall hold the truth, between 0 and 1.

    Raises:
        InputError: No photos, or arguments that make no sense.
    """
    return bootstrap_counts(ClassCounts.of(matrices), num_draws, seed, level)


def bootstrap_counts(
    counts: ClassCounts, num_draws: int = NUM_DRAWS, seed: int = SEED, level: float = LEVEL
) -> ScoreIntervals:
    """Return an interval for each score of counts alone, such as those along boundaries.

    Args:
        counts: integer (N, C) each, of single photos.
        num_draws: See :func:`bootstrap_scores`, as for the rest.
        seed: Of the draws.
        level: How often an interval shall hold the truth.

    Raises:
        InputError: No photos, or arguments that make no sense.
    """
    _check(counts.truth.shape, num_draws, level)
    sample = _tally(counts)
    draws = _draw_scores([sample], num_draws, seed)[0]
    bounds = find_bounds(_score(sample.sum(0)), draws, _score(sample.sum(0) - sample), level)
    bounds = np.where(_find_supported(counts), np.clip(bounds, 0, 1), np.nan)
    intervals = [Interval(low, high) for low, high in bounds.T.tolist()]
    return ScoreIntervals(*_name_scores(intervals), level, num_draws, seed)


def bootstrap_distance(
    photos: Floats,
    measure: Callable[[Floats], Floats],
    num_draws: int = NUM_DRAWS,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval:
    """Return an interval for a sum of distances, such as the calibration error.

    Chance makes distances longer and never shorter: the score of a few photos has one such excess
    and that of a draw of them two, so the low end is lowered by twice what draws exceed the score
    by. On sets of 42 and 150 photos drawn from the real validation photos, intervals of a
    calibration error of 0.024 held it in 96 % and 95 %, of 0.098 in 96 % and 96 %, of exactly 0,
    which is the end of the scale, in 86 % and 87 %.

    Args:
        photos: float64 (N, ...), what of each photo may be summed.
        measure: Returns scores, float64 (...), from sums with the axes of a photo as last ones.
        num_draws: See :func:`bootstrap_scores`, as for the rest.
        seed: Of the draws.
        level: How often the interval shall hold the truth.

    Raises:
        InputError: No photos, or arguments that make no sense.
    """
    _check(photos.shape, num_draws, level)
    num_photos, *shape = photos.shape
    if num_photos < MIN_PHOTOS:
        return Interval(np.nan, np.nan)
    sample = photos.reshape(num_photos, -1)

    def score(sums: Floats) -> Floats:
        return np.asarray(measure(sums.reshape(*sums.shape[:-1], *shape)))[..., np.newaxis]

    weights = draw_weights(num_photos, num_draws, seed)
    draws = np.concatenate([score(some @ sample) for some in weights])
    value = score(sample.sum(0))
    low, high = find_bounds(value, draws, score(sample.sum(0) - sample), level)[:, 0].tolist()
    excess = max(0.0, float(mean_rows(draws.T)[0] - value[0]))
    return Interval(*np.clip((low - 2 * excess, high), 0, 1).tolist())


def bootstrap_difference(
    baseline: Matrices,
    candidate: Matrices,
    num_draws: int = NUM_DRAWS,
    seed: int = SEED,
    level: float = LEVEL,
) -> ScoreDifferences:
    """Return how much more ``candidate`` scores, both on the same draws of the same photos.

    What makes a photo hard is hard for both and drops out, so that far smaller differences
    show than intervals of each alone would let one believe.

    Args:
        baseline: int64 (N, C, C), one confusion matrix per photo.
        candidate: The same photos in the same order.
        num_draws: How often photos are drawn.
        seed: Of the draws.
        level: How often an interval shall hold the truth, between 0 and 1. Of 20 classes that do
            not differ, one is called better or worse by chance at 0.95.

    Raises:
        InputError: No photos, different photos or labels, or arguments that make no sense.
    """
    _check(baseline.shape, num_draws, level)
    if baseline.shape != candidate.shape or (baseline.sum(2) != candidate.sum(2)).any():
        raise InputError(
            "Only scores of the same photos against the same labels can be paired; "
            "the pixels of each class differ between the two.",
            hint="Evaluate both models on one file, with one overlap rule.",
        )
    counts = ClassCounts.of(baseline), ClassCounts.of(candidate)
    return bootstrap_differences(counts[0], [counts[1]], num_draws, seed, level)[0]


def bootstrap_differences(
    baseline: ClassCounts,
    candidates: Sequence[ClassCounts],
    num_draws: int = NUM_DRAWS,
    seed: int = SEED,
    level: float = LEVEL,
) -> list[ScoreDifferences]:
    """Return how much more each candidate scores, and last how much more they do on the mean.

    Args:
        baseline: integer (N, C) each, of single photos.
        candidates: At least one; the same photos in the same order, with the same truth.
        num_draws: See :func:`bootstrap_difference`, as for the rest. All are of the same photos,
            so that the mean has an interval, too.
        seed: Of the draws.
        level: How often an interval shall hold the truth.

    Raises:
        InputError: No photos, or arguments that make no sense.
    """
    _check(baseline.truth.shape, num_draws, level)
    samples = [_tally(counts) for counts in (baseline, *candidates)]
    columns = (
        [_score(sample.sum(0)) for sample in samples],
        _draw_scores(samples, num_draws, seed),
        [_score(sample.sum(0) - sample) for sample in samples],
    )
    changes = [np.stack(column[1:]) - column[0] for column in columns]
    with_mean = [np.concatenate((one, one.mean(0, keepdims=True))) for one in changes]
    is_supported = _find_supported(baseline)
    return [
        _name_differences(value, drawn, left_out, is_supported, level)
        for value, drawn, left_out in zip(*with_mean, strict=True)
    ]


def _name_differences(
    value: Floats,
    draws: Floats,
    left_out: Floats,
    is_supported: npt.NDArray[np.bool_],
    level: float,
) -> ScoreDifferences:
    bounds = np.where(
        is_supported, np.clip(find_bounds(value, draws, left_out, level), -1, 1), np.nan
    )
    differences = [
        Difference(one, Interval(low, high))
        for one, (low, high) in zip(value.tolist(), bounds.T.tolist(), strict=True)
    ]
    return ScoreDifferences(*_name_scores(differences))


def _check(shape: tuple[int, ...], num_draws: int, level: float) -> None:
    if len(shape) < 2 or not shape[0]:
        raise InputError("There are no photos to score.")
    if num_draws < 1:
        raise InputError(f"A bootstrap needs at least 1 draw, not {num_draws}.")
    if not 0 < level < 1:
        raise InputError(f"The level of an interval lies between 0 and 1; {level} does not.")


def _tally(counts: ClassCounts) -> Floats:
    """Return all that scores need of each photo as float64 (N, 3 C + 2), which may be summed.

    Hits, truth and predicted pixels of each class; the photo's mean IoU, and whether it has one.
    Sums are exact up to 2 ** 53.
    """
    mean_iou = counts.miou[:, np.newaxis]
    has_mean = ~np.isnan(mean_iou)
    columns = (counts.hits, counts.truth, counts.predicted, np.nan_to_num(mean_iou), has_mean)
    return np.concatenate(columns, axis=1, dtype=np.float64)


def _score(sums: Floats) -> Floats:
    """Return every score, float64 (..., 5 + 4 C), from sums of tallies (..., 3 C + 2)."""
    num_classes = sums.shape[-1] // 3
    hits, truth, predicted = (
        sums[..., i * num_classes : (i + 1) * num_classes] for i in range(3)
    )  # fmt: skip
    counts = ClassCounts(hits, truth, predicted)
    per_image = divide(sums[..., -2], sums[..., -1])
    overall = (
        counts.miou, per_image, counts.pixel_accuracy, counts.mean_accuracy, counts.weighted_iou,
    )  # fmt: skip
    by_class = (counts.iou, counts.precision, counts.recall, counts.f1)
    return np.concatenate((np.stack(overall, axis=-1), *by_class), axis=-1)


def _name_scores(values: list[Named]) -> tuple[dict[str, Named], dict[str, tuple[Named, ...]]]:
    """Return a row in the order of :func:`_score` by name."""
    start = len(OVERALL_SCORES)
    num_classes = (len(values) - start) // len(CLASS_SCORES)
    classes = {
        name: tuple(values[start + i * num_classes : start + (i + 1) * num_classes])
        for i, name in enumerate(CLASS_SCORES)
    }
    return dict(zip(OVERALL_SCORES, values[:start], strict=True)), classes


def _find_supported(counts: ClassCounts) -> npt.NDArray[np.bool_]:
    """Return for each score whether enough photos stand behind it, bool (5 + 4 C,)."""
    classes = (counts.truth > 0).sum(0) >= MIN_PHOTOS
    overall = np.full(len(OVERALL_SCORES), len(counts.truth) >= MIN_PHOTOS)
    return np.concatenate((overall, np.tile(classes, len(CLASS_SCORES))))


def _draw_scores(samples: list[Floats], num_draws: int, seed: int) -> list[Floats]:
    """Return the scores of each draw, float64 (draws, 5 + 4 C), the same draws for each sample."""
    parts = [
        [_score(weights @ sample) for sample in samples]
        for weights in draw_weights(len(samples[0]), num_draws, seed)
    ]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]

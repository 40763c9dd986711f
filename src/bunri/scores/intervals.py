"""Confidence intervals of scores, by bootstrap over photos and paired between models.

Photos are drawn with replacement, as many as there are, and every score is computed again from
the summed counts of each draw (``resampling``).

An interval is about other photos of the same kind, for the very model that was scored. It does
not cover what training again with another seed would give, nor classes that no photo holds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from bunri.core.errors import InputError
from bunri.scores.confusion import ClassCounts, Matrices, divide, mean_rows
from bunri.scores.metrics import list_class_scores, list_scores, replace_nan
from bunri.scores.resampling import Floats, draw_weights, find_bounds

MIN_PHOTOS = 5
"""Smallest number of photos that an interval is computed from; of a class, photos that hold it."""

Verdict = Literal["better", "no evidence", "worse", "no data"]
Named = TypeVar("Named")


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of a bootstrap; ``level`` is the share of intervals that hold the true score."""

    num: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.num < 1:
            raise InputError(f"A bootstrap needs at least 1 draw, not {self.num}.")
        if not 0 < self.level < 1:
            raise InputError(
                f"The level of an interval lies between 0 and 1; {self.level} does not."
            )


DRAWS = Draws()


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of a confidence interval; both are NaN where there are too few photos."""

    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return self.low == self.low

    def to_json(self) -> list[float] | None:
        """Return ``[low, high]``, or None without an interval."""
        return [self.low, self.high] if self.is_known else None


NO_INTERVAL = Interval(np.nan, np.nan)


@dataclass(frozen=True, slots=True)
class ScoreIntervals:
    """Intervals of the scores of a set of photos, by key and then per class in index order."""

    overall: Mapping[str, Interval]
    classes: Mapping[str, tuple[Interval, ...]]
    draws: Draws

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return the intervals as plain values: ``[low, high]`` by score, null where none is."""
        head = {"level": self.draws.level, "draws": self.draws.num, "seed": self.draws.seed}
        return head | _list_values(self, class_names)


@dataclass(frozen=True, slots=True)
class Difference:
    """Score of the candidate minus that of the baseline on the same photos; NaN is "no data"."""

    value: float
    interval: Interval

    @property
    def verdict(self) -> Verdict:
        """Better or worse only if the interval lies on one side of 0."""
        if self.value != self.value:
            return "no data"
        if self.interval.low > 0:
            return "better"
        return "worse" if self.interval.high < 0 else "no evidence"

    def to_json(self) -> dict[str, Any]:
        """Return the difference as plain values; "no data" is null."""
        return {
            "value": replace_nan(self.value),
            "interval": self.interval.to_json(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class ScoreDifferences:
    """Differences of every score; keys as in :class:`ScoreIntervals`."""

    overall: Mapping[str, Difference]
    classes: Mapping[str, tuple[Difference, ...]]

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return the differences as plain values."""
        return _list_values(self, class_names)


def _list_values(
    found: ScoreIntervals | ScoreDifferences, class_names: Sequence[str]
) -> dict[str, Any]:
    rows = zip(*found.classes.values(), strict=True)
    return {
        **{key: one.to_json() for key, one in found.overall.items()},
        "classes": [
            {"name": name}
            | {key: one.to_json() for key, one in zip(found.classes, row, strict=True)}
            for name, row in zip(class_names, rows, strict=True)
        ],
    }


def bootstrap_scores(counts: Matrices | ClassCounts, draws: Draws = DRAWS) -> ScoreIntervals:
    """Compute an interval for each score from one row of counts, int64 (N, ...), per photo.

    A draw in which a class is absent counts neither for the scores of that class nor for its
    mean. Where every photo gives the same score, the interval is that one value.

    Raises:
        InputError: No photos.
    """
    counts = counts if isinstance(counts, ClassCounts) else ClassCounts.of(counts)
    _check_photos(counts.truth)
    sample = _tally(counts)
    scores = _draw_scores([sample], draws)[0]
    bounds = find_bounds(
        _score(sample.sum(0, keepdims=True))[0], scores, _score(sample.sum(0) - sample), draws.level
    )
    bounds = np.where(_find_supported(counts), np.clip(bounds, 0, 1), np.nan)
    intervals = [Interval(low, high) for low, high in bounds.T.tolist()]
    return ScoreIntervals(*_name_scores(intervals), draws)


def bootstrap_distance(
    photos: Floats, measure: Callable[[Floats], Floats], draws: Draws = DRAWS
) -> Interval:
    """Compute an interval for a sum of distances, such as the calibration error.

    ``photos`` are the summands of each photo, float64 (N, ...); ``measure`` returns scores,
    float64 (...), of sums with the axes of a photo last.

    Chance makes distances longer and never shorter: the score of a few photos has one such excess
    and that of a draw of them two, so the low end is lowered by twice the mean excess of the
    draws over the score. On sets of 42 and 150 photos drawn from real validation photos, intervals
    of a calibration error of 0.024 held it in 96 % and 95 %, of 0.098 in 96 % and 96 %, of exactly
    0, which is the end of the scale, in 86 % and 87 %.

    Raises:
        InputError: No photos.
    """
    _check_photos(photos)
    num_photos, *shape = photos.shape
    if num_photos < MIN_PHOTOS:
        return NO_INTERVAL
    sample = photos.reshape(num_photos, -1)

    def score(sums: Floats) -> Floats:
        return np.asarray(measure(sums.reshape(*sums.shape[:-1], *shape)))[..., np.newaxis]

    weights = draw_weights(num_photos, draws.num, draws.seed)
    scores = np.concatenate([score(some @ sample) for some in weights])
    value = score(sample.sum(0))
    left_out = score(sample.sum(0) - sample)
    low, high = find_bounds(value, scores, left_out, draws.level)[:, 0].tolist()
    excess = max(0.0, float(mean_rows(scores.T)[0] - value[0]))
    return Interval(*np.clip((low - 2 * excess, high), 0, 1).tolist())


def bootstrap_difference(
    baseline: Matrices, candidate: Matrices, draws: Draws = DRAWS
) -> ScoreDifferences:
    """Compute how much more ``candidate`` scores, both on the same draws of the same photos.

    A photo that is hard is hard for both models and drops out, so that far smaller differences
    show than the models' own intervals suggest. At a level of 0.95, one of 20 classes that do
    not differ is called better or worse by chance.

    Raises:
        InputError: No photos, different photos or labels.
    """
    _check_photos(baseline)
    if baseline.shape != candidate.shape or (baseline.sum(2) != candidate.sum(2)).any():
        raise InputError(
            "Only scores of the same photos against the same labels can be paired; "
            "the pixels of each class differ between the two.",
            hint="Evaluate both models on one file, with one overlap rule.",
        )
    return bootstrap_differences(ClassCounts.of(baseline), [ClassCounts.of(candidate)], draws)[0]


def bootstrap_differences(
    baseline: ClassCounts, candidates: Sequence[ClassCounts], draws: Draws = DRAWS
) -> list[ScoreDifferences]:
    """Compute how much more each candidate scores, and last the mean of these differences.

    All candidates, which have the same photos and truth, are scored on the same draws, so that
    the mean has an interval, too.

    Raises:
        InputError: No photos.
    """
    _check_photos(baseline.truth)
    samples = [_tally(counts) for counts in (baseline, *candidates)]
    columns = (
        [_score(sample.sum(0, keepdims=True))[0] for sample in samples],
        _draw_scores(samples, draws),
        [_score(sample.sum(0) - sample) for sample in samples],
    )
    changes = [np.stack(column[1:]) - column[0] for column in columns]
    with_mean = [np.concatenate((one, one.mean(0, keepdims=True))) for one in changes]
    is_supported = _find_supported(baseline)
    found = []
    for value, scores, left_out in zip(*with_mean, strict=True):
        bounds = np.clip(find_bounds(value, scores, left_out, draws.level), -1, 1)
        ends = np.where(is_supported, bounds, np.nan).T.tolist()
        rows = zip(value.tolist(), ends, strict=True)
        differences = [Difference(one, Interval(*pair)) for one, pair in rows]
        found.append(ScoreDifferences(*_name_scores(differences)))
    return found


def _check_photos(photos: npt.NDArray[Any]) -> None:
    if photos.ndim < 2 or not len(photos):
        raise InputError("There are no photos to score.")


def _tally(counts: ClassCounts) -> Floats:
    """Return what scores need of each photo as float64 (N, 3 C + 2 P), which may be summed.

    Hits, truth and predicted pixels of each class; the P scores that are averaged over photos,
    and whether the photo has each of them. Sums are exact up to 2 ** 53.
    """
    means = [score.compute(counts) for score in list_scores("photos")]
    stacked = np.stack(means, axis=1) if means else np.zeros((len(counts.truth), 0))
    has_score = ~np.isnan(stacked)
    columns = (counts.hits, counts.truth, counts.predicted, np.nan_to_num(stacked), has_score)
    return np.concatenate(columns, axis=1, dtype=np.float64)


def _score(sums: Floats) -> Floats:
    """Return every score, float64 (..., S), from sums of tallies (..., 3 C + 2 P)."""
    num_means = len(list_scores("photos"))
    num_classes = (sums.shape[-1] - 2 * num_means) // 3
    hits, truth, predicted, means = (
        sums[..., i * num_classes : (i + 1) * num_classes if i < 3 else None] for i in range(4)
    )
    counts = ClassCounts(hits, truth, predicted)
    averages = iter(np.moveaxis(divide(means[..., :num_means], means[..., num_means:]), -1, 0))
    overall = [
        next(averages) if score.basis == "photos" else score.compute(counts)
        for score in list_scores("set", "photos")
    ]
    by_class = (score.compute(counts) for score in list_class_scores("set"))
    return np.concatenate((np.stack(overall, axis=-1), *by_class), axis=-1)


def _name_scores(values: list[Named]) -> tuple[dict[str, Named], dict[str, tuple[Named, ...]]]:
    """Return a row in the order of :func:`_score` by key."""
    overall = [score.key for score in list_scores("set", "photos")]
    by_class = [score.key for score in list_class_scores("set")]
    start = len(overall)
    num_classes = (len(values) - start) // len(by_class)
    classes = {
        key: tuple(values[start + i * num_classes : start + (i + 1) * num_classes])
        for i, key in enumerate(by_class)
    }
    return dict(zip(overall, values[:start], strict=True)), classes


def _find_supported(counts: ClassCounts) -> npt.NDArray[np.bool_]:
    """Return for each score of :func:`_score` whether enough photos hold it, bool (S,)."""
    classes = (counts.truth > 0).sum(0) >= MIN_PHOTOS
    overall = np.full(len(list_scores("set", "photos")), len(counts.truth) >= MIN_PHOTOS)
    return np.concatenate((overall, np.tile(classes, len(list_class_scores("set")))))


def _draw_scores(samples: list[Floats], draws: Draws) -> list[Floats]:
    """Return the scores of each draw, float64 (draws, S), from the same draws of each sample."""
    parts = [
        [_score(weights @ sample) for sample in samples]
        for weights in draw_weights(len(samples[0]), draws.num, draws.seed)
    ]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]

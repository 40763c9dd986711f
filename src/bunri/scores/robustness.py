"""Scores of photos under corruptions, and their drops.

A drop is the score on clean photos minus that under the corruption, paired photo by photo; its
interval is that of a paired difference (``intervals``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bunri.scores.confusion import ClassCounts, Matrices, mean_rows
from bunri.scores.intervals import Difference, Interval, ScoreDifferences, bootstrap_differences
from bunri.scores.metrics import put_last, replace_nan


@dataclass(frozen=True, slots=True, eq=False)
class RobustnessCounts:
    """Counts of each photo under each corruption, at the photo's own size.

    Attributes:
        severity: Severity of all corruptions, 1 to 5.
        names: Names of the K corruptions.
        hits: int64 (K, N, C), correct pixels of the class.
        predicted: int64 (K, N, C), pixels predicted as the class. Pixels of the truth are the
            same as in the clean photos.
    """

    severity: int
    names: tuple[str, ...]
    hits: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    @classmethod
    def of(cls, severity: int, names: Sequence[str], photos: Sequence[Matrices]) -> Self:
        """Return the counts of photos, integer (K, 2, C) each: hits and predicted pixels."""
        counts = np.array(photos, np.int64)
        return cls(severity, tuple(names), *counts.transpose(2, 1, 0, 3))

    def list_counts(self, clean: ClassCounts) -> list[ClassCounts]:
        """Return the counts under each corruption, integer (N, C) each, given the clean ones."""
        pairs = zip(self.hits, self.predicted, strict=True)
        return [ClassCounts(hits, clean.truth, predicted) for hits, predicted in pairs]


@dataclass(frozen=True, slots=True)
class CorruptionScores:
    """Scores under one corruption and their drops, or the means over all (name ``mean``)."""

    name: str
    global_miou: float
    per_image_miou: float
    drop: Difference
    per_image_drop: Difference

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; "no data" is null."""
        drops = {"global": self.drop, "per_image": self.per_image_drop}
        return {
            "name": self.name,
            "miou": {
                "global": replace_nan(self.global_miou),
                "per_image": replace_nan(self.per_image_miou),
            },
            "drop": {
                key: {"value": replace_nan(one.value), "interval": one.interval.to_json()}
                for key, one in drops.items()
            },
        }


@dataclass(frozen=True, slots=True)
class RobustnessScores:
    """Scores under each corruption in the order of the counts, and their unweighted mean."""

    counts: RobustnessCounts
    corruptions: tuple[CorruptionScores, ...]
    mean: CorruptionScores

    @property
    def ranked(self) -> list[CorruptionScores]:
        """Corruptions by their drop of the global mIoU, largest first; "no data" last."""
        return sorted(self.corruptions, key=lambda one: put_last(-one.drop.value))

    @property
    def worst(self) -> CorruptionScores:
        """Corruption with the largest drop."""
        return self.ranked[0]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "severity": self.counts.severity,
            "mean": self.mean.to_json(),
            "worst": self.worst.name,
            "corruptions": [one.to_json() for one in self.corruptions],
        }


def score_robustness(counts: RobustnessCounts, matrices: Matrices) -> RobustnessScores:
    """Compute scores under each corruption, with drops and their paired intervals.

    ``matrices``, int64 (N, C, C), are those of the same photos, clean.

    Raises:
        InputError: There are no photos.
    """
    clean = ClassCounts.of(matrices)
    under = counts.list_counts(clean)
    *each, mean = bootstrap_differences(clean, under)
    scores = [_score(one) for one in under]
    rows = tuple(
        CorruptionScores(name, *pair, *_list_drops(differences))
        for name, pair, differences in zip(counts.names, scores, each, strict=True)
    )
    means = np.mean(scores, axis=0).tolist()
    return RobustnessScores(counts, rows, CorruptionScores("mean", *means, *_list_drops(mean)))


def _score(counts: ClassCounts) -> tuple[float, float]:
    return float(counts.sum().miou), float(mean_rows(counts.miou))


def _list_drops(differences: ScoreDifferences) -> list[Difference]:
    return [_turn_around(differences.overall[key]) for key in ("global_miou", "per_image_miou")]


def _turn_around(one: Difference) -> Difference:
    # Subtracted from 0, so that no drop is 0 and not -0.
    return Difference(0 - one.value, Interval(0 - one.interval.high, 0 - one.interval.low))


def choose_example(counts: RobustnessCounts, matrices: Matrices) -> int:
    """Return the index of a photo that shows the typical effect of corruptions.

    It is the photo with the median drop among the better half by clean mean IoU: a photo that is
    predicted badly when it is clean has nothing to lose.
    """
    clean = ClassCounts.of(matrices)
    before = np.nan_to_num(clean.miou)
    after = np.mean([np.nan_to_num(one.miou) for one in counts.list_counts(clean)], axis=0)
    better = np.argsort(-before, kind="stable")[: (len(before) + 1) // 2]
    by_drop = better[np.argsort((before - after)[better], kind="stable")]
    return int(by_drop[len(by_drop) // 2])

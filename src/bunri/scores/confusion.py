"""Confusion matrices of masks, and the counts of each class that scores are computed from.

A class that is in neither the truth nor the prediction has no score: NaN in arrays, null in JSON,
"no data" on screen, and no part in a mean. A class that is predicted but not in the truth has
IoU 0: inventing a class must cost. The formulas of the mIoU are those of the competition's
``label_accuracy_score`` (wkentaro/pytorch-fcn).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from bunri.core.contracts import IGNORE_INDEX, check_mask
from bunri.core.errors import InputError

Matrix = npt.NDArray[np.int64]  # (C, C): [truth, prediction] -> pixels
Matrices = npt.NDArray[np.int64]  # (N, C, C): one per photo
Scores = npt.NDArray[np.float64]

_MIN_RUN_PX = 8  # mean run length from which counting runs beats counting pixels
_SAMPLE_PX = 512  # pixels of each sample that estimates the run length


def count_confusion(
    truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], num_classes: int
) -> Matrix:
    """Return how often each class was predicted where each class is true, int64 (C, C).

    Rows are the truth; pixels whose truth is 255 are not counted.

    Raises:
        InputError: Different sizes, a value outside the class table, or an ignore value in
            the prediction where the truth has a class.
    """
    if truth.shape != prediction.shape:
        raise InputError(f"Truth is {truth.shape}, prediction {prediction.shape}: sizes differ.")
    rows = truth + np.uint8(1)  # ignored pixels, 255, wrap around to row 0
    columns = prediction
    if columns.max(initial=0) >= num_classes:
        columns = np.where(truth == IGNORE_INDEX, np.uint8(0), prediction)
    if rows.max(initial=0) > num_classes or columns.max(initial=0) >= num_classes:
        check_mask(truth, num_classes)
        check_mask(prediction, num_classes)
        raise InputError(
            f"The prediction holds {IGNORE_INDEX} (ignore) where the truth has a class."
        )
    return _count_pairs(rows.ravel(), columns.ravel(), num_classes)[1:]


def _count_pairs(
    rows: npt.NDArray[np.uint8], columns: npt.NDArray[np.uint8], num_classes: int
) -> Matrix:
    """Count pairs of a row up to ``num_classes`` and a column below it: (C + 1, C)."""
    num_pairs = (num_classes + 1) * num_classes
    pairs: npt.NDArray[np.unsignedinteger]
    if num_pairs <= 256:
        pairs = rows * np.uint8(num_classes) + columns
    else:
        pairs = rows * np.uint16(num_classes) + columns
    if _has_long_runs(pairs):
        ends = np.append(np.flatnonzero(pairs[1:] != pairs[:-1]), pairs.size - 1)
        counts = np.bincount(pairs[ends], np.diff(ends, prepend=-1), num_pairs)
    elif pairs.dtype == np.uint8:  # Pillow counts bytes three times as fast as numpy
        counts = np.asarray(Image.fromarray(pairs[None]).histogram()[:num_pairs])
    else:
        counts = np.bincount(pairs, minlength=num_pairs)
    return counts.reshape(num_classes + 1, num_classes).astype(np.int64)


def _has_long_runs(pairs: npt.NDArray[np.unsignedinteger]) -> bool:
    """Estimate from samples whether neighbouring pixels mostly hold the same pair.

    Masks are made of areas, which are few runs; in noise every pixel is a run.
    """
    samples = pairs[: pairs.size // _SAMPLE_PX * _SAMPLE_PX].reshape(-1, _SAMPLE_PX)[::16]
    changes = int(np.count_nonzero(samples[:, 1:] != samples[:, :-1]))
    return changes * _MIN_RUN_PX < int(samples.size)


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """Pixels of each class: all that a score needs of a confusion matrix.

    Each array is (..., C), integer, or float64 that holds integers. Scores are float64 (..., C)
    and means over classes float64 (...); NaN is "no data".
    """

    hits: npt.NDArray[Any]
    truth: npt.NDArray[Any]
    predicted: npt.NDArray[Any]

    @classmethod
    def of(cls, matrices: npt.NDArray[np.integer[Any]]) -> Self:
        """Return the counts of confusion matrices, integer (..., C, C)."""
        hits = np.diagonal(matrices, axis1=-2, axis2=-1)
        return cls(hits, matrices.sum(-1), matrices.sum(-2))

    def sum(self) -> Self:
        """Return the counts of all rows together, (C,) of (N, C)."""
        return type(self)(self.hits.sum(0), self.truth.sum(0), self.predicted.sum(0))

    @property
    def iou(self) -> Scores:
        """Intersection over union; NaN for a class in neither truth nor prediction."""
        return divide(self.hits, self.truth + self.predicted - self.hits)

    @property
    def recall(self) -> Scores:
        """Share of the class that was found; NaN for a class that the truth does not hold."""
        return divide(self.hits, self.truth)

    @property
    def miou(self) -> Scores:
        """Mean IoU over the classes in truth or prediction."""
        return mean_rows(self.iou)


def stack_matrices(matrices: Sequence[Matrix], num_classes: int) -> Matrices:
    """Return the matrices of single photos as int64 (N, C, C); N may be 0."""
    if not matrices:
        return np.zeros((0, num_classes, num_classes), np.int64)
    return np.stack(matrices)


def divide(part: npt.ArrayLike, whole: npt.ArrayLike) -> Scores:
    """Return part / whole, NaN where whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    quotient: Scores = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return quotient


def mean_rows(values: Scores) -> Scores:
    """Return the mean of each row's values without NaN, float64 (...); NaN for a row of NaN."""
    return divide(np.nansum(values, axis=-1), (~np.isnan(values)).sum(-1))

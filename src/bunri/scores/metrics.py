"""How good a mask is: one confusion matrix per photo, and every score from those.

Owns the definitions of the three mIoUs. Knows nothing of models or files.

A class that is neither in the truth nor in the prediction has no score: it is NaN in arrays,
null in JSON, "no data" on screen, and takes no part in a mean. A class that is predicted but
not in the truth has IoU 0: inventing it must cost. The formulas of the mIoU are those of the
competition's ``label_accuracy_score`` (wkentaro/pytorch-fcn).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf, isnan
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from bunri.core.contracts import IGNORE_INDEX, check_mask
from bunri.core.errors import InputError

Matrix = npt.NDArray[np.int64]  # (C, C): [truth, prediction] -> pixels
Matrices = npt.NDArray[np.int64]  # (N, C, C): one per photo
Scores = npt.NDArray[np.float64]

_MIN_RUN_PX = 8  # mean length from which counting runs beats counting pixels
_LOOK_PX = 512  # how many at a time are looked at to tell


def count_confusion(
    truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], num_classes: int
) -> Matrix:
    """Count how often each class was predicted where each class is true.

    Args:
        truth: uint8 (H, W), class index; pixels of 255 are not counted.
        prediction: uint8 (H, W), class index.
        num_classes: Number of classes, background included.

    Returns:
        int64 (C, C), rows are truth, columns prediction.

    Raises:
        InputError: Different sizes, a value outside the class table, or an ignore value in
            the prediction where the truth has a class.
    """
    if truth.shape != prediction.shape:
        raise InputError(f"Truth is {truth.shape}, prediction {prediction.shape}: sizes differ.")
    rows = truth + np.uint8(1)  # ignored pixels, 255, come round to row 0
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
    if _lies_in_runs(pairs):
        ends = np.append(np.flatnonzero(pairs[1:] != pairs[:-1]), pairs.size - 1)
        counts = np.bincount(pairs[ends], np.diff(ends, prepend=-1), num_pairs)
    elif pairs.dtype == np.uint8:  # Pillow counts bytes three times as fast as numpy
        counts = np.asarray(Image.fromarray(pairs[None]).histogram()[:num_pairs])
    else:
        counts = np.bincount(pairs, minlength=num_pairs)
    return counts.reshape(num_classes + 1, num_classes).astype(np.int64)


def _lies_in_runs(pairs: npt.NDArray[np.unsignedinteger]) -> bool:
    """Say whether pixels beside one another mostly hold the same pair, by a look at some.

    Masks are made of areas, so that there is little to count. In noise every pixel is a run.
    """
    some = pairs[: pairs.size // _LOOK_PX * _LOOK_PX].reshape(-1, _LOOK_PX)[::16]
    changes = int(np.count_nonzero(some[:, 1:] != some[:, :-1]))
    return changes * _MIN_RUN_PX < int(some.size)


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """Pixels of each class, all that IoU, precision, recall and F1 need of a confusion matrix.

    Each array is (..., C), integer, or float64 that holds integers. Scores are float64 (..., C)
    and means over classes float64 (...); NaN is "no data".

    Attributes:
        hits: Predicted as the class and right.
        truth: In the class.
        predicted: Predicted as the class.
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
    def precision(self) -> Scores:
        """Share of what was predicted as the class that is right; NaN if nothing was."""
        return divide(self.hits, self.predicted)

    @property
    def recall(self) -> Scores:
        """Share of the class that was found; NaN for a class that the truth does not hold."""
        return divide(self.hits, self.truth)

    @property
    def f1(self) -> Scores:
        """Harmonic mean of precision and recall, 2 hits / (truth + predicted), as Dice."""
        return divide(2 * self.hits, self.truth + self.predicted)

    @property
    def miou(self) -> Scores:
        """Mean IoU over the classes in truth or prediction."""
        return mean_rows(self.iou)

    @property
    def pixel_accuracy(self) -> Scores:
        """Share of right pixels."""
        return divide(self.hits.sum(-1), self.truth.sum(-1))

    @property
    def mean_accuracy(self) -> Scores:
        """Mean recall over the classes of the truth, the notebook's ``acc_cls``."""
        return mean_rows(self.recall)

    @property
    def weighted_iou(self) -> Scores:
        """IoU weighted by the pixels of each class in the truth, the notebook's ``fwavacc``."""
        known = np.nan_to_num(self.iou)  # a class without an IoU has weight 0
        return divide((self.truth * known).sum(-1), self.truth.sum(-1))


def compute_iou(matrix: npt.NDArray[np.integer[Any]]) -> Scores:
    """Return intersection over union per class, float64 (..., C), of matrices (..., C, C)."""
    return ClassCounts.of(matrix).iou


def compute_pixel_accuracy(matrix: Matrix) -> float:
    """Return the share of counted pixels that are right; NaN without any."""
    return float(ClassCounts.of(matrix).pixel_accuracy)


def compute_global_miou(matrices: Matrices) -> float:
    """Return the mean over classes of the IoU of the summed matrix (``global``)."""
    return _mean(compute_iou(matrices.sum(0)))


def compute_per_image_miou(matrices: Matrices) -> float:
    """Return the mean over photos of each photo's mean IoU (``per-image``).

    A photo's mean runs over the classes in its truth or prediction; a photo whose pixels are
    all ignored has no data and is left out.
    """
    return _mean(mean_rows(compute_iou(matrices)))


def compute_per_batch_miou(matrices: Matrices, batch_size: int) -> float:
    """Return the mean over batches of each batch's mean IoU (``per-batch``).

    What the 2021 notebook printed: batches of photos in order, the last one maybe smaller
    and yet of full weight. It moves with the batch size, so never show it without.

    Raises:
        InputError: ``batch_size`` below 1.
    """
    if batch_size < 1:
        raise InputError(f"A batch has at least 1 photo, not {batch_size}.")
    starts = np.arange(0, len(matrices), batch_size)
    if not starts.size:
        return float("nan")
    return _mean(mean_rows(compute_iou(np.add.reduceat(matrices, starts, axis=0))))


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Every score of one class; NaN where there is no data.

    Attributes:
        iou: Intersection over union.
        precision: Share of what was predicted as the class that is right.
        recall: Share of the class that was found.
        f1: Harmonic mean of the two.
        photos: Photos whose truth holds the class.
        pixels: Pixels of the truth in the class.
        predicted_photos: Photos where the class was predicted.
        predicted_pixels: Pixels predicted as the class.
    """

    iou: float
    precision: float
    recall: float
    f1: float
    photos: int
    pixels: int
    predicted_photos: int
    predicted_pixels: int


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    """Every score of a set of photos.

    Attributes:
        num_photos: How many photos were scored.
        num_pixels: How many pixels, without ignored ones.
        pixel_accuracy: Share of right pixels.
        mean_accuracy: Mean recall over classes.
        weighted_iou: IoU weighted by the pixels of each class.
        global_miou: From one matrix over the set.
        per_image_miou: Mean over photos.
        per_batch_miou: Mean over batches of ``batch_size``.
        batch_size: Photos in a batch of ``per_batch_miou``.
        classes: Per class in index order.
    """

    num_photos: int
    num_pixels: int
    pixel_accuracy: float
    mean_accuracy: float
    weighted_iou: float
    global_miou: float
    per_image_miou: float
    per_batch_miou: float
    batch_size: int
    classes: tuple[ClassScores, ...]

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return the sheet as plain values; "no data" is null.

        Args:
            class_names: Names in index order.
        """
        return {
            "num_photos": self.num_photos,
            "num_pixels": self.num_pixels,
            "pixel_accuracy": replace_nan(self.pixel_accuracy),
            "mean_accuracy": replace_nan(self.mean_accuracy),
            "weighted_iou": replace_nan(self.weighted_iou),
            "miou": {
                "global": replace_nan(self.global_miou),
                "per_image": replace_nan(self.per_image_miou),
                "per_batch": replace_nan(self.per_batch_miou),
                "batch_size": self.batch_size,
            },
            "classes": [
                {"name": name} | {key: replace_nan(value) for key, value in asdict(row).items()}
                for name, row in zip(class_names, self.classes, strict=True)
            ],
        }


def compute_scores(matrices: Matrices, batch_size: int = 16) -> ScoreSheet:
    """Return all scores of the photos behind ``matrices``.

    Args:
        matrices: int64 (N, C, C), one per photo, in the order of the set.
        batch_size: For ``per_batch_miou``; 16 is the notebook's.

    Raises:
        InputError: No photos, or a batch size below 1.
    """
    if matrices.ndim != 3 or not len(matrices):
        raise InputError("There are no photos to score.")
    photos, total = ClassCounts.of(matrices), ClassCounts.of(matrices.sum(0))
    columns = (
        total.iou, total.precision, total.recall, total.f1,
        (photos.truth > 0).sum(0), total.truth, (photos.predicted > 0).sum(0), total.predicted,
    )  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return ScoreSheet(
        num_photos=len(matrices),
        num_pixels=int(total.truth.sum()),
        pixel_accuracy=float(total.pixel_accuracy),
        mean_accuracy=float(total.mean_accuracy),
        weighted_iou=float(total.weighted_iou),
        global_miou=compute_global_miou(matrices),
        per_image_miou=compute_per_image_miou(matrices),
        per_batch_miou=compute_per_batch_miou(matrices, batch_size),
        batch_size=batch_size,
        classes=tuple(ClassScores(*row) for row in rows),
    )


def stack_matrices(matrices: Sequence[Matrix], num_classes: int) -> Matrices:
    """Return matrices of single photos as int64 (N, C, C), also for none at all."""
    if not matrices:
        return np.zeros((0, num_classes, num_classes), np.int64)
    return np.stack(matrices)


def replace_nan(value: float) -> float | None:
    """Return ``value``, or None ("no data") for NaN."""
    return None if np.isnan(value) else value


def put_last(value: float | None) -> float:
    """Return a value to sort by, the greatest for one that is not known."""
    return inf if value is None or isnan(value) else value


def divide(part: npt.ArrayLike, whole: npt.ArrayLike) -> Scores:
    """Return part / whole, NaN where whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    quotient: Scores = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return quotient


def _mean(values: Scores) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def mean_rows(values: Scores) -> Scores:
    """Return the mean of each row's known values; NaN for a row without any."""
    return divide(np.nansum(values, axis=-1), (~np.isnan(values)).sum(-1))

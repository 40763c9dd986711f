"""The list of scores, and the scores of a set of photos.

``OVERALL_SCORES`` and ``CLASS_SCORES`` are the only place where scores are listed: the command
line, reports, intervals, comparison and ``bunri tune`` read them. To add a score, add an entry.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isnan
from typing import Any, Literal

import numpy as np

from bunri.core.errors import InputError
from bunri.scores.confusion import ClassCounts, Matrices, Scores, divide, mean_rows

Basis = Literal["set", "photos", "batches", "boundary", "calibration"]


def _no_counts(counts: ClassCounts) -> Scores:
    """Stand in for the formula of a score that is not computed from counts of classes."""
    return np.full(counts.hits.shape[:-1], np.nan)


def _average_iou(counts: ClassCounts) -> Scores:
    """Return the mean IoU; of a single row, zeros for absent classes would change the rounding."""
    iou = counts.iou
    return mean_rows(iou[~np.isnan(iou)]) if iou.ndim == 1 else mean_rows(iou)


@dataclass(frozen=True, slots=True)
class Score:
    """An entry of the list of scores.

    Attributes:
        key: Name in JSON files, in settings and in code.
        label: English name on screen and on pages; ``label_ko`` the Korean one.
        note: English explanation in one line; ``{size}`` stands for the batch size.
        compute: Function from counts (..., C) to the score, float64 (...), or (..., C) for a
            score of each class; NaN is "no data".
        basis: Counts that the score is computed from: the sum over all photos (``set``), each
            photo (``photos``) or each batch (``batches``), then averaged; the sum of the pixels
            along outlines (``boundary``); or the reliability curve (``calibration``). All but
            ``batches`` have a confidence interval.
    """

    key: str
    label: str
    label_ko: str
    note: str = ""
    note_ko: str = ""
    compute: Callable[[ClassCounts], Scores] = _no_counts
    basis: Basis = "set"


OVERALL_SCORES: tuple[Score, ...] = (
    Score(
        "global_miou",
        "global mIoU",
        "전체 mIoU(global)",
        "one matrix over the set",
        "모든 사진을 합친 혼동 행렬에서 구한 클래스 평균",
        _average_iou,
    ),
    Score(
        "per_image_miou",
        "per-image mIoU",
        "사진별 mIoU(per-image)",
        "mean over photos",
        "사진별 점수의 평균",
        lambda counts: counts.miou,
        "photos",
    ),
    Score(
        # From the 2021 notebook: batches of photos in order, the last one maybe smaller and yet
        # of full weight. It has no interval, since it belongs to one order of the photos.
        "per_batch_miou",
        "per-batch mIoU",
        "배치별 mIoU(per-batch)",
        "mean over batches of {size}",
        "{size}장씩 묶은 배치별 점수의 평균(배치 크기에 따라 달라짐)",
        lambda counts: counts.miou,
        "batches",
    ),
    Score(
        "boundary_miou",
        "boundary mIoU",
        "윤곽 mIoU(boundary)",
        "outlines only, mean over classes",
        "윤곽 부근 픽셀만, 클래스 평균",
        lambda counts: counts.miou,
        "boundary",
    ),
    Score(
        "pixel_accuracy",
        "pixel accuracy",
        "픽셀 정확도",
        "share of correct pixels",
        "맞은 픽셀의 비율",
        lambda counts: divide(counts.hits.sum(-1), counts.truth.sum(-1)),
    ),
    Score(  # the notebook's ``acc_cls``
        "mean_accuracy",
        "mean accuracy",
        "평균 정확도",
        "mean recall over classes",
        "클래스별 재현율의 평균",
        lambda counts: mean_rows(counts.recall),
    ),
    Score(  # the notebook's ``fwavacc``; a class without an IoU has weight 0
        "weighted_iou",
        "weighted IoU",
        "가중 IoU",
        "IoU weighted by the pixels of each class",
        "클래스의 픽셀 수로 가중한 IoU",
        lambda counts: divide(
            (counts.truth * np.nan_to_num(counts.iou)).sum(-1), counts.truth.sum(-1)
        ),
    ),
    Score(
        "ece",
        "calibration error",
        "확신도 보정 오차(ECE)",
        "mean gap between confidence and accuracy",
        "확신도와 정확도의 평균 차이",
        basis="calibration",
    ),
)

CLASS_SCORES: tuple[Score, ...] = (
    Score("iou", "IoU", "IoU", compute=lambda counts: counts.iou),
    Score(
        "precision",
        "precision",
        "정밀도",
        compute=lambda counts: divide(counts.hits, counts.predicted),
    ),
    Score("recall", "recall", "재현율", compute=lambda counts: counts.recall),
    Score(  # the harmonic mean of precision and recall, the same as Dice
        "f1",
        "F1",
        "F1",
        compute=lambda counts: divide(2 * counts.hits, counts.truth + counts.predicted),
    ),
    Score(
        "boundary_iou",
        "boundary IoU",
        "윤곽 IoU",
        compute=lambda counts: counts.iou,
        basis="boundary",
    ),
)


def list_scores(*bases: Basis) -> list[Score]:
    """Return the overall scores of these bases in the order of the list; all without bases."""
    return [score for score in OVERALL_SCORES if not bases or score.basis in bases]


def list_class_scores(*bases: Basis) -> list[Score]:
    """Return the scores of each class of these bases in the order of the list; all without."""
    return [score for score in CLASS_SCORES if not bases or score.basis in bases]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one class by key, those of the basis ``set``; its photos and pixels."""

    scores: Mapping[str, float]
    photos: int
    pixels: int
    predicted_photos: int
    predicted_pixels: int

    @property
    def iou(self) -> float:
        """Intersection over union."""
        return self.scores["iou"]


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    """Scores of a set of photos; NaN is "no data".

    Attributes:
        num_pixels: Number of pixels, without ignored ones.
        overall: Values by key, those of the bases ``set``, ``photos`` and ``batches``.
        batch_size: Photos in a batch of ``per_batch_miou``.
        classes: Scores of each class in index order.
    """

    num_photos: int
    num_pixels: int
    overall: Mapping[str, float]
    batch_size: int
    classes: tuple[ClassScores, ...]

    @property
    def global_miou(self) -> float:
        """Mean over classes of the IoU of the summed matrix."""
        return self.overall["global_miou"]

    @property
    def per_image_miou(self) -> float:
        """Mean over photos of each photo's mean IoU over the classes it holds."""
        return self.overall["per_image_miou"]

    @property
    def per_batch_miou(self) -> float:
        """Mean over batches of each batch's mean IoU; it moves with the batch size."""
        return self.overall["per_batch_miou"]

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return the sheet as plain values; "no data" is null."""
        values = {key: replace_nan(value) for key, value in self.overall.items()}
        mious = {key: values.pop(f"{key}_miou") for key in ("global", "per_image", "per_batch")}
        return {
            "num_photos": self.num_photos,
            "num_pixels": self.num_pixels,
            **values,
            "miou": {**mious, "batch_size": self.batch_size},
            "classes": [
                {"name": name}
                | {key: replace_nan(value) for key, value in row.scores.items()}
                | {key: value for key, value in asdict(row).items() if key != "scores"}
                for name, row in zip(class_names, self.classes, strict=True)
            ],
        }


def compute_scores(matrices: Matrices, batch_size: int = 16) -> ScoreSheet:
    """Return the scores of photos from their confusion matrices, int64 (N, C, C), in order.

    The batch size, 16 in the notebook, is that of ``per_batch_miou``.

    Raises:
        InputError: No photos, or a batch size below 1.
    """
    if matrices.ndim != 3 or not len(matrices):
        raise InputError("There are no photos to score.")
    if batch_size < 1:
        raise InputError(f"A batch has at least 1 photo, not {batch_size}.")
    starts = np.arange(0, len(matrices), batch_size)
    photos, total = ClassCounts.of(matrices), ClassCounts.of(matrices.sum(0))
    counts = {
        "set": total,
        "photos": photos,
        "batches": ClassCounts.of(np.add.reduceat(matrices, starts, axis=0)),
    }
    # A photo or batch with every pixel ignored has no data and takes no part in the mean.
    overall = {}
    for score in list_scores("set", "photos", "batches"):
        values = np.atleast_1d(score.compute(counts[score.basis]))
        overall[score.key] = float(mean_rows(values[~np.isnan(values)]))
    by_class = {score.key: score.compute(total).tolist() for score in list_class_scores("set")}
    pixels = zip(
        (photos.truth > 0).sum(0).tolist(),
        total.truth.tolist(),
        (photos.predicted > 0).sum(0).tolist(),
        total.predicted.tolist(),
        strict=True,
    )
    return ScoreSheet(
        num_photos=len(matrices),
        num_pixels=int(total.truth.sum()),
        overall=overall,
        batch_size=batch_size,
        classes=tuple(
            ClassScores({key: values[i] for key, values in by_class.items()}, *row)
            for i, row in enumerate(pixels)
        ),
    )


def replace_nan(value: float) -> float | None:
    """Return ``value``, or None ("no data") for NaN."""
    return None if np.isnan(value) else value


def put_last(value: float | None) -> float:
    """Return a sort key that puts None and NaN last."""
    return inf if value is None or isnan(value) else value

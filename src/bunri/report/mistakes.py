"""Kinds of mistakes.

Every wrong pixel is of one of three kinds: the truth has a class and the prediction Background
(missed), the other way round (invented), or both have different classes (confused). Wrong pixels
in the band along the outlines of the truth are counted as boundary, too: a model that finds
everything and draws it carelessly makes hardly any others.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, ImageArray, MaskArray
from bunri.scores.boundary import find_band, find_distance_px
from bunri.scores.confusion import Matrix, count_confusion

MistakeKind = Literal["missed", "invented", "confused", "boundary"]
MISTAKE_KINDS: tuple[MistakeKind, ...] = ("missed", "invented", "confused", "boundary")
MISTAKE_COLORS_RGB: dict[MistakeKind, tuple[int, int, int]] = {
    "missed": (232, 89, 12),
    "invented": (28, 126, 214),
    "confused": (194, 37, 92),
}
"""Every wrong pixel has one of these kinds, so that the fourth needs no colour."""


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """Pixels by truth and prediction, int64 (C, C), of a photo or of many, correct ones included.

    ``boundary`` counts those in the band along the outlines of the truth.
    """

    matrix: Matrix
    boundary: Matrix

    @classmethod
    def of(cls, truth: MaskArray, prediction: MaskArray, num_classes: int) -> Self:
        """Count a photo, both masks uint8 (H, W); pixels whose truth is 255 are not counted."""
        matrix = count_confusion(truth, prediction, num_classes)
        height, width = truth.shape
        band = find_band(truth, find_distance_px((height, width)))
        near = np.where(band, truth, IGNORE_INDEX).astype(np.uint8)
        return cls(matrix, count_confusion(near, prediction, num_classes))

    @classmethod
    def of_cells(cls, cells: list[list[int]]) -> Self:
        """Return what :meth:`list_cells` lists."""
        size = 1 + max((max(cell[:2]) for cell in cells), default=0)
        matrix, boundary = np.zeros((2, size, size), np.int64)
        for truth, prediction, pixels, near in cells:
            matrix[truth, prediction], boundary[truth, prediction] = pixels, near
        return cls(matrix, boundary)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.matrix + other.matrix, self.boundary + other.boundary)

    @property
    def num_pixels(self) -> int:
        """Pixels that were counted."""
        return int(self.matrix.sum())

    def count(self) -> dict[MistakeKind, int]:
        """Return the pixels of each kind; the first three add up to all wrong ones."""
        return {**count_kinds(self.matrix), "boundary": count_wrong(self.boundary)}

    def list_cells(self) -> list[list[int]]:
        """Return ``[truth, prediction, pixels, of these along outlines]`` where any are."""
        return [
            [int(row), int(column), int(self.matrix[row, column]), int(self.boundary[row, column])]
            for row, column in np.argwhere(self.matrix)
        ]


def draw_mistakes(
    image: ImageArray, truth: MaskArray, prediction: MaskArray, opacity: float = 0.7
) -> ImageArray:
    """Return a photo, uint8 (H, W, 3) RGB, with its wrong pixels tinted by kind."""
    wrong = (truth != prediction) & (truth != IGNORE_INDEX)
    kinds = np.where(prediction == BACKGROUND_INDEX, 0, np.where(truth == BACKGROUND_INDEX, 1, 2))
    colors = np.array(list(MISTAKE_COLORS_RGB.values()))[kinds[wrong]]
    drawn = image.copy()
    drawn[wrong] = (image[wrong] * (1 - opacity) + colors * opacity).astype(np.uint8)
    return drawn


def count_kinds(matrix: Matrix) -> dict[MistakeKind, int]:
    """Return the missed, invented and confused pixels of a confusion matrix, int64 (C, C)."""
    wrong = matrix * ~np.eye(len(matrix), dtype=np.bool_)
    missed, invented = wrong[:, BACKGROUND_INDEX].sum(), wrong[BACKGROUND_INDEX].sum()
    return {
        "missed": int(missed),
        "invented": int(invented),
        "confused": int(wrong.sum() - missed - invented),
    }


def count_wrong(matrix: Matrix) -> int:
    """Return the pixels of a confusion matrix, int64 (C, C), whose prediction is wrong."""
    return int(matrix.sum() - np.trace(matrix))

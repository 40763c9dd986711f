"""From class probabilities to a mask: the one way, used by prediction, validation and export.

The most probable class wins a pixel. A priority breaks ties, and a class with a threshold of its
own takes each pixel at which its probability reaches it. Work is done in bands of rows.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np

from bunri.core.contracts import FloatArray, MaskArray
from bunri.images.planes import ClassPlanes

_NO_CLASS = 255


class Decider:
    """Chooses a class for each pixel.

    Args:
        thresholds: Probability per class index from which the class takes a pixel, whatever is
            more probable; where several classes reach theirs, the first one listed wins.
    """

    def __init__(self, order: Sequence[int], thresholds: dict[int, float]) -> None:
        self._rank = np.empty(len(order), np.uint8)
        self._rank[list(order)] = np.arange(len(order))
        self._is_index_order = list(order) == sorted(order)
        self._thresholds = thresholds

    @classmethod
    def plain(cls, num_classes: int) -> Self:
        """Return one that takes the most probable class, the lower index between equals."""
        return cls(range(num_classes), {})

    def choose(self, planes: ClassPlanes) -> MaskArray:
        """Return the class of each pixel, uint8 (H, W)."""
        mask = np.empty(planes.size_hw, np.uint8)
        for rows, band in planes.split():
            self._choose_most_probable(band, mask[rows])
            if self._thresholds:
                chosen = self._apply_thresholds(band)
                np.copyto(mask[rows], chosen, where=chosen != _NO_CLASS)
        return mask

    def _choose_most_probable(self, planes: ClassPlanes, mask: MaskArray) -> None:
        contenders = planes.list_contenders()
        first, best = next(contenders)
        mask.fill(first)
        for index, plane in contenders:
            wins = plane > best
            if not self._is_index_order:
                wins |= (plane == best) & (self._rank[index] < self._rank[mask])
            np.putmask(mask, wins, index)
            best = np.maximum(best, plane)

    def _apply_thresholds(self, planes: ClassPlanes) -> MaskArray:
        chosen = np.full(planes.size_hw, _NO_CLASS, np.uint8)
        for index in reversed(self._thresholds):  # the first one listed is written last, and wins
            ((_, plane),) = planes.select([index])
            chosen[plane >= self._thresholds[index]] = index
        return chosen


def gather_probs(planes: ClassPlanes, mask: MaskArray) -> FloatArray:
    """Return the probability of the class that ``mask`` holds at each pixel, float32 (H, W)."""
    result = np.empty(mask.shape, np.float32)
    for rows, band in planes.split():
        part = mask[rows]
        present = np.flatnonzero(np.bincount(part.ravel())).tolist()
        for index, plane in band.select(present):
            np.copyto(result[rows], plane, where=part == index)
    return result

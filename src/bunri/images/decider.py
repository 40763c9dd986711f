"""From probabilities to classes, a band of rows at a time.

Owns who wins a pixel: the most probable class, priority between equals, and claims. Knows nothing
of where planes come from.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import FloatArray, MaskArray
from bunri.images.planes import ClassPlanes

NO_CLASS = 255


class Decider:
    """Chooses a class for each pixel.

    Args:
        order: All class indices, who wins between equals first.
        claims: Class index -> the probability at which it takes a pixel, who goes first first.
    """

    def __init__(self, order: Sequence[int], claims: dict[int, float]) -> None:
        self._rank = np.empty(len(order), np.uint8)
        self._rank[list(order)] = np.arange(len(order))
        self._claims = claims

    @classmethod
    def plain(cls, num_classes: int) -> Self:
        """Return one that takes the most probable class."""
        return cls(range(num_classes), {})

    def choose(self, planes: ClassPlanes) -> MaskArray:
        """Return the class of each pixel, uint8 (H, W)."""
        mask = np.empty(planes.size_hw, np.uint8)
        for rows, band in planes.split():
            self._choose_most_probable(band, mask[rows])
            if self._claims:
                claimed = self._find_claimed(band)
                np.copyto(mask[rows], claimed, where=claimed != NO_CLASS)
        return mask

    def _choose_most_probable(self, planes: ClassPlanes, mask: MaskArray) -> None:
        """Fill ``mask``, (H, W)."""
        is_ordered = bool((np.diff(self._rank.astype(int)) > 0).all())
        contenders = planes.list_contenders()
        first, best = next(contenders)
        mask.fill(first)
        for index, plane in contenders:
            wins = plane > best
            if not is_ordered:
                wins |= (plane == best) & (self._rank[index] < self._rank[mask])
            np.putmask(mask, wins, index)
            best = np.maximum(best, plane)

    def _find_claimed(self, planes: ClassPlanes) -> MaskArray:
        turn = {index: place for place, index in enumerate(self._claims)}
        first = np.full(planes.size_hw, NO_CLASS, np.uint8)
        for index, plane in enumerate(planes):
            if index in turn:
                reached = plane >= self._claims[index]
                np.minimum(first, turn[index], out=first, where=reached)
        names = np.array([*self._claims, *[NO_CLASS] * (256 - len(self._claims))], np.uint8)
        claimed: MaskArray = names[first]
        return claimed


def gather(planes: ClassPlanes, mask: npt.NDArray[np.uint8]) -> FloatArray:
    """Return the probability of the class that ``mask`` holds at each pixel, float32 (H, W)."""
    result = np.empty(mask.shape, np.float32)
    for rows, band in planes.split():
        part = mask[rows]
        present = np.flatnonzero(np.bincount(part.ravel())).tolist()
        for index, plane in band.select(present):
            np.copyto(result[rows], plane, where=part == index)
    return result

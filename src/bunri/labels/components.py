"""Connected components of regions."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

Neighbours = Literal[4, 8]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRuns:
    """The runs of True in each row of a region, in reading order.

    All are int64 (runs,); ``stop`` is the column after the last pixel. Runs of one component
    share a label; labels count from 0 in the order in which components first appear.
    """

    row: _Ints
    start: _Ints
    stop: _Ints
    label: _Ints

    @classmethod
    def from_region(cls, region: npt.NDArray[np.bool_], neighbours: Neighbours) -> Self:
        """Find the components of a region."""
        row, start, stop = find_runs(region)
        links = _link_rows(row, start, stop, region.shape[1], reach_px=int(neighbours == 8))
        return cls(row, start, stop, _join(len(row), *links))


def find_runs(region: npt.NDArray[np.bool_]) -> tuple[_Ints, _Ints, _Ints]:
    """Return row, start and stop of the runs of True in each row of a region, bool (H, W).

    In reading order, int64 (runs,) each; ``stop`` is the column after the last pixel.
    """
    height, width = region.shape
    framed = np.zeros((height, width + 1), np.bool_)  # the last column parts a row from the next
    framed[:, :-1] = region
    flat = framed.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        changes = np.insert(changes, 0, 0)
    row, start = np.divmod(changes[::2], width + 1)
    return row, start, changes[1::2] - row * (width + 1)


def _link_rows(
    row: _Ints, start: _Ints, stop: _Ints, width: int, reach_px: int
) -> tuple[_Ints, _Ints]:
    """Return pairs of runs (above, below) that touch, int64 (links,) each."""
    # One number line on which rows follow each other with a gap, so that none reaches another.
    stride = width + 3
    starts, stops = row * stride + start, row * stride + stop
    first = np.searchsorted(stops, starts + stride - reach_px, side="right")
    last = np.searchsorted(starts, stops + stride + reach_px, side="left")
    counts = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(row)), counts)
    offsets = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts)
    return above, first[above] + offsets


def _join(count: int, one: _Ints, other: _Ints) -> _Ints:
    """Return the label of each of ``count`` items where linked items share theirs.

    Each round hooks the higher of two linked roots to the lowest it is linked to, then flattens
    all trees; the number of rounds is logarithmic but for shapes made to prevent it.
    """
    root = np.arange(count)
    while one.size:
        low, high = np.minimum(root[one], root[other]), np.maximum(root[one], root[other])
        is_open = low != high
        one, other, low, high = one[is_open], other[is_open], low[is_open], high[is_open]
        np.minimum.at(root, high, low)
        while True:
            flatter = root[root]
            if np.array_equal(flatter, root):
                break
            root = flatter
    # A root is the first item of its component, so roots in order are components in order.
    is_root = root == np.arange(count)
    return (np.cumsum(is_root) - 1)[root]

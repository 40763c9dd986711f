"""Crossings of polygon outlines with pixel columns, rounded as pycocotools rounds them.

pycocotools (``rleFrPoly`` in ``maskApi.c``) moves every corner to a grid of a fifth of a pixel,
walks along the outline one grid point at a time, and notes where the walk passes the middle of
a column; between these places, pixels are outside and inside in turn. Here the same places are
computed directly, for all polygons of a photo at once and by the same float64 operations in the
same order, so that every rounding is the same.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int64]

_GRID_PER_PIXEL = 5
_MIDDLE = 2  # the middle of a column or row lies between its grid points 2 and 3
_MAX_AT_ONCE = 250_000  # crossings; each takes about 150 bytes while it is computed


def find_crossings(
    parts: Sequence[npt.NDArray[np.float64]], size_hw: tuple[int, int]
) -> tuple[_Ints, _Ints]:
    """Return where each polygon's outline crosses the middle of a pixel column.

    A pixel, counted down the columns (column * height + row), is inside of a polygon if an odd
    number of its crossings have a position up to the pixel's.

    Args:
        parts: One polygon or more; each float64 (2 * points,), x0, y0, x1, y1, ... in pixels, of
            one point or more, within ``contracts.MAX_COORDINATE_PX``.
        size_hw: Height and width of the photo in pixels.

    Returns:
        Two int64 (crossings,): the polygon's index in ``parts``, ascending, and the position,
        column * height + row, where row may be ``height``; in no order within a polygon. Each
        polygon has an even number in every column.
    """
    height, width = size_hw
    # Each polygon is closed by its first point; from there to the next polygon is no edge.
    closed = [piece for part in parts for piece in (part, part[:2])]
    num_points = np.array([len(part) // 2 + 1 for part in parts])
    # As in C: half is added and the rest cut off, towards zero.
    grid = (_GRID_PER_PIXEL * np.concatenate(closed) + 0.5).astype(np.int64)
    x, y = grid[0::2], grid[1::2]
    next_column = (x + _MIDDLE) // _GRID_PER_PIXEL  # the first one whose middle is further right
    first = np.maximum(np.minimum(next_column[:-1], next_column[1:]), 0)
    num = np.minimum(np.maximum(next_column[:-1], next_column[1:]), width) - first
    num[np.cumsum(num_points)[:-1] - 1] = 0
    edges = np.flatnonzero(num > 0)
    num = num[edges]
    positions = [np.zeros(0, np.int64)]
    for chosen in _split(num):
        edge = edges[chosen]
        starts, stops = (x[edge], y[edge]), (x[edge + 1], y[edge + 1])
        positions.append(_cross_columns(starts, stops, first[edge], num[chosen], height))
    owner = np.repeat(np.arange(len(parts)), num_points)[edges]
    return np.repeat(owner, num), np.concatenate(positions)


def _split(num: _Ints) -> Iterator[slice]:
    """Yield slices of edges that have about ``_MAX_AT_ONCE`` crossings together."""
    ends = np.cumsum(num)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(_MAX_AT_ONCE, total, _MAX_AT_ONCE)).tolist()
    for start, stop in pairwise([0, *cuts, len(num)]):
        if start < stop:
            yield slice(start, stop)


def _cross_columns(
    starts: tuple[_Ints, _Ints], stops: tuple[_Ints, _Ints], first: _Ints, num: _Ints, height: int
) -> _Ints:
    """Return the positions where edges cross column middles.

    Args:
        starts: x and y of each edge's start on the grid.
        stops: x and y of each edge's end.
        first: First column whose middle each edge crosses.
        num: Number of columns that each edge crosses.
        height: Height of the photo in pixels.
    """
    (x0, y0), (x1, y1) = starts, stops
    # The walk goes along the axis on which the edge is longer, always upwards on it.
    is_shallow = np.abs(x1 - x0) >= np.abs(y1 - y0)
    is_turned = np.where(is_shallow, x0 > x1, y0 > y1)
    x, y = np.where(is_turned, x1, x0), np.where(is_turned, y1, y0)
    dx, dy = np.where(is_turned, x0, x1) - x, np.where(is_turned, y0, y1) - y
    slope = np.where(is_shallow, dy, dx) / np.where(is_shallow, dx, dy)

    is_shallow, x, y, slope = (np.repeat(values, num) for values in (is_shallow, x, y, slope))
    ends = np.cumsum(num)
    column = np.arange(len(x)) + np.repeat(first - ends + num, num)
    middle = _GRID_PER_PIXEL * column + _MIDDLE
    # Of the two grid points left and right of the middle, the upper one counts.
    upper = (y + slope * (middle - x + (slope < 0)) + 0.5).astype(np.int64)
    steep = np.flatnonzero(~is_shallow)
    upper[steep] = y[steep] + _walk_to(middle[steep] + 1, x[steep], slope[steep])
    row: _Ints = np.minimum(np.maximum((upper + _MIDDLE) // _GRID_PER_PIXEL, 0), height)
    return column * height + row


def _walk_to(limit: _Ints, x: _Ints, slope: npt.NDArray[np.float64]) -> _Ints:
    """Return the last step t of a steep edge before int(x + slope * t + 0.5) passes ``limit``.

    The exact division is off by one step at most, since the rounding of the walk itself differs;
    the two steps in question are therefore walked.
    """
    step = np.floor((limit - 0.5 - x) / slope).astype(np.int64) - 1
    is_rightwards = slope > 0
    may_go_one, may_go_two = (
        (x + slope * (step + ahead) + 0.5 < limit) == is_rightwards for ahead in (1, 2)
    )
    last: _Ints = step + may_go_one + may_go_two
    return last

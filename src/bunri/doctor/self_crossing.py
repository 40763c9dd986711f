"""Search for outlines that cross themselves, in bounded memory whatever their length."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

_Points = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

# GEOS compares every pair of edges where all lie in one place, which takes too long for long
# outlines; these are compared a few edges at a time, since the first ones will find a crossing.
_MANY_POINTS = 10_000
_MAX_PAIRS = 1_000_000


def find_self_crossings(outlines: Sequence[_Points]) -> dict[int, tuple[float, float]]:
    """Return where outlines, float64 (points, 2), cross themselves: position in the list -> (x, y).

    Edges that touch or run along each other do not count: a cut that joins a hole to the
    outside goes there and back along one line.
    """
    short = [i for i, points in enumerate(outlines) if len(points) <= _MANY_POINTS]
    suspects = set(range(len(outlines))) - set(short)
    if short:
        lengths = [len(outlines[i]) for i in short]
        rings = shapely.linearrings(
            np.concatenate([outlines[i] for i in short]),
            indices=np.repeat(np.arange(len(short)), lengths),
        )
        is_valid = shapely.is_valid(shapely.polygons(rings))
        suspects |= {i for i, valid in zip(short, is_valid, strict=True) if not valid}
    found = {i: _find_crossing(outlines[i]) for i in sorted(suspects)}
    return {i: place for i, place in found.items() if place is not None}


def _find_crossing(points: _Points) -> tuple[float, float] | None:
    """Compare each edge with those that share a stretch of x with it."""
    ends = np.concatenate((points[1:], points[:1]))
    order = np.argsort(np.minimum(points[:, 0], ends[:, 0]), kind="stable")
    starts, ends = points[order], ends[order]
    left, right = np.minimum(starts[:, 0], ends[:, 0]), np.maximum(starts[:, 0], ends[:, 0])
    # Edge i is compared with i + 1 ... i + num_others[i].
    num_others = np.searchsorted(left, right, side="right") - np.arange(len(left)) - 1
    total = np.concatenate(([0], np.cumsum(num_others)))
    begin = 0
    while begin < len(left):
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + _MAX_PAIRS)) - 1)
        first = np.repeat(np.arange(begin, end), num_others[begin:end])
        second = np.arange(total[begin], total[end]) - total[first] + first + 1
        place = _find_crossing_pair(starts, ends, first, second)
        if place is not None:
            return place
        begin = end
    return None


def _find_crossing_pair(
    starts: _Points, ends: _Points, first: _Ints, second: _Ints
) -> tuple[float, float] | None:
    """Return where edges ``first[i]`` and ``second[i]`` cross, for the first i that do."""
    low, high = np.minimum(starts, ends)[:, 1], np.maximum(starts, ends)[:, 1]
    meet = (low[first] <= high[second]) & (low[second] <= high[first])
    a, b = first[meet], second[meet]
    edges = ends - starts
    # Each edge has the ends of the other on both sides.
    splits_b = _turn(edges[a], starts[b] - starts[a]) * _turn(edges[a], ends[b] - starts[a]) < 0
    splits_a = _turn(edges[b], starts[a] - starts[b]) * _turn(edges[b], ends[a] - starts[b]) < 0
    crosses = splits_a & splits_b
    if not crosses.any():
        return None
    i, j = a[crosses][0], b[crosses][0]
    along = _turn(starts[j] - starts[i], edges[j]) / _turn(edges[i], edges[j])
    x, y = starts[i] + along * edges[i]
    return float(x), float(y)


def _turn(one: _Points, other: _Points) -> _Points:
    """Return the cross product: positive where ``other`` lies to one side of ``one``."""
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])

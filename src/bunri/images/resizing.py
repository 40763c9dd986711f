"""Resizing of probability planes: bilinear, antialiased when shrinking (the triangle filter).

This is the rule by which Pillow resizes photos. Any rows of the result can be computed alone and
equal those of the whole; Pillow's own resize of floats is four times slower and lacks this.
"""

import functools
import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import FloatArray

_Taps = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]


def resize_plane(plane: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """Return one class's probabilities, float32 (H, W), at another size, as photos are resized."""
    source_hw = plane.shape[0], plane.shape[1]
    return resize_rows(plane.__getitem__, source_hw, size_hw, slice(0, size_hw[0]))


def resize_planes(planes: Iterable[FloatArray], size_hw: tuple[int, int]) -> FloatArray:
    """Return :func:`resize_plane` of each class, float32 (C, H, W)."""
    return np.stack([resize_plane(plane, size_hw) for plane in planes])


def resize_rows(
    read_rows: Callable[[slice], FloatArray],
    source_hw: tuple[int, int],
    size_hw: tuple[int, int],
    rows: slice,
) -> FloatArray:
    """Return some rows of :func:`resize_plane`, without the others in memory.

    Args:
        read_rows: Function that returns rows of the plane, float32 (rows, w).
        source_hw: Height and width of the plane.
        size_hw: Height and width of the whole result.
        rows: Rows of the result, with start and stop, at least one.

    Returns:
        float32 (rows, W).
    """
    if source_hw == size_hw:
        return read_rows(rows)
    needed = find_source_rows(source_hw[0], size_hw[0], rows)
    across = _blend(read_rows(needed), *_find_taps(source_hw[1], size_hw[1]), axis=1)
    places, weights = _find_taps(source_hw[0], size_hw[0])
    return _blend(across, places[:, rows] - needed.start, weights[:, rows, np.newaxis], axis=0)


def find_source_rows(num_from: int, num_to: int, rows: slice) -> slice:
    """Return the rows of a plane from which some rows at another height are interpolated.

    Args:
        num_from: Number of rows of the plane.
        num_to: Number of rows of the whole result.
        rows: Rows of the result, with start and stop, at least one.
    """
    places = _find_taps(num_from, num_to)[0][:, rows]
    return slice(int(places.min()), int(places.max()) + 1)


def _blend(
    source: FloatArray, places: npt.NDArray[np.intp], weights: FloatArray, axis: int
) -> FloatArray:
    """Return weighted sums along an axis of the source at ``places``, (taps, wanted)."""
    total: FloatArray = source.take(places[0], axis)
    total *= weights[0]
    for place, weight in zip(places[1:], weights[1:], strict=True):
        part = source.take(place, axis)
        part *= weight
        total += part
    return total


@functools.lru_cache(maxsize=64)
def _find_taps(num_from: int, num_to: int) -> _Taps:
    """Return the source indices of each value along one side, and their weights.

    Each is (taps, num_to); the float32 weights of a value sum to 1, and are 0 beyond the ends.
    """
    scale = num_from / num_to
    reach = max(scale, 1.0)
    centers = (np.arange(num_to) + 0.5) * scale
    first = np.maximum(np.floor(centers - reach + 0.5).astype(np.intp), 0)
    places = first + np.arange(2 * math.ceil(reach) + 1)[:, np.newaxis]
    weights = np.maximum(1 - np.abs(places + 0.5 - centers) / reach, 0)
    weights[places >= num_from] = 0
    weights /= weights.sum(axis=0)
    is_used = weights.any(axis=1)
    return np.minimum(places, num_from - 1)[is_used], weights[is_used].astype(np.float32)

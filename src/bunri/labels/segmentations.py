"""Parsing of ``segmentation`` in a COCO file: outline or run lengths, checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import MAX_COORDINATE_PX, MAX_OUTLINE_PX
from bunri.core.errors import AnnotationError
from bunri.labels.records import Polygons, RunLengths, Segmentation
from bunri.labels.run_lengths import check_counts, decode_counts


class RowError(AnnotationError):
    """A value in a row of a COCO file cannot be used.

    Args:
        check: Name of the broken rule, one of ``doctor.checks.CHECKS``.
        message: The fault, with the value.
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


def parse_segmentation(value: object, size_hw: tuple[int, int]) -> Segmentation:
    """Return a ``segmentation`` as read from JSON, checked.

    Raises:
        RowError: The value is neither, or breaks a rule.
    """
    if isinstance(value, dict):
        return _parse_run_lengths(value, size_hw)
    if isinstance(value, list):
        parts = tuple(parse_polygon(part) for part in value)
        if len(parts) > 1:
            _check_length(parts)
        return Polygons(parts)
    raise RowError(
        "bad-polygon",
        f"'segmentation' must be a list of polygons or run lengths, not {str(value)[:40]!r}",
    )


def parse_polygon(part: object) -> npt.NDArray[np.float64]:
    """Return one polygon, float64 (2 * points,): x0, y0, x1, y1, ... in pixels.

    Raises:
        RowError: The part is no such list, or holds numbers beyond any photo.
    """
    if not isinstance(part, list | np.ndarray) or len(part) % 2:
        raise RowError(
            "bad-polygon", "a polygon must be a flat list x0, y0, x1, y1, ... of even length"
        )
    if isinstance(part, list) and not all(type(v) in (int, float) for v in part):
        raise RowError("bad-polygon", "polygon coordinates must be numbers")
    far = _find_far(part)
    if far:
        is_finite = all(abs(v) < float("inf") for v in far)
        raise RowError(
            "far-coordinate" if is_finite else "not-finite",
            f"polygon coordinates must be finite and within {MAX_COORDINATE_PX:.0f} pixels, "
            f"not {str(far[0])[:24]}",
        )
    points = np.asarray(part, np.float64)
    _check_length((points,))
    return points


def _find_far(part: list[Any] | npt.NDArray[Any]) -> list[Any]:
    """Return coordinates that are not within the limit: beyond it, or NaN."""
    if isinstance(part, list):  # may hold integers that no array can
        return [v for v in part if not -MAX_COORDINATE_PX <= v <= MAX_COORDINATE_PX]
    if part.size == 0 or (part.min() >= -MAX_COORDINATE_PX and part.max() <= MAX_COORDINATE_PX):
        return []
    far: list[Any] = part[~(np.abs(part) <= MAX_COORDINATE_PX)].tolist()
    return far


def _check_length(parts: Sequence[npt.NDArray[np.float64]]) -> None:
    """Refuse an object whose outline takes too much memory to draw."""
    # No edge is longer than the span of all coordinates: a quick bound that most outlines meet.
    if sum(part.size * float(np.ptp(part)) for part in parts if part.size) <= MAX_OUTLINE_PX:
        return
    length_px = sum(map(measure_outline_px, parts))
    if length_px > MAX_OUTLINE_PX:
        raise RowError(
            "huge-outline",
            f"the outline is {length_px:.0f} pixels long; the limit is {MAX_OUTLINE_PX:.0f}",
        )


def measure_outline_px(points: npt.NDArray[np.float64]) -> float:
    """Return the length of a closed polygon in pixels, each edge as its longer side."""
    x, y = points[0::2], points[1::2]
    # Appending the first point closes the polygon.
    edges_x, edges_y = np.diff(x, append=x[:1]), np.diff(y, append=y[:1])
    return float(np.maximum(np.abs(edges_x), np.abs(edges_y)).sum())


def _parse_run_lengths(value: dict[str, Any], size_hw: tuple[int, int]) -> RunLengths:
    size, counts = value.get("size"), value.get("counts")
    if size != list(size_hw):
        raise RowError(
            "wrong-rle-size",
            f"run lengths have the size {repr(size)[:40]} (height, width), "
            f"the photo {list(size_hw)}",
        )
    try:
        numbers = _parse_counts(counts)
        check_counts(numbers, size_hw)
    except AnnotationError as error:
        raise RowError("bad-rle", error.message) from error
    return RunLengths(size_hw, numbers)


def _parse_counts(counts: object) -> npt.NDArray[np.int64]:
    if isinstance(counts, str):
        return decode_counts(counts)
    # Beyond 40 bits numpy's int64 sums could wrap around and look right.
    if isinstance(counts, Sequence) and all(type(c) is int and 0 <= c < 2**40 for c in counts):
        return np.array(counts, np.int64)
    raise AnnotationError("'counts' must be text or a list of non-negative integers")

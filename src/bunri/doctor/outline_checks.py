"""Checks of the objects of a photo, by their outlines and their drawn pixels.

An object is reported for its first fault only: an outline out of the frame also disagrees with
its 'area', but that follows from it, and would send people looking twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from bunri.doctor.checks import (
    FRAME_TOLERANCE_PX,
    SLIVER_LENGTH_PX,
    SLIVER_THICKNESS_PX,
    TINY_AREA_PX,
)
from bunri.doctor.findings import Findings
from bunri.doctor.self_crossing import find_self_crossings
from bunri.labels.coco_rows import CocoObject
from bunri.labels.rasterize import MIN_POLYGON_POINTS, Spans, trace_spans
from bunri.labels.records import Polygons, Segmentation

_AREA_TOLERANCE = 0.02
_BOX_TOLERANCE_PX = 2.0


_Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class _Measures:
    """Measures of one object's points and pixels."""

    crossing: tuple[float, float] | None
    area_px: int
    box: _Box
    point_box: _Box


def check_objects(
    objects: Sequence[CocoObject], findings: Findings
) -> tuple[list[CocoObject], Spans | None]:
    """Check all objects of one photo; return those that can be drawn, and their pixels."""
    drawable, shapes = [], []
    for item in objects:
        if item.row.get("iscrowd") not in (None, 0, False):
            findings.add("crowd-object", item.describe("iscrowd is set"))
        shape = item.segmentation
        if isinstance(shape, Polygons) and not any(part.size for part in shape.parts):
            findings.add("empty-segmentation", item.describe("'segmentation' is empty"))
        elif shape is not None:
            drawable.append(item)
            shapes.append(shape)
    if not drawable:
        return [], None
    spans = trace_spans(shapes, drawable[0].photo.size_hw)
    for item, shape, measures in zip(drawable, shapes, _measure(shapes, spans), strict=True):
        fault = _find_outline_fault(item, shape, measures) or _find_pixel_fault(
            item, shape, measures
        )
        if fault:
            findings.add(fault[0], item.describe(fault[1]))
    _check_repeats(drawable, spans, findings)
    return drawable, spans


def _check_repeats(drawn: Sequence[CocoObject], spans: Spans, findings: Findings) -> None:
    limits = spans.find_limits().tolist()
    seen: dict[tuple[int, bytes, bytes], int] = {}
    for item, begin, end in zip(drawn, limits[:-1], limits[1:], strict=True):
        pixels = spans.start[begin:end].tobytes(), spans.stop[begin:end].tobytes()
        first_id = seen.setdefault((item.category_id, *pixels), item.row["id"])
        if first_id != item.row["id"] and begin < end:
            note = f"the same pixels and category as annotation {first_id}"
            findings.add("duplicate-annotation", item.describe(note))


def _measure(shapes: Sequence[Segmentation], spans: Spans) -> Iterator[_Measures]:
    """Yield the measures of each object of a photo."""
    outlines = [
        (number, part.reshape(-1, 2))
        for number, shape in enumerate(shapes)
        if isinstance(shape, Polygons)
        for part in shape.parts
        if len(part) >= 2 * MIN_POLYGON_POINTS
    ]
    found = find_self_crossings([points for _, points in outlines])
    crossings = {outlines[i][0]: place for i, place in found.items()}
    boxes, areas_px = spans.find_boxes().tolist(), spans.count_pixels().tolist()
    point_boxes: list[_Box] = [(np.inf, np.inf, -np.inf, -np.inf)] * len(shapes)
    for number, points in outlines:
        (low_x, low_y), (high_x, high_y) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        left, top, right, bottom = point_boxes[number]
        point_boxes[number] = (
            min(left, low_x), min(top, low_y), max(right, high_x), max(bottom, high_y)
        )  # fmt: skip
    for number, (left, top, width, height) in enumerate(boxes):
        box = (left, top, left + width, top + height)
        yield _Measures(crossings.get(number), areas_px[number], box, point_boxes[number])


def _find_outline_fault(
    item: CocoObject, shape: Segmentation, measures: _Measures
) -> tuple[str, str] | None:
    """Return (check, note) of the first fault of the points of an outline."""
    if not isinstance(shape, Polygons):
        return None
    short = [len(part) // 2 for part in shape.parts if len(part) < 2 * MIN_POLYGON_POINTS]
    if short:
        return "too-few-points", f"a polygon of {short[0]} point(s)"
    left, top, right, bottom = measures.point_box
    width_px, height_px = item.photo.width_px, item.photo.height_px
    overhang_px = max(-left, -top, right - width_px, bottom - height_px)
    if overhang_px > FRAME_TOLERANCE_PX:
        size = f"{width_px}x{height_px}"
        return "out-of-frame", f"a point is {overhang_px:.1f} px outside of {size}"
    if measures.crossing:
        x, y = measures.crossing
        return "self-crossing", f"near x {x:.0f}, y {y:.0f}"
    return None


def _find_pixel_fault(
    item: CocoObject, shape: Segmentation, measures: _Measures
) -> tuple[str, str] | None:
    """Return (check, note) of the first fault of the drawn pixels."""
    if measures.area_px == 0:
        return "zero-area", "the outline encloses no pixel"
    left, top, right, bottom = measures.box
    width, height = right - left, bottom - top
    stated = item.row.get("area")
    if stated is not None and not _fits_area(stated, shape, measures):
        return "area-mismatch", f"'area' is {str(stated)[:24]}, drawn are {measures.area_px} px"
    stated = item.row.get("bbox")
    if stated is not None and not _fits_box(stated, measures):
        drawn_box = [left, top, width, height]
        return "bbox-mismatch", f"'bbox' is {str(stated)[:48]}, drawn is {drawn_box}"
    if measures.area_px < TINY_AREA_PX:
        return "tiny-object", f"{measures.area_px} px"
    length_px = max(width, height)
    thickness_px = measures.area_px / length_px
    if length_px >= SLIVER_LENGTH_PX and thickness_px < SLIVER_THICKNESS_PX:
        return "sliver", f"{length_px} px long, {thickness_px:.1f} px thick"
    return None


def _fits_area(stated: object, shape: Segmentation, measures: _Measures) -> bool:
    """Return whether 'area' is the drawn one, or the one that the outline encloses exactly."""
    if not _is_number(stated):
        return False
    if abs(stated - measures.area_px) <= 1 + _AREA_TOLERANCE * measures.area_px:
        return True
    if not isinstance(shape, Polygons):
        return False
    area = sum(map(_measure_area, shape.parts))
    return abs(stated - area) <= 1 + _AREA_TOLERANCE * area


def _measure_area(part: npt.NDArray[np.float64]) -> float:
    x, y = part[0::2], part[1::2]
    twice = x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0]
    return float(abs(twice)) / 2


def _fits_box(stated: object, measures: _Measures) -> bool:
    """Return whether 'bbox' is that of the drawn pixels, or of the points."""
    if not isinstance(stated, list) or len(stated) != 4 or not all(map(_is_number, stated)):
        return False
    x, y, width, height = stated
    sides = (x, y, x + width, y + height)
    return any(
        all(abs(a - b) <= _BOX_TOLERANCE_PX for a, b in zip(sides, box, strict=True))
        for box in (measures.box, measures.point_box)
    )


def _is_number(value: object) -> TypeGuard[float]:
    # Not NaN, not beyond a float.
    return isinstance(value, int | float) and type(value) is not bool and abs(value) < 1e12

"""Checks of the objects of a photo, by their outlines and their drawn pixels.

An object is reported for its first fault only: an outline out of the frame also disagrees with
its 'area', but that follows from it, and would send people looking twice.
"""

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPhoto:
    """The objects of one photo that can be drawn, and their pixels.

    Attributes:
        objects: The objects in file order.
        shapes: Their outlines.
        spans: Their pixels, in the same order.
    """

    objects: Sequence[CocoObject]
    shapes: Sequence[Segmentation]
    spans: Spans


@dataclass(frozen=True, slots=True)
class _Measures:
    """Measures of one object's points and pixels; boxes are left, top, right, bottom."""

    overhang_px: float
    crossing: tuple[float, float] | None
    area_px: int
    box: tuple[float, ...]
    point_box: tuple[float, ...]


def check_objects(objects: Sequence[CocoObject], findings: Findings) -> DrawnPhoto | None:
    """Check all objects of one photo; return those that can be drawn, None if there are none."""
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
        return None
    drawn = DrawnPhoto(drawable, shapes, trace_spans(shapes, drawable[0].photo.size_hw))
    for item, shape, measures in zip(drawable, shapes, _measure(drawn), strict=True):
        fault = _find_outline_fault(item, shape, measures) or _find_pixel_fault(
            item, shape, measures
        )
        if fault:
            findings.add(fault[0], item.describe(fault[1]))
    _check_repeats(drawn, findings)
    return drawn


def _check_repeats(drawn: DrawnPhoto, findings: Findings) -> None:
    spans, limits = drawn.spans, drawn.spans.find_limits().tolist()
    seen: dict[tuple[int, bytes, bytes], int] = {}
    for item, begin, end in zip(drawn.objects, limits[:-1], limits[1:], strict=True):
        pixels = spans.start[begin:end].tobytes(), spans.stop[begin:end].tobytes()
        first_id = seen.setdefault((item.category_id, *pixels), item.row["id"])
        if first_id != item.row["id"] and begin < end:
            note = f"the same pixels and category as annotation {first_id}"
            findings.add("duplicate-annotation", item.describe(note))


def _measure(drawn: DrawnPhoto) -> list[_Measures]:
    """Return the measures of each object, computed for all of a photo at once."""
    height, width = drawn.spans.size_hw
    owners, outlines = [], []
    for number, shape in enumerate(drawn.shapes):
        for part in shape.parts if isinstance(shape, Polygons) else ():
            if len(part) >= 2 * MIN_POLYGON_POINTS:
                owners.append(number)
                outlines.append(part.reshape(-1, 2))
    crossings = {owners[i]: place for i, place in find_self_crossings(outlines).items()}
    point_boxes = _find_point_boxes(owners, outlines, len(drawn.objects))
    left, top, box_width, box_height = drawn.spans.find_boxes().T
    boxes = np.stack((left, top, left + box_width, top + box_height), axis=1).tolist()
    areas_px = drawn.spans.count_pixels().tolist()
    return [
        _Measures(
            overhang_px=max(-points[0], -points[1], points[2] - width, points[3] - height),
            crossing=crossings.get(number),
            area_px=area_px,
            box=tuple(box),
            point_box=points,
        )
        for number, (area_px, box, points) in enumerate(
            zip(areas_px, boxes, point_boxes, strict=True)
        )
    ]


def _find_point_boxes(
    owners: Sequence[int], outlines: Sequence[npt.NDArray[np.float64]], num_objects: int
) -> list[tuple[float, ...]]:
    """Return left, top, right, bottom of each object's points; all infinite where it has none."""
    nothing = (np.inf, np.inf, -np.inf, -np.inf)
    boxes: list[tuple[float, ...]] = [nothing] * num_objects
    if not outlines:
        return boxes
    points = np.concatenate(outlines)
    begins = np.cumsum([0, *(len(outline) for outline in outlines[:-1])])
    lows, highs = np.minimum.reduceat(points, begins), np.maximum.reduceat(points, begins)
    for owner, low, high in zip(owners, lows.tolist(), highs.tolist(), strict=True):
        left, top, right, bottom = boxes[owner]
        boxes[owner] = (min(left, low[0]), min(top, low[1]),
                        max(right, high[0]), max(bottom, high[1]))  # fmt: skip
    return boxes


def _find_outline_fault(
    item: CocoObject, shape: Segmentation, measures: _Measures
) -> tuple[str, str] | None:
    """Return (check, note) of the first fault of the points of an outline."""
    if not isinstance(shape, Polygons):
        return None
    short = [len(part) // 2 for part in shape.parts if len(part) < 2 * MIN_POLYGON_POINTS]
    if short:
        return "too-few-points", f"a polygon of {short[0]} point(s)"
    if measures.overhang_px > FRAME_TOLERANCE_PX:
        size = f"{item.photo.width_px}x{item.photo.height_px}"
        return "out-of-frame", f"a point is {measures.overhang_px:.1f} px outside of {size}"
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

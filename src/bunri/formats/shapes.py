"""Objects as a format can hold them, such that its mask stays the same.

Owns the change of outlines that a format asks for, and the way out where that would change what
is visible: objects are cut to what is. Knows no file format.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX, MaskArray
from bunri.core.progress import Progress
from bunri.labels.outlines import encode_region, trace_keyholes, trace_parts
from bunri.labels.overlap import draw_mask, sort_to_paint
from bunri.labels.rasterize import MIN_POLYGON_POINTS, draw_crop, trace_runs
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, Segmentation
from bunri.labels.rules import OverlapRule
from bunri.labels.run_lengths import count_pixels

INSET_PX = 0.05
"""So that OpenCV and Pillow, which paint outlines too, fill the same pixels as pycocotools."""

Reshape = Callable[[Segmentation, tuple[int, int]], Sequence[Segmentation]]
"""Is given an outline and the photo's height and width; gives the objects it becomes."""


def to_polygons(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Keep polygons; trace run lengths along the sides of their pixels."""
    if isinstance(shape, Polygons):
        return [shape]
    crop, left_top_px = draw_crop(shape, size_hw)
    return [Polygons(trace_parts(crop, left_top_px=left_top_px))]


def to_run_lengths(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Draw polygons; keep run lengths, in their shortest form."""
    return [trace_runs(shape, size_hw)]


def to_inset_polygons(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Keep polygons; trace run lengths a little inside, for tools that paint outlines too."""
    if isinstance(shape, Polygons):
        return _drop_lines(shape)
    crop, left_top_px = draw_crop(shape, size_hw)
    parts = trace_parts(crop, inset_px=INSET_PX, left_top_px=left_top_px)
    return [Polygons(parts)] if parts else []


def to_single_polygons(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Trace each connected piece as one polygon, a little inside, with cuts to its holes."""
    crop, left_top_px = draw_crop(shape, size_hw)
    pieces = trace_keyholes(crop, inset_px=INSET_PX, left_top_px=left_top_px)
    return [Polygons((piece,)) for piece in pieces]


def to_polygons_or_masks(shape: Segmentation, _size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Keep both."""
    if isinstance(shape, Polygons):
        return _drop_lines(shape)
    return [shape] if count_pixels(shape) else []


def to_polygon_or_mask(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Keep a single polygon that lies in the photo; draw all else."""
    if isinstance(shape, Polygons) and len(shape.parts) == 1:
        points = shape.parts[0].reshape(-1, 2)
        if len(points) >= MIN_POLYGON_POINTS and ((points >= 0) & (points <= size_hw[::-1])).all():
            return [shape]
    runs = trace_runs(shape, size_hw)
    return [runs] if count_pixels(runs) else []


def _drop_lines(polygons: Polygons) -> Sequence[Segmentation]:
    """Leave out parts of one or two points, which enclose nothing and some tools refuse."""
    parts = tuple(part for part in polygons.parts if len(part) >= 2 * MIN_POLYGON_POINTS)
    return [Polygons(parts)] if parts else []


def express_set(
    dataset: LabelledSet,
    rule: OverlapRule,
    reshape: Reshape,
    progress: Progress,
    *,
    is_layered: bool,
    keeps_background: bool,
) -> tuple[LabelledSet, int]:
    """Return the set with all outlines reshaped, such that each photo's mask stays the same.

    Reshaping may change who is painted over whom, for example when the pieces of an object
    become objects of their own. Where it does, each object is first cut to the pixels that show
    its class; what is left does not overlap, so no rule matters any more.

    Args:
        dataset: Any.
        rule: Who owns a pixel that several objects claim.
        reshape: What the format needs.
        progress: Shown.
        is_layered: Whether to order objects such that later ones lie on top.
        keeps_background: Whether the format can hold objects of the background class.

    Returns:
        The set, and in how many photos objects were cut.
    """
    taken = (row.id for rows in dataset.annotations.values() for row in rows)
    new_ids = count(1 + max(taken, default=0))
    result: dict[int, tuple[Annotation, ...]] = {}
    num_cut = 0
    with progress("Tracing outlines", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            rows: Sequence[Annotation] = dataset.annotations.get(photo.id, ())
            if is_layered:
                rows = sort_to_paint(dataset, photo, rule)
            if not keeps_background:
                index_of = dataset.index_of_category
                rows = [row for row in rows if index_of[row.category_id] != BACKGROUND_INDEX]
            shaped = _reshape_all(rows, photo, reshape, new_ids)
            mask = draw_mask(dataset, photo, rule)
            trial = replace(dataset, annotations={photo.id: shaped})
            if not np.array_equal(draw_mask(trial, photo, rule), mask):
                num_cut += 1
                rows = _cut_to_visible(dataset, rows, photo, mask)
                shaped = _reshape_all(rows, photo, reshape, new_ids)
            if shaped:
                result[photo.id] = shaped
            advance()
    return replace(dataset, annotations=result), num_cut


def _reshape_all(
    rows: Sequence[Annotation], photo: Photo, reshape: Reshape, new_ids: "count[int]"
) -> tuple[Annotation, ...]:
    """Return reshaped objects; the first piece of each keeps its id."""
    return tuple(
        replace(row, id=next(new_ids) if number else row.id, segmentation=shape)
        for row in rows
        for number, shape in enumerate(reshape(row.segmentation, photo.size_hw))
    )


def _cut_to_visible(
    dataset: LabelledSet, rows: Sequence[Annotation], photo: Photo, mask: MaskArray
) -> list[Annotation]:
    visible = []
    for row in rows:
        crop, (left, top) = draw_crop(row.segmentation, photo.size_hw)
        height, width = crop.shape
        seen = mask[top : top + height, left : left + width]
        crop &= seen == dataset.index_of_category[row.category_id]
        if crop.any():
            runs = encode_region(crop, photo.size_hw, (left, top))
            visible.append(replace(row, segmentation=runs))
    return visible

"""Conversion of objects to shapes that a format can store, without a change of the mask."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX, MaskArray
from bunri.core.progress import Progress
from bunri.formats.base import Format, Reshape
from bunri.labels.outlines import encode_region, trace_keyholes, trace_parts
from bunri.labels.overlap import draw_mask, sort_to_paint
from bunri.labels.rasterize import MIN_POLYGON_POINTS, draw_crop, trace_runs
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, Segmentation
from bunri.labels.rules import OverlapRule
from bunri.labels.run_lengths import count_pixels

INSET_PX = 0.05
"""Distance of traced outlines from the object's edge. OpenCV and Pillow, which draw the outline
as well, then fill the same pixels as pycocotools."""


def to_polygons(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Keep polygons; trace run lengths along the edges of their pixels."""
    if isinstance(shape, Polygons):
        return [shape]
    crop, left_top_px = draw_crop(shape, size_hw)
    return [Polygons(trace_parts(crop, left_top_px=left_top_px))]


def to_run_lengths(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Draw polygons; keep run lengths."""
    return [trace_runs(shape, size_hw)]


def to_inset_polygons(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Keep polygons; trace run lengths a little inside, for tools that draw outlines too."""
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
    """Keep polygons and run lengths."""
    if isinstance(shape, Polygons):
        return _drop_lines(shape)
    return [shape] if count_pixels(shape) else []


def to_polygon_or_mask(shape: Segmentation, size_hw: tuple[int, int]) -> Sequence[Segmentation]:
    """Keep single polygons inside the photo; draw everything else."""
    if isinstance(shape, Polygons) and len(shape.parts) == 1:
        points = shape.parts[0].reshape(-1, 2)
        if len(points) >= MIN_POLYGON_POINTS and ((points >= 0) & (points <= size_hw[::-1])).all():
            return [shape]
    runs = trace_runs(shape, size_hw)
    return [runs] if count_pixels(runs) else []


def _drop_lines(polygons: Polygons) -> Sequence[Segmentation]:
    """Drop parts of one or two points, which enclose nothing and which some tools refuse."""
    parts = tuple(part for part in polygons.parts if len(part) >= 2 * MIN_POLYGON_POINTS)
    return [Polygons(parts)] if parts else []


def express_set(
    dataset: LabelledSet, rule: OverlapRule, format_: Format, progress: Progress
) -> tuple[LabelledSet, int]:
    """Return the set reshaped for a format, and the number of photos whose objects were cut.

    Every photo's mask stays the same. Reshaping may change which object lies on top, for example
    when the pieces of an object become objects of their own. Where it does, each object is first
    cut to its visible pixels; these do not overlap, so that the order of objects has no effect.
    """
    if format_.reshape is None:
        return dataset, 0
    taken = (row.id for rows in dataset.annotations.values() for row in rows)
    new_ids = count(1 + max(taken, default=0))
    result: dict[int, tuple[Annotation, ...]] = {}
    num_cut = 0
    with progress("Tracing outlines", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            rows: Sequence[Annotation] = dataset.annotations.get(photo.id, ())
            if format_.is_layered:
                rows = sort_to_paint(dataset, photo, rule)
            if not format_.keeps_background:
                index_of = dataset.index_of_category
                rows = [row for row in rows if index_of[row.category_id] != BACKGROUND_INDEX]
            shaped = _reshape_all(rows, photo, format_.reshape, new_ids)
            mask = draw_mask(dataset, photo, rule)
            trial = replace(dataset, annotations={photo.id: shaped})
            if not np.array_equal(draw_mask(trial, photo, rule), mask):
                num_cut += 1
                rows = _cut_to_visible(dataset, rows, photo, mask)
                shaped = _reshape_all(rows, photo, format_.reshape, new_ids)
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

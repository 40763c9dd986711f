"""Pixels back to labels: outlines that rasterise to exactly the same pixels, and run lengths.

The outlines are exact because pycocotools multiplies coordinates by five, walks along the edges
and flips, in each column, everything below a horizontal edge; vertical edges flip nothing. An
outline that runs along the sides of pixels, at integer coordinates, therefore fills precisely
these pixels, and an edge walked twice cancels. A hole needs a cut, since the parts of an
annotation are united, never subtracted: :func:`trace_parts` cuts through each hole from top to
bottom, so that all parts are simple polygons which every tool fills alike;
:func:`trace_keyholes` cuts from the top of a hole only and leaves one polygon per piece.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import MAX_OUTLINE_PX
from bunri.labels.components import LabelledRuns, Neighbours, find_runs
from bunri.labels.records import RunLengths
from bunri.labels.run_lengths import join_runs

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

# The sides of a pixel, clockwise from the top. Walking so, the pixel lies on the right hand.
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_STEP_X, _STEP_Y = (1, 0, -1, 0), (0, 1, 0, -1)
_START_X, _START_Y = (0, 1, 1, 0), (0, 0, 1, 1)  # the pixel's corner at which a side begins


def trace_parts(
    region: _Bools, *, inset_px: float = 0.0, left_top_px: tuple[int, int] = (0, 0)
) -> tuple[_Floats, ...]:
    """Return polygons without holes and crossings that together cover exactly ``region``.

    Args:
        region: Region, bool (H, W).
        inset_px: Distance by which all edges are moved into the region, below 0.1. It does not
            change what pycocotools draws, and readers that cut off decimals and paint the
            outline too (OpenCV's ``fillPoly`` after ``astype(int)``, Pillow's ``polygon``) then
            fill the same pixels.
        left_top_px: Position of the region's first pixel in the photo.

    Returns:
        Polygons, float64 (2 * points,) each: x0, y0, x1, y1, ... with a point only where the
        outline turns, none longer than ``contracts.MAX_OUTLINE_PX``; () for an empty region.
    """
    return tuple(_trace(region, left_top_px, is_cut_through=True, inset_px=inset_px))


def trace_keyholes(
    region: _Bools, *, inset_px: float = 0.0, left_top_px: tuple[int, int] = (0, 0)
) -> tuple[_Floats, ...]:
    """Return one polygon per 4-connected piece of ``region``; cuts of no width lead to its holes.

    Arguments and result as for :func:`trace_parts`.
    """
    return tuple(_trace(region, left_top_px, is_cut_through=False, inset_px=inset_px))


def _trace(
    region: _Bools, left_top_px: tuple[int, int], *, is_cut_through: bool, inset_px: float
) -> Iterator[_Floats]:
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return
    crop = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = crop.shape
    left, top = left_top_px[0] + int(columns[0]), left_top_px[1] + int(rows[0])
    sides = _find_sides(crop, is_cut_through=is_cut_through)
    if sum(map(np.count_nonzero, sides)) > MAX_OUTLINE_PX and height > 1:
        # An outline beyond the limit could not be read back: cut the region in two.
        half = height // 2
        for part, first in ((crop[:half], top), (crop[half:], top + half)):
            yield from _trace(part, (left, first), is_cut_through=is_cut_through, inset_px=inset_px)
    else:
        yield from _walk(sides, width + 2, inset_px, (left, top))


def _find_sides(region: _Bools, *, is_cut_through: bool) -> list[_Bools]:
    """Return the sides of pixels that have an outline.

    Returns:
        For each side, clockwise from the top, bool ((H + 2) * (W + 2),): the region flat, in a
        frame one pixel wide.
    """
    framed = np.pad(region, 1)
    sides = [
        framed & ~np.roll(framed, (-dy, -dx), (0, 1))
        for dx, dy in ((0, -1), (1, 0), (0, 1), (-1, 0))
    ]
    # Gaps that share a corner are one hole to an outline that passes between them; a simple
    # polygon cannot pass.
    gaps = LabelledRuns.from_region(~framed, 4 if is_cut_through else 8)
    num_labels = int(gaps.label.max()) + 1
    if num_labels > 1:  # label 0 is what lies outside; all others are holes
        by_label = np.argsort(gaps.label, kind="stable")
        limits = np.searchsorted(gaps.label[by_label], np.arange(1, num_labels + 1))
        first, last = by_label[limits[:-1]], by_label[limits[1:] - 1]
        _cut_up(framed, sides[_LEFT], sides[_RIGHT], gaps.start[first], gaps.row[first])
        if is_cut_through:
            # Downwards is upwards with the picture turned; these are views, so writes arrive.
            height, width = framed.shape
            region, left, right = (np.rot90(s, 2) for s in (framed, sides[_RIGHT], sides[_LEFT]))
            _cut_up(region, left, right, width - gaps.stop[last], height - 1 - gaps.row[last])
    return [side.ravel() for side in sides]


def _cut_up(framed: _Bools, left_sides: _Bools, right_sides: _Bools, x: _Ints, y: _Ints) -> None:
    """Cut from the top left corner of each hole's first pixel (x, y) up to the next gap."""
    is_inside = framed.copy()
    is_inside[:, 1:] &= framed[:, :-1]  # the pixel and the one to its left
    rows = np.arange(len(framed), dtype=np.int32)[:, None]
    last_gap = np.maximum.accumulate(np.where(is_inside, np.int32(0), rows), axis=0)
    lengths = (y - 1 - last_gap[y - 1, x]).astype(np.int64)
    x = np.repeat(x, lengths)
    steps = np.arange(len(x)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    y = np.repeat(y, lengths) - 1 - steps
    left_sides[y, x] = True
    right_sides[y, x - 1] = True


def _walk(
    sides: list[_Bools], stride: int, inset_px: float, left_top_px: tuple[int, int]
) -> Iterator[_Floats]:
    """Follow the sides around; yield float64 (2 * points,) for each closed outline.

    A straight run of sides is one edge. Where it ends the outline turns right if the same pixel
    has a side there, else left, so that pixels that only share a corner stay apart.
    """
    steps = [dx + dy * stride for dx, dy in zip(_STEP_X, _STEP_Y, strict=True)]
    starts, ends = _find_edges(sides, steps, stride)
    offsets = np.cumsum([0, *map(len, starts)])
    following, side_of = [], np.repeat(np.arange(4), np.diff(offsets))
    for side in range(4):
        right, left = (side + 1) % 4, (side - 1) % 4
        turns_right = sides[right][ends[side]]
        after_right = offsets[right] + np.searchsorted(starts[right], ends[side])
        beyond = ends[side] + steps[side] + steps[left]
        after_left = offsets[left] + np.searchsorted(starts[left], beyond)
        following.append(np.where(turns_right, after_right, after_left))
    next_of = np.concatenate(following)
    pixel = np.concatenate(starts)
    side_before = np.empty_like(side_of)
    side_before[next_of] = side_of
    # A corner belongs to one upright and one level edge; each moves it towards the inside.
    inset = np.array([[0, 1], [-1, 0], [0, -1], [1, 0]]) * inset_px
    x = left_top_px[0] - 1 + pixel % stride + np.take(_START_X, side_of)  # -1: the frame
    y = left_top_px[1] - 1 + pixel // stride + np.take(_START_Y, side_of)
    points = np.stack([x, y], axis=1) + inset[side_of] + inset[side_before]
    for loop in _list_loops(next_of):
        yield points[loop].ravel()


def _find_edges(
    sides: list[_Bools], steps: list[int], stride: int
) -> tuple[list[_Ints], list[_Ints]]:
    """Return, for each side, the first and the last pixel of each straight run, by first pixel."""
    starts, ends = [], []
    for side in range(4):
        goes_on = sides[side] & ~sides[(side + 1) % 4] & np.roll(sides[side], -steps[side])
        first = np.flatnonzero(sides[side] & ~np.roll(goes_on, steps[side]))
        last = np.flatnonzero(sides[side] & ~goes_on)
        if side in (_RIGHT, _LEFT):
            # In a column, runs begin and end in the same order; pixels are counted along rows.
            by_column = np.argsort(first % stride, kind="stable")
            last[by_column] = last[np.argsort(last % stride, kind="stable")]
        starts.append(first)
        ends.append(last)
    return starts, ends


def _list_loops(next_of: _Ints) -> Iterator[list[int]]:
    """Yield the members of each cycle of a permutation."""
    successors = next_of.tolist()
    is_done = bytearray(len(successors))
    for first in range(len(successors)):
        loop: list[int] = []
        here = first
        while not is_done[here]:
            is_done[here] = 1
            loop.append(here)
            here = successors[here]
        if loop:
            yield loop


def encode_region(
    crop: _Bools, size_hw: tuple[int, int] | None = None, left_top_px: tuple[int, int] = (0, 0)
) -> RunLengths:
    """Return the run lengths of a region, bool (h, w), at ``left_top_px`` in a photo."""
    height, width = crop.shape if size_hw is None else size_hw
    left, top = left_top_px
    column, start, stop = find_runs(crop.T)
    shift = (column + left) * height + top
    return _join_touching_runs(start + shift, stop + shift, (height, width))


def split_region(region: _Bools, neighbours: Neighbours) -> list[RunLengths]:
    """Return the connected pieces of a region, bool (H, W), each as run lengths."""
    height, width = region.shape
    runs = LabelledRuns.from_region(region.T, neighbours)  # rows are columns now
    starts, stops = runs.row * height + runs.start, runs.row * height + runs.stop
    order = np.argsort(runs.label, kind="stable")
    limits = np.flatnonzero(np.diff(runs.label[order], prepend=-1, append=-1))
    pieces = [order[start:stop] for start, stop in pairwise(limits)]
    return [_join_touching_runs(starts[piece], stops[piece], (height, width)) for piece in pieces]


def _join_touching_runs(starts: _Ints, stops: _Ints, size_hw: tuple[int, int]) -> RunLengths:
    """Return run lengths from where runs of True start and stop, down the columns, in order.

    A run may start where the last one stopped: at the head of the next column.
    """
    is_apart = np.append(stops[:-1] != starts[1:], True)[: len(stops)]
    is_new = np.append(True, is_apart[:-1])[: len(starts)]
    return join_runs(starts[is_new], stops[is_apart], size_hw)

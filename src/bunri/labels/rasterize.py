"""Drawing of outlines and run lengths, bit for bit as pycocotools' ``annToMask`` does it.

Pixels are counted down the columns, column * height + row, as in COCO's run lengths. An object
stays a list of spans as long as possible: these take far less memory than a frame per object, and
area and box follow from them without drawing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bunri.core.errors import AnnotationError
from bunri.labels.crossings import find_crossings
from bunri.labels.records import RunLengths, Segmentation
from bunri.labels.run_lengths import expand_run_lengths, join_runs

MIN_POLYGON_POINTS = 3

Box = tuple[int, int, int, int]  # left, top, width, height in pixels
_Ints = npt.NDArray[np.int64]

_MAX_CROSSINGS = 2_000_000  # at once; each takes about 50 bytes until it is half a span


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """The pixels of objects of one photo, as spans down the columns.

    Three int64 arrays (spans,): object ``owner[i]`` has the pixels from ``start[i]`` to
    ``stop[i] - 1``. Ordered by owner, then by start; the spans of an object are not empty, do not
    overlap, and do not touch.
    """

    size_hw: tuple[int, int]
    num_objects: int
    owner: _Ints
    start: _Ints
    stop: _Ints

    def count_pixels(self) -> _Ints:
        """Return the area of each object, int64 (objects,), in pixels."""
        ends = np.concatenate(([0], np.cumsum(self.stop - self.start)))
        return np.diff(ends[self.find_limits()])

    def find_boxes(self) -> _Ints:
        """Return the bounding boxes, int64 (objects, 4): left, top, width, height in pixels.

        An object without pixels has four zeros.
        """
        height, _ = self.size_hw
        boxes = np.zeros((self.num_objects, 4), np.int64)
        limits = self.find_limits()
        present = np.flatnonzero(np.diff(limits))
        if present.size == 0:
            return boxes
        first, last = limits[present], limits[present + 1] - 1
        left, top = np.divmod(self.start, height)
        right, bottom = np.divmod(self.stop - 1, height)
        is_wrapped = left < right  # it reaches from the foot of one column to the head of the next
        top = np.minimum.reduceat(np.where(is_wrapped, 0, top), first)
        bottom = np.maximum.reduceat(np.where(is_wrapped, height - 1, bottom), first)
        left, right = left[first], right[last]
        boxes[present] = np.stack((left, top, right - left + 1, bottom - top + 1), axis=1)
        return boxes

    def find_limits(self) -> _Ints:
        """Return the first span of each object, int64 (objects + 1,); the last is their number.

        Object ``i`` has the spans ``limits[i]`` to ``limits[i + 1] - 1``.
        """
        return np.searchsorted(self.owner, np.arange(self.num_objects + 1))


def trace_spans(segmentations: Sequence[Segmentation], size_hw: tuple[int, int]) -> Spans:
    """Return the pixels of all objects of a photo, much faster together than one by one.

    A polygon part with fewer than three points encloses nothing and draws nothing (pycocotools
    would read four numbers as a box). The parts of an object are united.

    Raises:
        AnnotationError: Run lengths have another size than the photo.
    """
    limits = _split_objects(segmentations, size_hw[1])
    batches = [_trace_batch(segmentations[a:b], size_hw) for a, b in pairwise(limits)]
    return Spans(
        size_hw,
        len(segmentations),
        np.concatenate([b.owner + first for b, first in zip(batches, limits, strict=False)]),
        np.concatenate([batch.start for batch in batches]),
        np.concatenate([batch.stop for batch in batches]),
    )


def _split_objects(segmentations: Sequence[Segmentation], width_px: int) -> list[int]:
    """Return where to cut the objects into batches, so that tracing one takes 100 MB at most.

    Nearly always one batch: [0, number of objects].
    """
    sizes = [
        len(shape.counts) if isinstance(shape, RunLengths) else sum(map(len, shape.parts))
        for shape in segmentations
    ]
    cuts: list[int] = []
    if sum(sizes) * width_px > _MAX_CROSSINGS:
        totals = np.cumsum([_bound_crossings(shape, width_px) for shape in segmentations])
        cuts = (np.flatnonzero(np.diff(totals // _MAX_CROSSINGS)) + 1).tolist()
    return [0, *cuts, len(segmentations)]


def _bound_crossings(shape: Segmentation, width_px: int) -> int:
    """Return an upper bound of the number of an object's column crossings."""
    if isinstance(shape, RunLengths):
        return len(shape.counts)
    reaches_px = (np.abs(np.diff(part[0::2], append=part[:1])) for part in shape.parts)
    # One more for the column at either end.
    return sum(int(np.minimum(reach_px + 2, width_px).sum()) for reach_px in reaches_px)


def _trace_batch(segmentations: Sequence[Segmentation], size_hw: tuple[int, int]) -> Spans:
    stride = size_hw[0] * size_hw[1] + 1  # key = position + stride * owner
    parts, owners = [], []
    starts, stops = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for number, shape in enumerate(segmentations):
        if isinstance(shape, RunLengths):
            check_size(shape, size_hw)
            keys = np.cumsum(shape.counts) + number * stride
            starts.append(keys[0 : len(keys) // 2 * 2 : 2])
            stops.append(keys[1::2])
        else:
            drawn = [part for part in shape.parts if len(part) >= 2 * MIN_POLYGON_POINTS]
            parts += drawn
            owners += [number] * len(drawn)
    if parts:
        part, position = find_crossings(parts, size_hw)
        # Outside and inside alternate within a part, so the parts are sorted by themselves first.
        keys = np.sort(position + part * stride)
        keys += (np.array(owners)[part] - part) * stride
        starts.append(keys[0::2])
        stops.append(keys[1::2])
    start, stop = _unite(np.concatenate(starts), np.concatenate(stops))
    owner = start // stride
    shift = owner * stride
    return Spans(size_hw, len(segmentations), owner, start - shift, stop - shift)


def _unite(start: _Ints, stop: _Ints) -> tuple[_Ints, _Ints]:
    """Return spans in order, none of them empty; those that overlap or touch become one."""
    is_empty = start == stop
    if is_empty.any():
        start, stop = start[~is_empty], stop[~is_empty]
    if (start[1:] < start[:-1]).any():
        order = np.argsort(start, kind="stable")
        start, stop = start[order], stop[order]
    reach = np.maximum.accumulate(stop)
    joints = np.flatnonzero(start[1:] > reach[:-1])
    if len(joints) + 1 < len(start):
        start = start[np.append(0, joints + 1)]
        reach = reach[np.append(joints, len(reach) - 1)]
    return start, reach


def trace_runs(segmentation: Segmentation, size_hw: tuple[int, int]) -> RunLengths:
    """Return the pixels of one object as run lengths, as ``pycocotools.mask.encode`` has them.

    That is: only the first run may be empty, and none follows the last run of 1s.

    Raises:
        AnnotationError: The run lengths have another size than the photo.
    """
    spans = trace_spans([segmentation], size_hw)
    return join_runs(spans.start, spans.stop, size_hw)


def find_box(runs: RunLengths) -> Box:
    """Return the bounding box of an object: left, top, width, height in pixels.

    Four zeros for an object without pixels.
    """
    left, top, width, height = trace_spans([runs], runs.size_hw).find_boxes()[0].tolist()
    return left, top, width, height


def draw_region(segmentation: Segmentation, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels of one object, bool (H, W); see :func:`trace_spans`.

    Raises:
        AnnotationError: Run lengths of another size than the photo.
    """
    return expand_run_lengths(trace_runs(segmentation, size_hw))


def draw_crop(
    segmentation: Segmentation, size_hw: tuple[int, int]
) -> tuple[npt.NDArray[np.bool_], tuple[int, int]]:
    """Return the pixels of one object in its bounding box, bool (h, w), and the box's left and top.

    A small object in a large photo takes little time and memory; see :func:`draw_region`.

    Raises:
        AnnotationError: Run lengths of another size than the photo.
    """
    spans = trace_spans([segmentation], size_hw)
    left, top, width, height = spans.find_boxes()[0].tolist()
    shift = left * size_hw[0]
    columns = join_runs(spans.start - shift, spans.stop - shift, (size_hw[0], width))
    return expand_run_lengths(columns)[top : top + height], (left, top)


def check_size(segmentation: Segmentation, size_hw: tuple[int, int]) -> None:
    """Refuse run lengths of another size than the photo."""
    if isinstance(segmentation, RunLengths) and segmentation.size_hw != size_hw:
        raise AnnotationError(
            f"run lengths are {segmentation.size_hw} (height, width), the photo is {size_hw}"
        )

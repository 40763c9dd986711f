"""Drawing of masks, with the rules that decide about pixels covered by several objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, MaskArray
from bunri.core.errors import AnnotationError
from bunri.labels.rasterize import Spans, check_size, trace_spans
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, Segmentation
from bunri.labels.rules import OverlapRule
from bunri.labels.run_lengths import expand_run_lengths

_Ints = npt.NDArray[np.int64]

_WORD_BYTES = 8
_MAX_CELLS = 500_000  # painted at once; each takes 17 bytes meanwhile


def draw_mask(dataset: LabelledSet, photo: Photo, rule: OverlapRule) -> MaskArray:
    """Return the mask of one photo.

    Rules:
        ``largest-first``: objects are painted from the largest area (in drawn pixels) to the
        smallest, so small ones stay visible; the later cohorts' rule, and the default.
        ``highest-class``: the highest class index wins; the 2021 notebook's ``np.maximum``.
        ``longest-polygon-first``: the object whose first polygon part has the most
        coordinates wins; the rule of an intermediate version. Run lengths have none and lose.

    Returns:
        uint8 (H, W), index into ``dataset.table``; 0 where there is no object, 255 where the
        photo's pixels are ignored.

    Raises:
        AnnotationError: An annotation that cannot be drawn; its id is named.
    """
    line, class_index, order = _lay_out(dataset, photo, rule)
    mask = _expand_changes(line.position, line.paint(order, class_index), photo.size_hw)
    if photo.id in dataset.ignored:
        mask[expand_run_lengths(dataset.ignored[photo.id])] = IGNORE_INDEX
    return mask


def sort_to_paint(dataset: LabelledSet, photo: Photo, rule: OverlapRule) -> list[Annotation]:
    """Return a photo's annotations in the order of painting: what is on top comes last.

    Raises:
        AnnotationError: An annotation that cannot be drawn; its id is named.
    """
    *_, order = _lay_out(dataset, photo, rule)
    annotations = dataset.annotations.get(photo.id, ())
    return [annotations[number] for number in order.tolist()]


@dataclass(frozen=True, slots=True)
class Contest:
    """Pixels of a photo that the overlap rule decides.

    Attributes:
        contested_px: Number of pixels that objects of different classes cover.
        differing_px: Number of pixels with another class under ``highest-class`` than under
            ``largest-first``.
    """

    contested_px: int
    differing_px: int


def measure_contest(spans: Spans, classes: Sequence[int]) -> Contest:
    """Return the pixels that the overlap rule decides; ``classes`` are mask indices of objects."""
    class_index = np.array(classes, np.uint8)
    by_start = np.argsort(spans.start, kind="stable")
    if (spans.start[by_start[1:]] >= spans.stop[by_start[:-1]]).all():
        return Contest(0, 0)  # no two objects overlap, as in most photos
    line = _Line(spans)
    ascending = _sort("highest-class", spans, class_index)
    highest, lowest = (line.paint(o, class_index) for o in (ascending, ascending[::-1]))
    largest_first = line.paint(_sort("largest-first", spans, class_index), class_index)
    lengths_px = np.diff(line.position, append=spans.size_hw[0] * spans.size_hw[1])
    return Contest(
        contested_px=int(lengths_px[highest != lowest].sum()),
        differing_px=int(lengths_px[highest != largest_first].sum()),
    )


def _lay_out(
    dataset: LabelledSet, photo: Photo, rule: OverlapRule
) -> tuple["_Line", npt.NDArray[np.uint8], _Ints]:
    """Return a photo's objects, their classes, and their order of painting."""
    annotations = dataset.annotations.get(photo.id, ())
    for annotation in annotations:
        try:
            check_size(annotation.segmentation, photo.size_hw)
        except AnnotationError as error:
            raise AnnotationError(f"annotation {annotation.id}: {error.message}") from error
    shapes = [annotation.segmentation for annotation in annotations]
    indices = [dataset.index_of_category[annotation.category_id] for annotation in annotations]
    spans, class_index = trace_spans(shapes, photo.size_hw), np.array(indices, np.uint8)
    return _Line(spans), class_index, _sort(rule, spans, class_index, shapes)


def _sort(
    rule: OverlapRule,
    spans: Spans,
    class_index: npt.NDArray[np.uint8],
    shapes: Sequence[Segmentation] = (),
) -> _Ints:
    """Return the objects in the order of painting: the last one ends on top."""
    if rule == "largest-first":
        key = -spans.count_pixels()
    elif rule == "highest-class":
        key = class_index.astype(np.int64)
    else:
        first = [shape.parts[:1] if isinstance(shape, Polygons) else () for shape in shapes]
        key = np.array([len(part[0]) if part else 0 for part in first], np.int64)
    # Stable: between equals the later annotation is on top, as in the notebooks' loops.
    return np.argsort(key, kind="stable")


class _Line:
    """A photo's pixels down the columns, cut into cells wherever a span begins or ends.

    Attributes:
        position: First pixel of each cell, int64 (cells,), strictly ascending from 0.
        first: First cell of each span, int64 (spans,).
        last: Cell after the last one of each span, int64 (spans,).
        owner: Object that each span belongs to, int64 (spans,).
    """

    def __init__(self, spans: Spans) -> None:
        ends = np.sort(np.concatenate(([0], spans.start, spans.stop)))
        self.position = ends[np.append(True, ends[1:] > ends[:-1])]
        self.first, self.last = (
            np.searchsorted(self.position, edges) for edges in (spans.start, spans.stop)
        )
        self.owner = spans.owner

    def paint(self, order: _Ints, class_index: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Paint the objects in ``order``; return the class of each cell, uint8 (cells,)."""
        value = np.full(len(self.position), BACKGROUND_INDEX, np.uint8)
        layer = np.empty(len(order), np.int64)
        layer[order] = np.arange(len(order))
        by_layer = np.argsort(layer[self.owner], kind="stable")
        begin, total = 0, np.cumsum((self.last - self.first)[by_layer])
        while begin < len(total):
            done = total[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(total, done + _MAX_CELLS, side="right")))
            some = by_layer[begin:end]
            num_cells = self.last[some] - self.first[some]
            shift = self.first[some] - (total[begin:end] - num_cells - done)
            cells = np.arange(total[end - 1] - done) + np.repeat(shift, num_cells)
            # numpy assigns in order, so the last object of a cell owns it.
            value[cells] = np.repeat(class_index[self.owner[some]], num_cells)
            begin = end
        return value


def _expand_changes(
    position: _Ints, value: npt.NDArray[np.uint8], size_hw: tuple[int, int]
) -> MaskArray:
    """Return uint8 (H, W) from its changes down the columns; see :class:`_Line`."""
    height, width = size_hw
    # Each pixel holds its difference to the one above, as exclusive or, to be summed up down the
    # columns; rows are padded to whole words, so that this takes eight pixels at a time.
    stride = -(-width // _WORD_BYTES) * _WORD_BYTES
    padded = np.zeros((height, stride), np.uint8)
    difference = value ^ np.roll(value, 1)
    num_inside = np.searchsorted(position, height * width)  # the last may be past the last pixel
    column, row = np.divmod(position[:num_inside], height)
    padded.reshape(-1)[row * stride + column] = difference[:num_inside]
    # At the head of a column there is none above.
    heads = np.searchsorted(position, np.arange(width) * height, side="right") - 1
    padded[0, :width] = value[heads]
    words = padded.view(np.uint64)
    np.bitwise_xor.accumulate(words, axis=0, out=words)
    return np.ascontiguousarray(padded[:, :width])

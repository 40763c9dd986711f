"""Objects as spans and run lengths: area and box without drawing, exact as with drawing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bunri.core.errors import AnnotationError
from bunri.labels.rasterize import Spans, draw_region, find_box, trace_runs, trace_spans
from bunri.labels.records import Polygons, RunLengths, Segmentation
from bunri.labels.run_lengths import count_pixels, decode_counts, expand_run_lengths
from tests.coco_data import box

HEIGHT, WIDTH = 10, 14


def polygons(*parts: list[float]) -> Polygons:
    return Polygons(tuple(np.array(part, np.float64) for part in parts))


def run_lengths(*counts: int, size_hw: tuple[int, int] = (HEIGHT, WIDTH)) -> RunLengths:
    return RunLengths(size_hw, np.array(counts, np.int64))


def trace(*shapes: Segmentation) -> Spans:
    return trace_spans(shapes, (HEIGHT, WIDTH))


def list_spans(spans: Spans) -> list[tuple[int, int, int]]:
    return list(zip(spans.owner.tolist(), spans.start.tolist(), spans.stop.tolist(), strict=True))


# --- one object ---------------------------------------------------------------------------------


def test_trace_runs__rectangle():
    runs = trace_runs(polygons(box(2, 3, 3, 4)), (HEIGHT, WIDTH))
    assert runs.size_hw == (HEIGHT, WIDTH)
    assert runs.counts.dtype == np.int64
    assert runs.counts.tolist() == [23, 4, 6, 4, 6, 4, 93]
    assert count_pixels(runs) == 12
    assert find_box(runs) == (2, 3, 3, 4)


@pytest.mark.parametrize(
    ("shape", "counts", "area", "bounds"),
    [
        (polygons(), [140], 0, (0, 0, 0, 0)),
        (polygons([1, 1, 5, 5]), [140], 0, (0, 0, 0, 0)),
        (polygons(box(-9, -9, 3, 3)), [140], 0, (0, 0, 0, 0)),
        (polygons(box(0, 0, WIDTH, HEIGHT)), [0, 140], 140, (0, 0, WIDTH, HEIGHT)),
        (polygons(box(0, 0, 1, 1)), [0, 1, 139], 1, (0, 0, 1, 1)),
        (polygons(box(13, 9, 1, 1)), [139, 1], 1, (13, 9, 1, 1)),
        (polygons(box(-5, 8, 99, 99)), None, 28, (0, 8, 14, 2)),
        # Two columns as one run; parts that overlap; parts that touch from above.
        (polygons(box(3, 0, 2, HEIGHT)), [30, 20, 90], 20, (3, 0, 2, 10)),
        (polygons(box(1, 1, 2, 3), box(2, 2, 2, 3)), None, 10, (1, 1, 3, 4)),
        (polygons(box(1, 1, 1, 2), box(1, 3, 1, 2)), [11, 4, 125], 4, (1, 1, 1, 4)),
        # A run from the foot of one column to the head of the next has a box of both.
        (run_lengths(18, 4, 118), [18, 4, 118], 4, (1, 0, 2, 10)),
        (run_lengths(0, 0, 3, 2, 0, 1, 134), [3, 3, 134], 3, (0, 3, 1, 3)),
        (run_lengths(140, 0), [140], 0, (0, 0, 0, 0)),
    ],
)
def test_trace_runs__known_by_hand(shape, counts, area, bounds):
    runs = trace_runs(shape, (HEIGHT, WIDTH))
    if counts is not None:
        assert runs.counts.tolist() == counts
    assert runs.counts.sum() == HEIGHT * WIDTH
    assert count_pixels(runs) == area
    assert find_box(runs) == bounds


def test_count_pixels__run_lengths_as_a_file_has_them():
    runs = run_lengths(0, 2, 0, 3, 5, 0, 130)
    assert count_pixels(runs) == 5
    assert find_box(runs) == (0, 0, 1, 5)


def test_trace_runs__run_lengths_of_another_size():
    with pytest.raises(AnnotationError, match=r"are \(10, 14\) .*, the photo is \(14, 10\)"):
        trace_runs(run_lengths(140), (14, 10))


def make_random_shape(rng: np.random.Generator) -> Segmentation:
    if rng.random() < 0.3:
        cuts = np.sort(rng.integers(0, HEIGHT * WIDTH + 1, rng.integers(0, 12)))
        return run_lengths(*np.diff([0, *cuts, HEIGHT * WIDTH]).tolist())
    num_parts = rng.integers(0, 4)
    parts = [rng.uniform(-5, 20, 2 * rng.integers(0, 8)).round(1) for _ in range(num_parts)]
    return Polygons(tuple(parts))


def encode(pixels: np.ndarray[Any, Any]) -> Any:
    return coco_mask.encode(np.asfortranarray(pixels, np.uint8))


def test_trace_runs__counts_area_and_box_equal_pycocotools():
    rng = np.random.default_rng(8)
    for _ in range(500):
        shape = make_random_shape(rng)
        runs = trace_runs(shape, (HEIGHT, WIDTH))
        encoded = encode(draw_region(shape, (HEIGHT, WIDTH)))
        np.testing.assert_array_equal(runs.counts, decode_counts(encoded["counts"].decode()))
        assert count_pixels(runs) == coco_mask.area(encoded)
        assert find_box(runs) == tuple(coco_mask.toBbox(encoded).tolist())


# --- all objects of a photo ---------------------------------------------------------------------


def test_trace_spans__none():
    spans = trace()
    assert list_spans(spans) == []
    assert spans.count_pixels().shape == (0,)
    assert spans.find_boxes().shape == (0, 4)


def test_trace_spans__each_object_has_its_own():
    spans = trace(
        polygons(box(5, 2, 1, 3)),
        polygons(),
        run_lengths(0, 4, 136),
        polygons(box(0, 1, 2, 2), box(5, 2, 1, 3)),
    )
    expected = [(0, 52, 55), (2, 0, 4), (3, 1, 3), (3, 11, 13), (3, 52, 55)]
    assert list_spans(spans) == expected
    assert spans.num_objects == 4
    assert spans.count_pixels().tolist() == [3, 0, 4, 7]
    assert spans.find_boxes().tolist() == [
        [5, 2, 1, 3], [0, 0, 0, 0], [0, 0, 1, 4], [0, 1, 6, 4],
    ]  # fmt: skip


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12))
def test_trace_spans__together_equal_one_by_one(seed, count):
    rng = np.random.default_rng(seed)
    shapes = [make_random_shape(rng) for _ in range(count)]
    spans = trace(*shapes)
    alone = [trace_runs(shape, (HEIGHT, WIDTH)) for shape in shapes]
    assert spans.count_pixels().tolist() == [count_pixels(runs) for runs in alone]
    assert [tuple(row) for row in spans.find_boxes().tolist()] == [find_box(r) for r in alone]
    for number, runs in enumerate(alone):
        mine = spans.owner == number
        pixels = np.zeros(HEIGHT * WIDTH, np.bool_)
        for start, stop in zip(spans.start[mine], spans.stop[mine], strict=True):
            pixels[start:stop] = True
        np.testing.assert_array_equal(pixels.reshape(WIDTH, HEIGHT).T, expand_run_lengths(runs))

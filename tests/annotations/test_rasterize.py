"""One object to pixels, bit for bit as pycocotools draws it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bunri.annotations.rasterize import (
    check_counts,
    decode_counts,
    draw_region,
    expand_run_lengths,
)
from bunri.annotations.records import Polygons, RunLengths, Segmentation
from bunri.contracts import AnnotationError
from tests.coco_data import box


def polygons(*parts: Sequence[float]) -> Polygons:
    return Polygons(tuple(np.array(part, np.float64) for part in parts))


def draw_with_pycocotools(segmentation: Any, size_hw: tuple[int, int]) -> Any:
    """Return what ``COCO.annToMask`` gives, the definition that everybody's scores rest on."""
    coco = COCO()
    coco.imgs = {1: {"height": size_hw[0], "width": size_hw[1]}}
    return coco.annToMask({"image_id": 1, "segmentation": segmentation})


def assert_same(parts: list[list[float]], size_hw: tuple[int, int]) -> None:
    region = draw_region(polygons(*parts), size_hw)
    expected = draw_with_pycocotools(parts, size_hw)
    assert region.dtype == np.bool_
    assert region.shape == size_hw
    np.testing.assert_array_equal(region, expected.astype(np.bool_))


# --- polygons -----------------------------------------------------------------------------------


def test_draw_region__rectangle_has_exactly_its_pixels():
    region = draw_region(polygons(box(5, 8, 10, 6)), (30, 40))
    expected = np.zeros((30, 40), np.bool_)
    expected[8:14, 5:15] = True
    np.testing.assert_array_equal(region, expected)
    assert region.sum() == 60


def test_draw_region__shape_without_symmetry_is_not_turned_or_flipped():
    # An L: a column of 2x9 on the left, a foot of 7x3 at the bottom.
    ell = [1, 2, 3, 2, 3, 8, 8, 8, 8, 11, 1, 11]
    region = draw_region(polygons(ell), (15, 12))
    expected = np.zeros((15, 12), np.bool_)
    expected[2:11, 1:3] = True
    expected[8:11, 1:8] = True
    np.testing.assert_array_equal(region, expected)


def test_draw_region__parts_add_up():
    region = draw_region(polygons(box(0, 0, 4, 3), box(2, 1, 4, 3), box(10, 10, 2, 2)), (15, 20))
    assert region.sum() == 12 + 12 - 2 * 2 + 4
    assert region[11, 11]


def test_draw_region__outside_of_the_frame_is_cut_off():
    region = draw_region(polygons(box(-5, -5, 8, 7)), (10, 10))
    expected = np.zeros((10, 10), np.bool_)
    expected[:2, :3] = True
    np.testing.assert_array_equal(region, expected)


@pytest.mark.parametrize("part", [box(50, 50, 5, 5), box(-9, -9, 5, 5), box(2, -9, 3, 4)])
def test_draw_region__wholly_outside_draws_nothing(part):
    assert not draw_region(polygons(part), (10, 12)).any()


@pytest.mark.parametrize(
    "parts", [[], [[]], [[1.0, 1.0]], [[1, 1, 8, 8]], [[1, 1, 8, 8], [2.0, 2.0]]]
)
def test_draw_region__fewer_than_three_points_enclose_nothing(parts):
    assert not draw_region(polygons(*parts), (10, 12)).any()


def test_draw_region__short_parts_beside_a_real_one_are_passed_over():
    # pycocotools would read a first part of four numbers as a box.
    region = draw_region(polygons([1, 1, 8, 8], box(2, 3, 4, 5), [7.0, 7.0]), (10, 12))
    assert region.sum() == 20


def test_draw_region__all_of_a_photo_of_one_pixel():
    assert draw_region(polygons(box(0, 0, 1, 1)), (1, 1)).tolist() == [[True]]


def test_draw_region__frame_much_wider_than_high():
    region = draw_region(polygons(box(3, 1, 1000, 1)), (2, 2000))
    assert region.sum() == 1000
    assert region[1, 3:1003].all()


@pytest.mark.parametrize(
    "part",
    [
        [2, 2, 9, 9, 9, 2, 2, 9],  # a bow tie
        [5, 5, 5, 5, 5, 5],  # one point three times
        [1, 1, 5, 5, 9, 9],  # a line
        [3, 3, 3, 9, 3, 3],  # there and back
        [1, 5, 9, 5, 9, 5, 1, 5],
        [-3, -3, 30, -3, 30, 30, -3, 30],  # around the whole frame
        [0.5, 0.5, 9.5, 0.5, 5.0, 9.49999],
        [0, 0, 12, 0, 12, 10, 0, 10],  # the frame itself
    ],
)
def test_draw_region__odd_outlines_are_as_pycocotools_draws_them(part):
    assert_same([part], (10, 12))


COORDINATE = (
    st.integers(-20, 60)
    | st.floats(-20, 60)
    | st.integers(-200, 600).map(lambda n: n / 10)  # as annotation tools write them
    | st.floats(-1e4, 1e4)
)
SIZES = st.tuples(st.integers(1, 45), st.integers(1, 45))
PARTS = st.lists(
    st.integers(3, 9).flatmap(lambda n: st.lists(COORDINATE, min_size=2 * n, max_size=2 * n)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(parts=PARTS, size_hw=SIZES)
def test_draw_region__any_polygons_equal_pycocotools(parts, size_hw):
    assert_same(parts, size_hw)


def assert_random_polygons_equal(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_drawn = 0
    while num_drawn < count:
        height, width = (int(n) for n in rng.integers(1, 130, 2))
        parts = []
        for _ in range(rng.integers(1, 4)):
            points = rng.uniform(-30, 150, (rng.integers(3, 30), 2))
            if rng.random() < 0.5:
                points = points.round(int(rng.integers(0, 3)))
            parts.append(points.ravel().tolist())
        assert_same(parts, (height, width))
        num_drawn += len(parts)


def test_draw_region__a_thousand_random_polygons_equal_pycocotools():
    assert_random_polygons_equal(1_000, seed=21)


@pytest.mark.slow
def test_draw_region__twenty_thousand_random_polygons_equal_pycocotools():
    assert_random_polygons_equal(20_000, seed=22)


# --- run lengths --------------------------------------------------------------------------------


def run_lengths(size_hw: tuple[int, int], *counts: int) -> RunLengths:
    return RunLengths(size_hw, np.array(counts, np.int64))


def test_expand_run_lengths__run_down_the_columns_and_start_with_zeros():
    region = expand_run_lengths(run_lengths((3, 4), 2, 2, 5, 3))
    assert region.astype(int).tolist() == [[0, 1, 0, 1], [0, 0, 0, 1], [1, 0, 0, 1]]


@pytest.mark.parametrize(
    ("counts", "value"), [((12,), False), ((0, 12), True), ((0, 5, 0, 7), True), ((12, 0), False)]
)
def test_expand_run_lengths__runs_of_zero_length(counts, value):
    assert (expand_run_lengths(run_lengths((3, 4), *counts)) == value).all()


def test_draw_region__run_lengths_of_another_size():
    with pytest.raises(AnnotationError, match=r"are \(3, 4\) .*, the photo is \(4, 3\)"):
        draw_region(run_lengths((3, 4), 12), (4, 3))


def test_draw_region__run_list_equals_pycocotools():
    rng = np.random.default_rng(3)
    for _ in range(50):
        height, width = (int(n) for n in rng.integers(1, 40, 2))
        cuts = np.sort(rng.integers(0, height * width + 1, rng.integers(0, 9)))
        counts = np.diff([0, *cuts, height * width]).tolist()
        expected = draw_with_pycocotools(
            {"size": [height, width], "counts": counts}, (height, width)
        )
        region = draw_region(run_lengths((height, width), *counts), (height, width))
        np.testing.assert_array_equal(region, expected.astype(np.bool_))


def compress(mask: Any) -> str:
    text: bytes = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return text.decode("ascii")


def assert_decodes(mask: np.ndarray[Any, Any]) -> None:
    counts = decode_counts(compress(mask))
    check_counts(counts, (mask.shape[0], mask.shape[1]))
    shape: Segmentation = RunLengths((mask.shape[0], mask.shape[1]), counts)
    np.testing.assert_array_equal(draw_region(shape, (mask.shape[0], mask.shape[1])), mask)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 50), (50, 1), (7, 13), (700, 900)])
@pytest.mark.parametrize("value", [False, True])
def test_decode_counts__all_zeros_and_all_ones(size_hw, value):
    assert_decodes(np.full(size_hw, value))


def test_decode_counts__known_text():
    # Runs 5, 2, 4, 3, 26 of a 5x8 mask; from the fourth on, differences to the one before last.
    mask = np.zeros(40, np.bool_)
    mask[5:7] = mask[11:14] = True
    text = compress(mask.reshape(8, 5).T)
    assert decode_counts(text).tolist() == [5, 2, 4, 3, 26]
    assert text == "5241f0"


def test_decode_counts__large_mask_of_many_runs():
    rng = np.random.default_rng(4)
    assert_decodes(rng.random((1500, 2000)) < 0.3)


def test_decode_counts__large_mask_of_few_long_runs():
    mask = np.zeros((4000, 3000), np.bool_)
    mask[:, 1000:] = True
    mask[17, 2999] = False
    assert_decodes(mask)


@given(st.data(), SIZES)
def test_decode_counts__any_mask_equals_pycocotools(data, size_hw):
    height, width = size_hw
    cuts = data.draw(st.lists(st.integers(0, height * width), max_size=12).map(sorted))
    mask = np.zeros(height * width, np.bool_)
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        mask[start:end] ^= True
    assert_decodes(mask.reshape(width, height).T)


@pytest.mark.parametrize("text", ["", "P", "5P", "o", "5`", " 5", "5 2", "/", "p", "~", "\n", "\0"])
def test_decode_counts__damaged_text(text):
    with pytest.raises(AnnotationError, match=r"run-length text is (empty|damaged)"):
        decode_counts(text)


@pytest.mark.parametrize("text", ["가", "5가2", "5\xff", "\ud800", "5\N{PILE OF POO}"])
def test_decode_counts__characters_outside_of_ascii(text):
    with pytest.raises(AnnotationError, match="run-length text is damaged"):
        decode_counts(text)


@pytest.mark.parametrize("text", ["o" * 8 + "0", "5" + "o" * 20 + "0", "o" * 100_000 + "0"])
def test_decode_counts__number_beyond_any_photo(text):
    with pytest.raises(AnnotationError, match="beyond any photo"):
        decode_counts(text)


def read_any(text: str, size_hw: tuple[int, int]) -> None:
    """Read run lengths as the reader of a COCO file does: a region or an error, no crash."""
    try:
        counts = decode_counts(text)
        check_counts(counts, size_hw)
    except AnnotationError as error:
        assert error.message  # noqa: PT017 (either outcome is right)
    else:
        assert expand_run_lengths(RunLengths(size_hw, counts)).shape == size_hw


@settings(max_examples=300)
@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=40) | st.text())
def test_decode_counts__any_text_is_read_or_refused(text):
    read_any(text, (5, 8))


@settings(max_examples=200)
@given(st.integers(0, 5), st.characters(min_codepoint=40, max_codepoint=120))
def test_decode_counts__one_damaged_character_is_read_or_refused(position, character):
    text = "5241f0"
    read_any(text[:position] + character + text[position + 1 :], (5, 8))


def test_check_counts__exact_cover_is_good():
    check_counts(np.array([5, 2, 4, 3, 26], np.int64), (5, 8))
    check_counts(np.array([0, 40], np.int64), (5, 8))


@pytest.mark.parametrize("counts", [[-1, 41], [5, -5, 40], [41, -1]])
def test_check_counts__negative_run(counts):
    with pytest.raises(AnnotationError, match="must not be negative"):
        check_counts(np.array(counts, np.int64), (5, 8))


@pytest.mark.parametrize("counts", [[], [39], [41], [20, 21], [0]])
def test_check_counts__other_number_of_pixels(counts):
    with pytest.raises(AnnotationError, match=rf"cover {sum(counts)} pixels.* has 40"):
        check_counts(np.array(counts, np.int64), (5, 8))


@pytest.mark.parametrize(
    "counts", [[2**62] * 4, [2**62] * 4 + [40], [2**63 - 1, 2**63 - 1, 42], [2**40] * 4]
)
def test_check_counts__sum_that_would_wrap_around(counts):
    with pytest.raises(AnnotationError, match="run lengths cover"):
        check_counts(np.array(counts, np.int64), (5, 8))


def test_check_counts__sum_of_very_many_runs_that_would_wrap_around():
    # 2**24 runs of 2**40 - 1 pixels are -2**24 pixels to int64.
    counts = np.full(2**24 + 1, 2**40 - 1, np.int64)
    counts[-1] = 2**24 + 40
    with pytest.raises(AnnotationError, match="run lengths cover"):
        check_counts(counts, (5, 8))

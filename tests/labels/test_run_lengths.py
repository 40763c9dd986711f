"""The run-length code, against known texts and pycocotools; damage is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bunri.core.errors import AnnotationError
from bunri.labels.rasterize import draw_region
from bunri.labels.records import RunLengths, Segmentation
from bunri.labels.run_lengths import check_counts, decode_counts, expand_run_lengths
from tests.labels.test_rasterize import SIZES, draw_with_pycocotools


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

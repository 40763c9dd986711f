"""Planes at other sizes: as Pillow has it, and the same in bands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bunri.images.resizing import resize_plane, resize_rows

sides = st.integers(1, 90)


def draw_plane(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width)).astype(np.float32)


def test_resize_plane__twice_as_wide_by_hand():
    plane = np.array([[0.0, 1.0]], np.float32)
    np.testing.assert_allclose(resize_plane(plane, (1, 4)), [[0, 0.25, 0.75, 1]])


def test_resize_plane__a_third_as_high_by_hand():
    # The middle of three rows, and with the triangle filter a part of each beside it.
    plane = np.array([[0.0], [3.0], [9.0]], np.float32)
    np.testing.assert_allclose(resize_plane(plane, (1, 1)), [[(2 * 0 + 3 * 3 + 2 * 9) / 7]])


@given(sides, sides, sides, sides)
def test_resize_plane__as_pillow(height, width, new_height, new_width):
    plane = draw_plane(height, width)
    picture = Image.fromarray(plane).resize((new_width, new_height), Image.Resampling.BILINEAR)
    found = resize_plane(plane, (new_height, new_width))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.asarray(picture), atol=1e-5)


@given(sides, sides, sides, sides, st.data())
def test_resize_rows__a_band_is_the_same_rows_of_the_whole(height, width, new_h, new_w, data):
    first = data.draw(st.integers(0, new_h - 1))
    rows = slice(first, data.draw(st.integers(first + 1, new_h)))
    plane = draw_plane(height, width)
    read = []

    def read_rows(asked):
        read.append(asked)
        return plane[asked]

    found = resize_rows(read_rows, (height, width), (new_h, new_w), rows)
    np.testing.assert_array_equal(found, resize_plane(plane, (new_h, new_w))[rows])
    (asked,) = read
    reach = max(1.0, height / new_h)
    assert asked.start >= rows.start * height / new_h - reach - 1
    assert asked.stop <= rows.stop * height / new_h + reach + 1


@pytest.mark.parametrize("size_hw", [(7, 900), (900, 7), (1, 1), (64, 64)])
def test_resize_plane__keeps_sums_over_classes(size_hw):
    planes = np.random.default_rng(1).random((5, 33, 47)).astype(np.float32)
    planes /= planes.sum(0)
    total = sum(resize_plane(plane, size_hw) for plane in planes)
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_resize_plane__the_same_size_is_the_same():
    plane = draw_plane(5, 6)
    np.testing.assert_array_equal(resize_plane(plane, (5, 6)), plane)

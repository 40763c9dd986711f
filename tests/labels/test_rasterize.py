"""One object to pixels, bit for bit as pycocotools draws it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from bunri.core.contracts import MAX_COORDINATE_PX
from bunri.labels import crossings
from bunri.labels.rasterize import draw_region
from bunri.labels.records import Polygons
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


FAR = MAX_COORDINATE_PX


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
        [FAR, 3, -FAR, FAR, 5, -FAR],
        [-FAR, -FAR, FAR, FAR, 0.1, FAR, 11.9, -FAR],
        [2.3, -FAR, 2.7, FAR, 9.9, FAR, 9.5, -FAR],  # as steep as can be
        [-FAR, 2.3, FAR, 2.7, FAR, 7.9, -FAR, 7.5],
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


def test_draw_region__outlines_of_very_many_crossings_are_computed_in_pieces(monkeypatch):
    monkeypatch.setattr(crossings, "_MAX_AT_ONCE", 7)
    assert_random_polygons_equal(100, seed=23)

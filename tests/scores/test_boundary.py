"""Bands and boundary IoU against squares counted by hand and a filter written out in loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import InputError
from bunri.scores.boundary import count_boundary, find_band, find_distance_px

NAN = float("nan")


def draw_square(size, start, end, value=1):
    mask = np.zeros((size, size), np.uint8)
    mask[start:end, start:end] = value
    return mask


def erode_in_loops(mask, distance_px):
    """Erode each class by 3 x 3, ``distance_px`` times, as the method's authors do."""
    band = np.zeros(mask.shape, bool)
    for value in np.unique(mask):
        inside = np.pad(mask == value, 1)
        whole = inside[1:-1, 1:-1]
        for _ in range(distance_px):
            inside = np.pad(
                np.all(
                    [
                        inside[i : i + mask.shape[0], j : j + mask.shape[1]]
                        for i in range(3)
                        for j in range(3)
                    ],
                    axis=0,
                ),
                1,
            )
        band |= whole & ~inside[1:-1, 1:-1]
    return band


@pytest.mark.parametrize(
    ("size_hw", "distance_px"),
    [((512, 512), 14), ((1, 1), 1), ((24, 32), 1), ((300, 400), 10), ((3000, 4000), 100)],
)
def test_find_distance_px__2_percent_of_the_diagonal(size_hw, distance_px):
    assert find_distance_px(size_hw) == distance_px


def test_find_band__of_a_square_by_hand():
    # A square of 10 in 20: its own band is 10² - 6², that of the ground runs around it and along
    # the border of the photo: all but what is 2 from both, which here is one pixel wide.
    band = find_band(draw_square(20, 5, 15), 2)
    square = draw_square(20, 5, 15) == 1
    assert (band & square).sum() == 100 - 36
    assert (~band & ~square).sum() == 4 * 15  # a ring of 16 x 16, one pixel wide
    assert not band[2, 2]
    assert band[1, 2]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_find_band__equals_erosion_in_loops(seed, distance_px):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, rng.integers(1, 6, 2)).astype(np.uint8)
    mask = np.kron(coarse, np.ones(rng.integers(1, 9, 2), np.uint8))
    np.testing.assert_array_equal(find_band(mask, distance_px), erode_in_loops(mask, distance_px))


def test_find_band__photo_of_one_class_has_its_border():
    band = find_band(np.full((9, 7), 3, np.uint8), 2)
    assert (~band).sum() == 5 * 3


@pytest.mark.parametrize("size_hw", [(4, 90), (90, 4), (1, 1)])
def test_find_band__photo_narrower_than_the_band(size_hw):
    assert find_band(np.zeros(size_hw, np.uint8), 2).all()


def test_find_band__what_is_ignored_makes_no_edge():
    mask = np.zeros((30, 30), np.uint8)
    plain = find_band(mask, 3)
    mask[10:20, 10:20] = 255
    np.testing.assert_array_equal(find_band(mask, 3) & (mask == 0), plain & (mask == 0))


def test_count_boundary__same_mask_is_1():
    mask = draw_square(100, 20, 70, 2)
    counts = count_boundary(mask, mask, 4)
    np.testing.assert_array_equal(counts.iou, [1, NAN, 1, NAN])
    assert counts.truth.tolist() == counts.predicted.tolist() == counts.hits.tolist()
    # 2 % of 141 px is 3: the square's band is 50² - 44².
    assert counts.truth[2] == 50**2 - 44**2


def test_count_boundary__shifted_square_by_hand():
    """One column to the right: 50 x 50 with a band of 3, where plain IoU would be 49/51."""
    truth, prediction = draw_square(100, 20, 70), np.roll(draw_square(100, 20, 70), 1, axis=1)
    counts = count_boundary(truth, prediction, 2)
    ring = 50**2 - 44**2
    # Both rings: rows above and below overlap over 49 of 50 columns; of each upright side of 3
    # columns, 2 overlap with the other's, over the 44 rows between.
    both = 2 * 3 * 49 + 2 * 2 * 44
    assert (counts.truth[1], counts.predicted[1], counts.hits[1]) == (ring, ring, both)
    assert counts.iou[1] == both / (2 * ring - both)
    assert counts.iou[1] < 49 / 51


def test_count_boundary__ignored_pixels_do_not_count():
    truth = draw_square(100, 20, 70)
    truth[:, 50:] = 255
    prediction = truth.copy()
    prediction[:, 50:] = 2
    counts = count_boundary(truth, prediction, 3)
    np.testing.assert_array_equal(counts.iou, [1, 1, NAN])
    assert counts.truth.tolist() == counts.predicted.tolist()


def test_count_boundary__invented_class_is_0():
    counts = count_boundary(np.zeros((60, 60), np.uint8), draw_square(60, 20, 40), 2)
    assert counts.iou[1] == 0
    assert 0 < counts.iou[0] < 1


def test_count_boundary__sizes_differ():
    with pytest.raises(InputError, match="sizes differ"):
        count_boundary(np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8), 2)

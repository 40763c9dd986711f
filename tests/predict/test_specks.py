"""Small regions against a search written out pixel by pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bunri.predict.specks import remove_specks


def draw(*rows):
    return np.array([[int(c) for c in row] for row in rows], np.uint8)


def list_areas(mask):
    """Return the area of the region that each pixel is in, by flood fill."""
    areas = np.zeros(mask.shape, int)
    for start in np.ndindex(mask.shape):
        if not areas[start]:
            seen, todo = {start}, [start]
            while todo:
                y, x = todo.pop()
                for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    inside = 0 <= near[0] < mask.shape[0] and 0 <= near[1] < mask.shape[1]
                    if inside and near not in seen and mask[near] == mask[start]:
                        seen.add(near)
                        todo.append(near)
            for pixel in seen:
                areas[pixel] = len(seen)
    return areas


def test_remove__a_speck_takes_the_class_around_it():
    mask = draw("1111", "1211", "1001", "1111")
    cleaned = remove_specks(mask, 2 / 16)
    assert cleaned.tolist() == draw("1111", "1111", "1001", "1111").tolist()


def test_remove__most_of_the_border_decides_and_the_lower_class_between_equals():
    mask = draw("2222", "3333", "3514", "3333", "4444")
    cleaned = remove_specks(mask, 2 / 20)
    assert cleaned[2].tolist() == [3, 3, 3, 3]  # the 4 and the 1, too, are specks
    assert remove_specks(draw("11", "11", "30", "22", "22"), 2 / 10)[2].tolist() == [1, 1]


def test_remove__specks_inside_specks_are_filled_from_outside():
    mask = np.zeros((9, 9), np.uint8)
    mask[3:6, 3:6] = 1
    mask[4, 4] = 2
    assert not remove_specks(mask, 10 / 81).any()


def test_remove__nothing_large_leaves_the_mask_alone():
    mask = draw("12", "34")
    assert remove_specks(mask, 0.5) is mask
    assert remove_specks(mask, 0.25) is mask


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 999), st.sampled_from([0.05, 0.1]))
def test_remove__large_regions_stay_and_small_ones_go(height, width, seed, share):
    mask = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    areas = list_areas(mask)
    is_kept = areas >= share * mask.size
    cleaned = remove_specks(mask, share)
    if not is_kept.any():
        assert cleaned is mask
        return
    np.testing.assert_array_equal(cleaned[is_kept], mask[is_kept])
    # Whatever was filled hangs together with something that was kept.
    after = list_areas(cleaned)
    assert (after[~is_kept] >= share * mask.size).all()

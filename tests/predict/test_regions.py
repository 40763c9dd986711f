"""Connected regions of a mask, with answers known by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.rasterize import draw_region
from bunri.labels.records import Polygons
from bunri.predict.regions import find_regions

PAPER, GLASS = COMPETITION_TABLE.index_of("Paper"), COMPETITION_TABLE.index_of("Glass")


def test_find_regions__boxes_areas_and_outlines():
    mask = np.zeros((8, 10), np.uint8)
    mask[1:4, 2:7] = PAPER  # 15 pixels
    mask[5:7, 0:2] = PAPER  # 4 pixels
    mask[6:8, 8:10] = GLASS  # 4 pixels
    regions = find_regions(mask, COMPETITION_TABLE)
    assert [(r.name, r.box_xywh_px, r.area_px) for r in regions] == [
        ("Paper", (2, 1, 5, 3), 15),
        ("Paper", (0, 5, 2, 2), 4),
        ("Glass", (8, 6, 2, 2), 4),
    ]
    assert regions[0].share == 15 / 80
    assert {tuple(point) for point in regions[0].outline.tolist()} == {
        (2.0, 1.0), (7.0, 1.0), (7.0, 4.0), (2.0, 4.0),
    }  # fmt: skip
    assert [r.area_px for r in find_regions(mask, COMPETITION_TABLE, min_share=0.1)] == [15]


def test_find_regions__nothing_but_ground_and_ignored_pixels():
    mask = np.zeros((4, 4), np.uint8)
    mask[:2] = 255
    assert find_regions(mask, COMPETITION_TABLE) == []


@given(npst.arrays(np.uint8, (7, 9), elements=st.integers(0, 2)))
def test_find_regions__outlines_fill_to_the_mask_again(mask):
    again = np.zeros_like(mask)
    for region in find_regions(mask, COMPETITION_TABLE):
        drawn = draw_region(Polygons((region.outline.ravel(),)), mask.shape)
        assert np.count_nonzero(drawn) == region.area_px
        again[drawn] = region.class_index
    np.testing.assert_array_equal(again, mask)

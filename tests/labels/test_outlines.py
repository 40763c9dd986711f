"""Outlines and run lengths that mean exactly the pixels they were made from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from shapely import Polygon

from bunri.labels import outlines
from bunri.labels.coco import read_coco
from bunri.labels.components import LabelledRuns
from bunri.labels.outlines import encode_region, split_region, trace_keyholes, trace_parts
from bunri.labels.rasterize import draw_crop, draw_region
from bunri.labels.records import Polygons
from bunri.labels.run_lengths import decode_counts, encode_counts, expand_run_lengths
from bunri.labels.segmentations import measure_outline_px

INSET_PX = 0.05


def parse(picture: str) -> np.ndarray:
    return np.array([[c == "#" for c in line] for line in picture.split()])


def list_points(polygon: np.ndarray) -> list[tuple[float, float]]:
    return [(x, y) for x, y in polygon.reshape(-1, 2).tolist()]


def draw(polygons, size_hw) -> np.ndarray:
    return draw_region(Polygons(tuple(polygons)), size_hw)


def draw_with_outline(polygons, size_hw) -> np.ndarray:
    """Draw as LabelMe does, with Pillow, which paints the outline, too."""
    picture = Image.new("1", size_hw[::-1])
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon(list_points(polygon), outline=1, fill=1)
    return np.array(picture)


@st.composite
def regions(draw_from) -> np.ndarray:
    """Noise of any density: holes, diagonals, single pixels, lines, all at the frame's edge."""
    shape = draw_from(array_shapes(min_dims=2, max_dims=2, max_side=14))
    density = draw_from(st.sampled_from([0.1, 0.4, 0.5, 0.6, 0.8, 0.95, 1.0]))
    rng = np.random.default_rng(draw_from(st.integers(0, 2**32 - 1)))
    return np.asarray(rng.random(shape) < density)


SHAPES = {
    "pixel": "#",
    "pixel within": "... .#. ...",
    "row": "..... .###. .....",
    "column": "... .#. .#. ...",
    "full": "### ### ###",
    "hole": "##### #...# ##### .....",
    "pinhole": "### #.# ###",
    "two holes side by side": "####### #.#.#.# #######",
    "hole above hole": "### #.# ### #.# ###",
    "ring in a ring": "####### #.....# #.###.# #.#.#.# #.###.# #.....# #######",
    "diagonal": "#.. .#. ..#",
    "other diagonal": "..# .#. #..",
    "checkers": "#.#.# .#.#. #.#.#",
    "hole that touches the outside": ".## #.# ###",
    "holes that touch": "##### #.### ##.## #####",
    "two parts": "##..## ##..## .....#",
    "staircase": "#.... ##... ###.. ####. #####",
    "comb": "##### #.#.# #.#.#",
}


@pytest.mark.parametrize("picture", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("trace", [trace_parts, trace_keyholes])
def test_trace__hard_shapes(picture, trace):
    region = parse(picture)
    np.testing.assert_array_equal(draw(trace(region), region.shape), region)


@pytest.mark.parametrize("trace", [trace_parts, trace_keyholes])
def test_trace__rectangle_is_its_four_corners(trace):
    region = np.zeros((20, 30), np.bool_)
    region[8:14, 5:15] = True
    (polygon,) = trace(region)
    assert list_points(polygon) == [(5, 8), (15, 8), (15, 14), (5, 14)]
    assert polygon.dtype == np.float64


@pytest.mark.parametrize("trace", [trace_parts, trace_keyholes])
def test_trace__nothing_has_no_outline(trace):
    assert trace(np.zeros((3, 4), np.bool_)) == ()


def test_trace_parts__hole_is_cut_from_top_to_bottom():
    left, right = trace_parts(parse("##### #...# #####"))
    assert list_points(left) == [(0, 0), (1, 0), (1, 2), (4, 2), (4, 3), (0, 3)]
    assert list_points(right) == [(1, 0), (5, 0), (5, 3), (4, 3), (4, 1), (1, 1)]


def test_trace_keyholes__hole_is_reached_by_one_cut():
    (polygon,) = trace_keyholes(parse("##### #...# #####"))
    # Down the cut at x = 1, around the hole, and up again.
    assert list_points(polygon) == [
        *[(0, 0), (1, 0), (1, 2), (4, 2), (4, 1)],
        *[(1, 1), (1, 0), (5, 0), (5, 3), (0, 3)],
    ]


def test_trace_keyholes__pixels_that_share_a_corner_are_pieces():
    assert len(trace_keyholes(parse("#. .#"))) == 2


def test_trace__only_corners():
    """A staircase of n steps has a corner at each turn and none between."""
    region = np.tri(50, dtype=np.bool_).repeat(3, 0).repeat(2, 1)
    (polygon,) = trace_parts(region)
    assert len(polygon) // 2 == 2 * 50 + 2


@given(regions())
def test_trace__any_region_is_drawn_back(region):
    for trace in (trace_parts, trace_keyholes):
        for inset_px in (0.0, INSET_PX):
            polygons = trace(region, inset_px=inset_px)
            np.testing.assert_array_equal(draw(polygons, region.shape), region)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_trace__inset_outlines_are_filled_alike_by_those_who_paint_outlines(region):
    for trace in (trace_parts, trace_keyholes):
        polygons = trace(region, inset_px=INSET_PX)
        np.testing.assert_array_equal(draw_with_outline(polygons, region.shape), region)


@given(regions())
def test_trace_parts__simple_polygons_that_do_not_overlap(region):
    polygons = [Polygon(list_points(polygon)) for polygon in trace_parts(region)]
    assert all(polygon.is_valid for polygon in polygons)
    assert sum(polygon.area for polygon in polygons) == np.count_nonzero(region)


@given(regions())
def test_trace_keyholes__one_polygon_per_piece(region):
    labels = LabelledRuns.from_region(region, 4).label
    assert len(trace_keyholes(region)) == len(set(labels.tolist()))


@given(regions(), st.integers(12, 60))
def test_trace__outlines_beyond_the_limit_are_cut(region, limit_px):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outlines, "MAX_OUTLINE_PX", limit_px)
        for trace in (trace_parts, trace_keyholes):
            polygons = trace(region)
            np.testing.assert_array_equal(draw(polygons, region.shape), region)
            if region.shape[1] * 4 <= limit_px:
                assert all(measure_outline_px(polygon) <= limit_px for polygon in polygons)


def test_trace__a_spiral_is_followed_to_its_end():
    """One run of sides that touches nearly all others: labels travel the longest way."""
    size = 61
    region = np.zeros((size, size), np.bool_)
    for k in range(0, size // 2, 2):
        region[k, max(0, k - 2) : size - k] = True
        region[k : size - k, size - 1 - k] = True
        region[size - 1 - k, k : size - k] = True
        region[k + 2 : size - k, k] = True
    for trace in (trace_parts, trace_keyholes):
        polygons = trace(region)
        assert len(polygons) == 1
        np.testing.assert_array_equal(draw(polygons, region.shape), region)


# --- components ---------------------------------------------------------------------------------


def label_pixels(region: np.ndarray, neighbours: int) -> np.ndarray:
    """Label components by flooding, one pixel after the other; 0 is outside."""
    labels = np.zeros(region.shape, int)
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)] if neighbours == 8 else []
    for y, x in np.argwhere(region).tolist():
        if labels[y, x]:
            continue
        todo, label = [(y, x)], labels.max() + 1
        while todo:
            here = todo.pop()
            is_within = min(here) >= 0 and here[0] < len(region) and here[1] < region.shape[1]
            if is_within and region[here] and not labels[here]:
                labels[here] = label
                todo += [(here[0] + dy, here[1] + dx) for dy, dx in steps]
    return labels


@given(regions(), st.sampled_from([4, 8]))
def test_labelled_runs__as_flooding_finds_them(region, neighbours):
    runs = LabelledRuns.from_region(region, neighbours)
    labels = np.zeros(region.shape, int)
    for row, start, stop, label in zip(runs.row, runs.start, runs.stop, runs.label, strict=True):
        labels[row, start:stop] = label + 1
    np.testing.assert_array_equal(labels, label_pixels(region, neighbours))


@given(regions(), st.sampled_from([4, 8]))
def test_split_region__pieces_are_the_components(region, neighbours):
    pieces = [expand_run_lengths(piece) for piece in split_region(region, neighbours)]
    labels = label_pixels(region, neighbours)
    assert len(pieces) == labels.max()
    for piece in pieces:
        (label,) = set(labels[piece].tolist())
        np.testing.assert_array_equal(piece, labels == label)


def test_split_region__corners_join_only_eight_neighbours():
    region = parse("#. .#")
    assert len(split_region(region, 4)) == 2
    (piece,) = split_region(region, 8)
    assert piece.counts.tolist() == [0, 1, 2, 1]


# --- run lengths --------------------------------------------------------------------------------


def test_encode_region__down_the_columns_from_a_run_of_zeros():
    assert encode_region(parse("#.# ###")).counts.tolist() == [0, 2, 1, 3]
    assert encode_region(parse("... .#. ...")).counts.tolist() == [4, 1, 4]
    assert encode_region(np.zeros((2, 3), np.bool_)).counts.tolist() == [6]
    assert encode_region(np.ones((2, 3), np.bool_)).counts.tolist() == [0, 6]


def test_encode_region__part_of_a_photo():
    runs = encode_region(np.ones((2, 3), np.bool_), (10, 20), (5, 4))
    assert runs.size_hw == (10, 20)
    assert runs.counts.tolist() == [54, 2, 8, 2, 8, 2, 124]


@given(regions())
def test_encode_region__as_pycocotools(region):
    expected = coco_mask.encode(np.asfortranarray(region.view(np.uint8)))
    runs = encode_region(region)
    assert encode_counts(runs.counts) == expected["counts"].decode()
    np.testing.assert_array_equal(expand_run_lengths(runs), region)


@given(st.lists(st.integers(0, 2**34), min_size=1, max_size=30))
def test_encode_counts__is_decoded_to_the_same(counts):
    assert decode_counts(encode_counts(np.array(counts))).tolist() == counts


@given(st.lists(st.integers(1, 2**24), min_size=1, max_size=9).filter(lambda c: sum(c) < 2**31))
def test_encode_counts__as_pycocotools(counts):
    expected = coco_mask.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))
    assert encode_counts(np.array(counts)) == expected["counts"].decode()


@given(regions())
def test_trace__part_of_a_photo(region):
    whole = np.pad(region, ((2, 1), (3, 4)))
    for trace in (trace_parts, trace_keyholes):
        np.testing.assert_array_equal(draw(trace(region, left_top_px=(3, 2)), whole.shape), whole)


@given(regions(), st.integers(0, 3), st.integers(0, 3))
def test_draw_crop__is_the_region_in_its_box(region, left, top):
    whole = np.pad(region, ((top, 2), (left, 1)))
    crop, (x, y) = draw_crop(encode_region(whole), whole.shape)
    height, width = crop.shape
    np.testing.assert_array_equal(crop, whole[y : y + height, x : x + width])
    assert np.count_nonzero(crop) == np.count_nonzero(whole)
    assert not crop.size or all(side.any() for side in (crop[0], crop[-1], crop[:, 0], crop[:, -1]))


# --- real photos --------------------------------------------------------------------------------


@pytest.mark.photos
def test_trace__every_real_object_is_drawn_back(photos):
    dataset = read_coco(photos / "recycle_trash" / "train_all.json")
    num_holes = 0
    for photo in dataset.photos:
        for annotation in dataset.annotations.get(photo.id, ()):
            region = draw_region(annotation.segmentation, photo.size_hw)
            for polygons in (trace_parts(region), trace_keyholes(region, inset_px=INSET_PX)):
                np.testing.assert_array_equal(draw(polygons, photo.size_hw), region)
            num_holes += len(trace_parts(region)) > len(trace_keyholes(region))
    assert num_holes > 100

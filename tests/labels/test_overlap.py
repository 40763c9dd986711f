"""Who owns a pixel that several objects claim; every answer drawn by hand."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import AnnotationError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels import rasterize
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask, measure_contest
from bunri.labels.rasterize import draw_region
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, RunLengths, Segmentation
from bunri.labels.rules import OVERLAP_RULES, OverlapRule
from tests.coco_data import (
    box,
    list_categories,
    make_annotation,
    make_document,
    make_image,
    write_coco,
)

HEIGHT, WIDTH = 10, 14
PAPER, GLASS, PLASTIC, BATTERY = 2, 5, 6, 9  # category ids; one less than the mask index


def read(folder: Path, *annotations: dict[str, Any], **changes: Any) -> LabelledSet:
    document = make_document(
        images=[make_image(1, "a.jpg", HEIGHT, WIDTH)], annotations=list(annotations), **changes
    )
    return read_coco(write_coco(folder, document))


def draw(folder: Path, rule: OverlapRule, *annotations: dict[str, Any], **changes: Any):
    dataset = read(folder, *annotations, **changes)
    return draw_mask(dataset, dataset.photos[0], rule)


def paint(*layers: tuple[int, int, int, int, int]):
    """Return a mask painted from the first layer to the last: x, y, width, height, index."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x, y, width, height, index in layers:
        mask[y : y + height, x : x + width] = index
    return mask


@pytest.mark.parametrize("rule", OVERLAP_RULES)
def test_draw_mask__no_annotations_is_all_background(tmp_path, rule):
    mask = draw(tmp_path, rule)
    assert mask.shape == (HEIGHT, WIDTH)
    assert mask.dtype == np.uint8
    assert not mask.any()


@pytest.mark.parametrize("rule", OVERLAP_RULES)
def test_draw_mask__objects_apart_are_the_same_under_every_rule(tmp_path, rule):
    mask = draw(
        tmp_path,
        rule,
        make_annotation(1, 1, PLASTIC, box(0, 0, 3, 2)),
        make_annotation(2, 1, PAPER, box(6, 4, 5, 3)),
    )
    np.testing.assert_array_equal(mask, paint((0, 0, 3, 2, 7), (6, 4, 5, 3, 3)))


# A large object of many points and a high class, a small one, and a long thin one.
LARGE = make_annotation(1, 1, PLASTIC, box(1, 1, 9, 7))
SMALL = make_annotation(2, 1, PAPER, box(4, 3, 2, 2))
# 14 x 1 pixels at y = 4, with extra points along its upper edge: 10 points, 20 numbers.
LINE = make_annotation(
    3, 1, GLASS, [0, 4, 2, 4, 4, 4, 6, 4, 8, 4, 10, 4, 12, 4, 14, 4, 14, 5, 0, 5]
)


def test_draw_mask__largest_first_leaves_small_objects_on_top(tmp_path):
    expected = paint((1, 1, 9, 7, 7), (0, 4, 14, 1, 6), (4, 3, 2, 2, 3))
    for order in ([LARGE, SMALL, LINE], [SMALL, LINE, LARGE], [LINE, LARGE, SMALL]):
        np.testing.assert_array_equal(draw(tmp_path, "largest-first", *order), expected)


def test_draw_mask__highest_class_is_the_notebooks_maximum(tmp_path):
    expected = np.maximum.reduce(
        [paint((1, 1, 9, 7, 7)), paint((4, 3, 2, 2, 3)), paint((0, 4, 14, 1, 6))]
    )
    for order in ([LARGE, SMALL, LINE], [SMALL, LINE, LARGE], [LINE, LARGE, SMALL]):
        np.testing.assert_array_equal(draw(tmp_path, "highest-class", *order), expected)


def test_draw_mask__longest_polygon_first_leaves_the_longest_on_top(tmp_path):
    # The small box and the large one have four points each: the later annotation is on top.
    on_top = paint((1, 1, 9, 7, 7), (4, 3, 2, 2, 3), (0, 4, 14, 1, 6))
    np.testing.assert_array_equal(
        draw(tmp_path, "longest-polygon-first", LARGE, SMALL, LINE), on_top
    )
    beneath = paint((4, 3, 2, 2, 3), (1, 1, 9, 7, 7), (0, 4, 14, 1, 6))
    np.testing.assert_array_equal(
        draw(tmp_path, "longest-polygon-first", LINE, SMALL, LARGE), beneath
    )


def test_draw_mask__longest_polygon_first_counts_the_first_part_alone(tmp_path):
    many_parts = make_annotation(1, 1, PAPER, box(0, 0, 4, 4), LINE["segmentation"][0])
    five_points = make_annotation(2, 1, GLASS, [0, 0, 3, 0, 6, 0, 6, 2, 0, 2])
    expected = paint((0, 0, 4, 4, 3), (0, 4, 14, 1, 3), (0, 0, 6, 2, 6))
    for order in ([many_parts, five_points], [five_points, many_parts]):
        np.testing.assert_array_equal(draw(tmp_path, "longest-polygon-first", *order), expected)


def test_draw_mask__longest_polygon_first_equals_the_notebooks_loop(tmp_path):
    rng = np.random.default_rng(5)
    annotations = []
    for id_ in range(12):
        points = rng.integers(0, 15, (rng.integers(3, 9), 2))
        annotations.append(
            make_annotation(id_, 1, int(rng.integers(0, 11)), points.ravel().tolist())
        )
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    for ann in sorted(annotations, key=lambda a: len(a["segmentation"][0])):
        alone = draw(tmp_path, "highest-class", ann)
        expected[alone != 0] = ann["category_id"] + 1
    mask = draw(tmp_path, "longest-polygon-first", *annotations)
    np.testing.assert_array_equal(mask, expected)


def test_draw_mask__largest_first_between_equals_the_later_is_on_top(tmp_path):
    first = make_annotation(1, 1, GLASS, box(0, 0, 6, 2))
    second = make_annotation(2, 1, PAPER, box(2, 0, 4, 3))
    expected = paint((0, 0, 6, 2, 6), (2, 0, 4, 3, 3))
    np.testing.assert_array_equal(draw(tmp_path, "largest-first", first, second), expected)
    expected = paint((2, 0, 4, 3, 3), (0, 0, 6, 2, 6))
    np.testing.assert_array_equal(draw(tmp_path, "largest-first", second, first), expected)


def test_draw_mask__largest_first_counts_drawn_pixels_not_the_stated_area(tmp_path):
    liar = make_annotation(1, 1, GLASS, box(0, 0, 3, 3), area=10_000.0)
    honest = make_annotation(2, 1, PAPER, box(0, 0, 5, 5), area=1.0)
    expected = paint((0, 0, 5, 5, 3), (0, 0, 3, 3, 6))
    np.testing.assert_array_equal(draw(tmp_path, "largest-first", liar, honest), expected)


def test_draw_mask__largest_first_counts_only_pixels_inside_of_the_photo(tmp_path):
    mostly_outside = make_annotation(1, 1, GLASS, box(-90, 0, 92, 3))
    inside = make_annotation(2, 1, PAPER, box(0, 0, 4, 4))
    expected = paint((0, 0, 4, 4, 3), (0, 0, 2, 3, 6))
    np.testing.assert_array_equal(draw(tmp_path, "largest-first", mostly_outside, inside), expected)


def test_draw_mask__largest_first_adds_up_the_parts_of_an_object(tmp_path):
    two_parts = make_annotation(1, 1, GLASS, box(0, 0, 4, 4), box(8, 0, 4, 4))
    one_part = make_annotation(2, 1, PAPER, box(2, 0, 5, 4))
    expected = paint((0, 0, 4, 4, 6), (8, 0, 4, 4, 6), (2, 0, 5, 4, 3))
    for order in ([two_parts, one_part], [one_part, two_parts]):
        np.testing.assert_array_equal(draw(tmp_path, "largest-first", *order), expected)


# A frame of 4x4 with a hole of 2x2 in it at (0, 0), as run lengths down the columns of 10.
RING = make_annotation(
    5, 1, BATTERY,
    segmentation={"size": [HEIGHT, WIDTH], "counts": [0, 4, 6, 1, 2, 1, 6, 1, 2, 1, 6, 4, 106]},
)  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "ring_is_on_top"),
    [("largest-first", False), ("highest-class", True), ("longest-polygon-first", False)],
)
def test_draw_mask__run_lengths(tmp_path, rule, ring_is_on_top):
    glass = make_annotation(6, 1, GLASS, box(1, 0, 2, 4))
    ring = paint((0, 0, 4, 4, 10), (1, 1, 2, 2, 0))
    expected = paint((1, 0, 2, 4, 6))
    np.copyto(expected, ring, where=(ring != 0) & (ring_is_on_top | (expected == 0)))
    np.testing.assert_array_equal(draw(tmp_path, rule, RING, glass), expected)
    np.testing.assert_array_equal(draw(tmp_path, rule, glass, RING), expected)


def test_draw_mask__run_lengths_lose_to_any_polygon_by_length(tmp_path):
    triangle = make_annotation(6, 1, PAPER, [0, 0, 14, 0, 0, 10])
    mask = draw(tmp_path, "longest-polygon-first", RING, triangle)
    assert mask[0, 0] == 3


@pytest.mark.parametrize("name", ["Background", "Backgroud"])
def test_draw_mask__a_background_category_is_index_0(tmp_path, name):
    categories = [{"id": 40, "name": name}, *list_categories()]
    bottle = make_annotation(1, 1, PLASTIC, box(1, 1, 6, 5))
    hole = make_annotation(2, 1, 40, box(2, 2, 3, 2))
    mask = draw(tmp_path, "largest-first", bottle, hole, categories=categories)
    np.testing.assert_array_equal(mask, paint((1, 1, 6, 5, 7), (2, 2, 3, 2, 0)))
    mask = draw(tmp_path, "highest-class", bottle, hole, categories=categories)
    np.testing.assert_array_equal(mask, paint((1, 1, 6, 5, 7)))


def test_draw_mask__later_cohorts_ids_give_the_same_mask(tmp_path):
    later = list_categories([c["name"] for c in list_categories()][1:], first_id=1)
    annotation = make_annotation(1, 1, PAPER, box(1, 1, 6, 5))
    mask = draw(tmp_path, "largest-first", annotation, categories=later)
    np.testing.assert_array_equal(mask, paint((1, 1, 6, 5, 3)))


def test_draw_mask__only_the_photos_own_annotations(tmp_path):
    images = [make_image(1, "a.jpg", HEIGHT, WIDTH), make_image(2, "b.jpg", HEIGHT, WIDTH)]
    annotations = [
        make_annotation(1, 2, PAPER, box(0, 0, 3, 3)),
        make_annotation(2, 1, GLASS, box(5, 5, 3, 3)),
    ]
    dataset = read_coco(write_coco(tmp_path, make_document(images=images, annotations=annotations)))
    first, second = (draw_mask(dataset, photo, "largest-first") for photo in dataset.photos)
    np.testing.assert_array_equal(first, paint((5, 5, 3, 3, 6)))
    np.testing.assert_array_equal(second, paint((0, 0, 3, 3, 3)))


def test_draw_mask__an_annotation_that_cannot_be_drawn_is_named(tmp_path):
    dataset = read(tmp_path, RING)
    photo = type(dataset.photos[0])(1, "a.jpg", HEIGHT + 1, WIDTH)
    with pytest.raises(AnnotationError, match="annotation 5: run lengths are"):
        draw_mask(dataset, photo, "largest-first")


# --- many objects -------------------------------------------------------------------------------


def make_set(size_hw: tuple[int, int], *objects: tuple[Segmentation, int]) -> LabelledSet:
    """Return a set of one photo with objects given as (outline, class index)."""
    rows = tuple(Annotation(i, 1, index, shape) for i, (shape, index) in enumerate(objects))
    return LabelledSet(
        source=Path("train.json"),
        image_root=Path(),
        photos=(Photo(1, "a.jpg", *size_hw),),
        annotations={1: rows},
        category_names={},
        table=COMPETITION_TABLE,
        is_labelled=True,
        index_of_category={index: index for index in range(12)},
    )


def paint_one_by_one(dataset: LabelledSet, rule: OverlapRule):
    """Return the mask as the code bases made it: whole frames, painted one over the other."""
    (photo,) = dataset.photos
    layers = []
    for row in dataset.annotations[1]:
        shape, region = row.segmentation, draw_region(row.segmentation, photo.size_hw)
        parts = shape.parts if isinstance(shape, Polygons) else ()
        key = {
            "largest-first": -int(region.sum()),
            "highest-class": row.category_id,
            "longest-polygon-first": len(parts[0]) if parts else 0,
        }[rule]
        layers.append((key, region, row.category_id))
    mask = np.zeros(photo.size_hw, np.uint8)
    for _, region, index in sorted(layers, key=lambda layer: layer[0]):
        mask[region] = index
    return mask


def make_random_object(rng: np.random.Generator, size_hw: tuple[int, int]):
    height, width = size_hw
    num_pixels = height * width
    if rng.random() < 0.3:
        cuts = np.sort(rng.integers(0, num_pixels + 1, rng.integers(0, 8)))
        shape: Segmentation = RunLengths(size_hw, np.diff(cuts, prepend=0, append=num_pixels))
    else:
        sizes = rng.integers(0, 7, rng.integers(0, 3))
        shape = Polygons(tuple(rng.uniform(-3, width + 3, 2 * n).round(1) for n in sizes))
    return shape, int(rng.integers(0, 4))


@pytest.mark.parametrize("max_crossings", [2_000_000, 150])
@pytest.mark.parametrize("rule", OVERLAP_RULES)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 12),
    size_hw=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_draw_mask__any_objects_are_as_painted_one_by_one(
    rule, max_crossings, seed, count, size_hw
):
    rng = np.random.default_rng(seed)
    dataset = make_set(size_hw, *(make_random_object(rng, size_hw) for _ in range(count)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rasterize, "_MAX_CROSSINGS", max_crossings)
        mask = draw_mask(dataset, dataset.photos[0], rule)
    assert mask.dtype == np.uint8
    assert mask.flags.c_contiguous
    assert mask.flags.writeable
    np.testing.assert_array_equal(mask, paint_one_by_one(dataset, rule))


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12))
def test_measure_contest__is_what_masks_and_claims_say(seed, count):
    rng = np.random.default_rng(seed)
    size_hw = 17, 13
    dataset = make_set(size_hw, *(make_random_object(rng, size_hw) for _ in range(count)))
    rows, (photo,) = dataset.annotations[1], dataset.photos
    spans = rasterize.trace_spans([row.segmentation for row in rows], size_hw)
    contest = measure_contest(spans, [row.category_id for row in rows])
    claims = np.zeros((12, *size_hw), np.bool_)
    for row in rows:
        claims[row.category_id] |= draw_region(row.segmentation, size_hw)
    masks = [draw_mask(dataset, photo, rule) for rule in ("largest-first", "highest-class")]
    assert contest.contested_px == np.count_nonzero(claims.sum(0) > 1)
    assert contest.differing_px == np.count_nonzero(masks[0] != masks[1])


def make_ellipse(rng: np.random.Generator, size_hw: tuple[int, int]) -> Polygons:
    angle = np.linspace(0, 2 * np.pi, 300)
    x, y = rng.uniform(0, size_hw[1]), rng.uniform(0, size_hw[0])
    points = (x + rng.uniform(50, 900) * np.cos(angle), y + rng.uniform(50, 900) * np.sin(angle))
    return Polygons((np.stack(points, axis=1).reshape(-1),))


def make_comb(size_hw: tuple[int, int]) -> Polygons:
    """Return an outline of nearly the greatest length: to and fro over the whole width."""
    x = np.tile([0.0, size_hw[1]], 240)
    y = np.linspace(0, size_hw[0], 480)
    return Polygons((np.stack((x, y), axis=1).reshape(-1),))


def test_draw_mask__takes_far_less_memory_than_a_frame_for_each_object():
    # As full frames the 90 objects alone would take 90 x 12 MB.
    size_hw = (3000, 4000)
    rng = np.random.default_rng(6)
    shapes = [make_ellipse(rng, size_hw) for _ in range(86)] + [make_comb(size_hw)] * 4
    dataset = make_set(size_hw, *((shape, i % 11 + 1) for i, shape in enumerate(shapes)))
    tracemalloc.start()
    mask = draw_mask(dataset, dataset.photos[0], "largest-first")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mask.any()
    assert peak_bytes < 300_000_000

"""What is in a data set: counts with answers known by hand, colours equal to numpy's."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bunri.core.errors import ImageError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.coco import read_coco
from bunri.stats.gallery import choose_photos
from bunri.stats.statistics import (
    QUANTILES,
    AreaStatistics,
    ColorStatistics,
    LabelStatistics,
    LabelTally,
    SetStatistics,
    collect_statistics,
    name_sets,
    summarize_colors,
)
from bunri.stats.statistics_json import describe_statistics
from bunri.stats.tallies import GRID, count_values, measure_occupancy, measure_spread
from tests.coco_data import box, make_annotation, make_document, make_image, write_coco

PAPER, METAL, PLASTIC_BAG, BATTERY = 3, 5, 9, 10
CATEGORY = {PAPER: 2, METAL: 4, PLASTIC_BAG: 8, BATTERY: 9}
COLORS = {"a.png": (10, 20, 30), "b.png": (250, 0, 30), "c.png": (0, 255, 30)}


def make_by_hand():
    """Return three photos.

    a (30 x 40): a bag of 200 pixels, Paper of 60 inside of it.
    b (20 x 20): Paper of 4 pixels, Metal that draws nothing.
    c (16 x 32): no object.
    """
    return make_document(
        images=[
            make_image(7, "a.png", 30, 40),
            make_image(3, "b.png", 20, 20),
            make_image(5, "c.png", 16, 32),
        ],
        annotations=[
            make_annotation(1, 7, CATEGORY[PLASTIC_BAG], box(0, 0, 20, 10)),
            make_annotation(2, 7, CATEGORY[PAPER], box(5, 2, 10, 6)),
            make_annotation(3, 3, CATEGORY[PAPER], box(9, 9, 2, 2)),
            make_annotation(4, 3, CATEGORY[METAL], [1, 1, 5, 5]),
        ],
    )


def write_by_hand(folder, document=None, name="train.json"):
    document = document or make_by_hand()
    for row in document["images"]:
        picture = Image.new("RGB", (row["width"], row["height"]), COLORS[row["file_name"]])
        picture.save(folder / row["file_name"])
    return write_coco(folder, document, name)


def collect(
    path, rule="largest-first", *, opens_photos=True, name="train", advance=None
) -> SetStatistics:
    return collect_statistics(
        read_coco(path), name, rule, opens_photos=opens_photos, advance=advance or (lambda: None)
    )


@pytest.fixture
def by_hand(tmp_path) -> SetStatistics:
    return collect(write_by_hand(tmp_path))


def labels_of(figures: SetStatistics) -> LabelStatistics:
    assert figures.labels is not None
    return figures.labels


def color_of(figures: SetStatistics) -> ColorStatistics:
    assert figures.color is not None
    return figures.color


def area_of(figures: SetStatistics, index: int) -> AreaStatistics:
    area = labels_of(figures).classes[index].area
    assert area is not None
    return area


# -- counts by hand ------------------------------------------------------------------------


def test_collect__photos_objects_and_pixels(by_hand):
    classes = labels_of(by_hand).classes
    assert len(classes) == 12
    rows = {i: (c.photos, c.objects, c.empty_objects, c.pixels) for i, c in enumerate(classes)}
    assert {i: row for i, row in rows.items() if any(row)} == {
        0: (3, 0, 0, 1200 - 200 + 400 - 4 + 512),
        PAPER: (2, 2, 0, 64),
        METAL: (0, 1, 1, 0),
        PLASTIC_BAG: (1, 1, 0, 140),
    }
    assert classes[PAPER].pixel_share == 64 / 2112
    assert labels_of(by_hand).object_share == pytest.approx(204 / 2112)
    assert labels_of(by_hand).num_objects == 4


def test_collect__the_overlap_rule_moves_pixels_but_no_objects(tmp_path):
    labels = labels_of(collect(write_by_hand(tmp_path), "highest-class"))
    paper, bag = labels.classes[PAPER], labels.classes[PLASTIC_BAG]
    assert (paper.photos, paper.objects, paper.pixels) == (1, 2, 4)
    assert (bag.photos, bag.objects, bag.pixels) == (1, 1, 200)
    assert paper.area is not None
    assert paper.area.quantiles_px[0] == 4
    assert paper.area.quantiles_px[-1] == 60


def test_collect__areas_are_of_drawn_pixels_before_others_cover_them(by_hand):
    area = area_of(by_hand, PAPER)
    assert (area.num_objects, area.mean_px) == (2, 32)
    assert area.quantiles_px == pytest.approx([4 + 56 * q for q in QUANTILES])
    assert area.doublings == (0, 0, 1, 0, 0, 1)  # 4..7 and 32..63
    assert area_of(by_hand, PLASTIC_BAG).quantiles_px == (200,) * 7
    assert labels_of(by_hand).classes[METAL].area is None
    every = labels_of(by_hand).all_areas
    assert every is not None
    assert (every.num_objects, every.mean_px) == (3, 88)


def test_collect__numbers_per_photo(by_hand):
    labels = labels_of(by_hand)
    assert labels.classes_per_photo == ((0, 1), (1, 1), (2, 1))
    assert labels.objects_per_photo == ((0, 1), (2, 2))
    assert labels.num_photos_without_objects == 1
    assert labels.mean_classes == 1
    assert labels.mean_objects == pytest.approx(4 / 3)
    assert labels.contents == ({0: 1000, PAPER: 60, PLASTIC_BAG: 140}, {0: 396, PAPER: 4}, {0: 512})


def test_collect__classes_seen_together(by_hand):
    together = labels_of(by_hand).together
    assert together[PAPER, PLASTIC_BAG] == together[PLASTIC_BAG, PAPER] == 1
    assert together[PAPER, PAPER] == 2
    assert together[0].tolist() == [3, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0]


def test_collect__places_are_means_over_the_photos_with_the_class(by_hand):
    occupancy = labels_of(by_hand).classes[PAPER].occupancy
    assert occupancy is not None
    # In b, 20 x 20, the rows 9 and 10 are cell 7 (of 8 and 9) and cell 8 (of 10 alone).
    assert occupancy[8, 8] == pytest.approx(1 / 2)
    assert occupancy[7, 7] == pytest.approx(1 / 4 / 2)
    assert labels_of(by_hand).classes[METAL].occupancy is None


def test_collect__photo_sizes_the_most_frequent_first(tmp_path):
    document = make_by_hand()
    document["images"].append(make_image(9, "d.png", 20, 20))
    figures = collect(write_coco(tmp_path, document), opens_photos=False)
    assert figures.sizes == (((20, 20), 2), ((32, 16), 1), ((40, 30), 1))
    assert figures.num_photos == 4


def test_collect__calls_after_each_photo(tmp_path):
    calls: list[int] = []
    collect(write_by_hand(tmp_path), advance=lambda: calls.append(1))
    assert len(calls) == 3


def test_collect__without_labels(tmp_path):
    document = make_by_hand()
    del document["annotations"]
    figures = collect(write_by_hand(tmp_path, document))
    assert figures.labels is None
    assert figures.sizes == (((20, 20), 1), ((32, 16), 1), ((40, 30), 1))
    assert color_of(figures).num_pixels == 2112


def test_collect__labels_alone_need_no_photo(tmp_path):
    figures = collect(write_coco(tmp_path, make_by_hand()), opens_photos=False)
    assert figures.color is None
    assert labels_of(figures).classes[PAPER].pixels == 64


def test_collect__no_object_at_all(tmp_path):
    labels = labels_of(collect(write_by_hand(tmp_path, make_by_hand() | {"annotations": []})))
    assert labels.all_areas is None
    assert labels.object_share == 0
    assert labels.objects_per_photo == ((0, 3),)


def test_collect__every_photo_that_cannot_be_used_is_listed(tmp_path):
    path = write_by_hand(tmp_path)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    Image.new("RGB", (9, 8)).save(tmp_path / "c.png")
    with pytest.raises(ImageError) as caught:
        collect(path)
    text = str(caught.value)
    assert f"2 photo(s) of {path} cannot be used" in text
    assert "a.png is damaged or truncated" in text
    assert "'c.png' is 9x8, train.json says 32x16" in text
    assert "--no-photos" in text


# -- colours -------------------------------------------------------------------------------


def test_collect__color_by_hand(by_hand):
    color = color_of(by_hand)
    assert color.num_pixels == 2112
    red = (1200 * 10 + 400 * 250 + 512 * 0) / (255 * 2112)
    assert color.mean_rgb == pytest.approx(
        [red, (1200 * 20 + 512 * 255) / (255 * 2112), 30 / 255], rel=1e-15
    )
    assert color.std_rgb[2] == 0  # exactly, since it is counted in integers
    assert list(color.mean_photo_std_rgb) == [0, 0, 0]  # each photo is of one colour
    assert color.histogram[0, [10, 250, 0]].tolist() == [1200, 400, 512]


photos = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda size: arrays(np.uint8, (*size, 3))
    ),
    min_size=1,
    max_size=5,
)


@given(photos)
def test_summarize_colors__equals_numpy_over_all_pixels(images):
    colors = summarize_colors([count_values(image).reshape(3, 256) for image in images])
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64) / 255
    np.testing.assert_allclose(colors.mean_rgb, pixels.mean(0), atol=1e-14)
    np.testing.assert_allclose(colors.std_rgb, pixels.std(0), atol=1e-7)
    inside = np.mean([(image / 255).std((0, 1)) for image in images], 0)
    np.testing.assert_allclose(colors.mean_photo_std_rgb, inside, atol=1e-7)
    # A law of its own: the spread of all is at least the root mean square inside the photos,
    # weighted by pixels.
    weights = [image.shape[0] * image.shape[1] for image in images]
    within = np.average([(image / 255).var((0, 1)) for image in images], 0, weights)
    assert (np.array(colors.std_rgb) ** 2 >= within - 1e-12).all()


def test_measure_spread__more_pixels_than_int32_can_count():
    histogram = np.zeros((3, 256), np.int64)
    histogram[:, 0] = histogram[:, 255] = 10**15
    means, stds = measure_spread(histogram)
    assert means == stds == [0.5] * 3


# -- places --------------------------------------------------------------------------------


def test_measure_occupancy__by_hand():
    region = np.zeros((32, 16), np.bool_)
    region[0:1, 0:3] = True  # half of the cells (0, 0), (0, 1), (0, 2), which are 2 x 1
    region[30:32, 15] = True
    expected = np.zeros((GRID, GRID))
    expected[0, :3], expected[15, 15] = 0.5, 1
    np.testing.assert_array_equal(measure_occupancy(region), expected)


def test_measure_occupancy__photo_smaller_than_the_grid():
    region = np.zeros((2, 4), np.bool_)
    region[1, 3] = True
    expected = np.zeros((GRID, GRID))
    expected[8:, 12:] = 1
    np.testing.assert_array_equal(measure_occupancy(region), expected)


regions = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda size: arrays(np.bool_, size)
)


@given(regions)
def test_measure_occupancy__a_region_and_the_rest_fill_every_cell(region):
    filled = measure_occupancy(region)
    assert ((filled >= 0) & (filled <= 1)).all()
    np.testing.assert_allclose(filled + measure_occupancy(~region), 1)


@given(
    st.tuples(st.integers(16, 60), st.integers(16, 60)).flatmap(lambda size: arrays(np.bool_, size))
)
def test_measure_occupancy__weighted_by_cells_it_is_the_number_of_pixels(region):
    heights, widths = (np.diff(np.arange(GRID + 1) * side // GRID) for side in region.shape)
    pixels = measure_occupancy(region) * np.outer(heights, widths)
    assert pixels.sum() == pytest.approx(region.sum())


# -- laws ----------------------------------------------------------------------------------

masks = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
        lambda size: arrays(np.uint8, size, elements=st.integers(0, 4))
    ),
    min_size=1,
    max_size=6,
)


@given(masks)
def test_label_tally__laws(drawn):
    tally = LabelTally(5)
    for mask in drawn:
        tally.add(mask, [])
    labels = tally.conclude()
    photos = np.array([figures.photos for figures in labels.classes])
    assert sum(figures.pixels for figures in labels.classes) == sum(mask.size for mask in drawn)
    np.testing.assert_array_equal(labels.together, labels.together.T)
    np.testing.assert_array_equal(np.diag(labels.together), photos)
    assert (labels.together <= np.minimum.outer(photos, photos)).all()
    assert sum(number for _, number in labels.classes_per_photo) == len(drawn)
    assert sum(value * number for value, number in labels.classes_per_photo) == photos[1:].sum()
    assert [sum(content.values()) for content in labels.contents] == [mask.size for mask in drawn]
    filled = [0 if c.occupancy is None else c.occupancy * c.photos for c in labels.classes]
    np.testing.assert_allclose(sum(filled), len(drawn))


# -- names and JSON ------------------------------------------------------------------------


def test_name_sets__files_of_one_name_are_numbered(tmp_path):
    names = ["a/train.json", "b/train.json", "b/train (2).json", "c/train.json", "val.json"]
    sets = [read_coco(write_coco((tmp_path / n).parent, name=(tmp_path / n).name)) for n in names]
    assert name_sets(sets) == ["train", "train (2)", "train (2) (2)", "train (3)", "val"]


def test_describe__says_the_same_as_the_figures(by_hand, tmp_path):
    document = make_by_hand()
    del document["annotations"]
    bare = collect(write_coco(tmp_path, document, "t.json"), opens_photos=False, name="t")
    figures = json.loads(json.dumps(describe_statistics([by_hand, bare], "largest-first")))
    assert figures["overlap_rule"] == "largest-first"
    assert [c["name"] for c in figures["classes"]] == list(COMPETITION_TABLE.names)
    first, second = figures["sets"]
    assert (second["name"], second["labels"], second["color"]) == ("t", None, None)
    assert first["num_photos"] == 3
    assert first["photo_sizes"][0] == {"width_px": 20, "height_px": 20, "photos": 1}
    assert first["color"]["mean_rgb"] == list(color_of(by_hand).mean_rgb)
    labels = first["labels"]
    assert labels["objects_per_photo"] == [{"objects": 0, "photos": 1}, {"objects": 2, "photos": 2}]
    assert labels["photos_with_both_classes"][PAPER][PLASTIC_BAG] == 1
    paper = labels["classes"][PAPER]
    assert (paper["index"], paper["name"], paper["photos"], paper["pixels"]) == (3, "Paper", 2, 64)
    assert paper["object_area_px"]["q50"] == 32
    assert paper["object_area_px"]["q00"] == 4
    assert sum(c["pixel_share"] for c in labels["classes"]) == pytest.approx(1)
    assert np.array(paper["occupancy"]).shape == (GRID, GRID)


# -- gallery -------------------------------------------------------------------------------


def write_shares(folder, name, shares):
    """Write 20 x 10 photos, each given as {class index: columns of it}."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for photo_id, classes in enumerate(shares):
        images.append(make_image(photo_id, f"{name}{photo_id}.png", 10, 20))
        left = 0
        for index, columns in classes.items():
            shape = box(left, 0, columns, 10)
            annotations.append(make_annotation(len(annotations), photo_id, CATEGORY[index], shape))
            left += columns
    document = make_document(images=images, annotations=annotations)
    return collect(write_coco(folder, document, f"{name}.json"), opens_photos=False, name=name)


def list_choices(sets, count):
    return [(figures.name, position) for figures, position in choose_photos(sets, count)]


def test_choose_photos__rare_classes_first_each_in_a_typical_photo(tmp_path):
    train = write_shares(
        tmp_path,
        "train",
        [{PAPER: 1}, {PAPER: 5}, {PAPER: 18}, {}, {BATTERY: 2, PAPER: 4}, {METAL: 3}, {METAL: 4}],
    )
    # Battery: only 4. Metal, of two: 5 first. Paper by share: 0, 4, 1, 2; in the middle 4 and 1.
    assert list_choices([train], 3) == [("train", 4), ("train", 5), ("train", 1)]
    assert list_choices([train], 1) == [("train", 4)]
    every = list_choices([train], 99)
    assert sorted(position for _, position in every) == [0, 1, 2, 4, 5, 6]
    assert every == list_choices([train], 99)


def test_choose_photos__classes_of_all_sets(tmp_path):
    train = write_shares(tmp_path, "train", [{PAPER: 1}] * 5)
    val = write_shares(tmp_path, "val", [{PAPER: 1}, {BATTERY: 1}])
    assert list_choices([train, val], 2) == [("val", 1), ("train", 2)]


def test_choose_photos__sets_without_labels_at_even_distances(tmp_path):
    train = write_shares(tmp_path, "train", [{PAPER: 1}] * 9)
    document = make_document(images=[make_image(i, f"t{i}.png") for i in range(9)])
    del document["annotations"]
    test = collect(write_coco(tmp_path, document, "test.json"), opens_photos=False, name="test")
    mixed = list_choices([train, test], 8)
    assert [name for name, _ in mixed] == ["train"] * 6 + ["test"] * 2
    assert mixed[-2:] == [("test", 0), ("test", 4)]
    assert list_choices([test], 3) == [("test", 0), ("test", 3), ("test", 6)]
    assert list_choices([test], 0) == []
    assert len(list_choices([test], 99)) == 9


@given(
    st.lists(
        st.dictionaries(st.sampled_from(list(CATEGORY)), st.integers(1, 5), max_size=4),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 10),
)
def test_choose_photos__laws(shared, shares, count):
    figures = write_shares(shared, "x", shares)
    chosen = [position for _, position in choose_photos([figures], count)]
    assert len(chosen) == len(set(chosen)) == min(count, sum(bool(s) for s in shares))
    classes = {index for share in shares for index in share}
    if count >= len(classes):
        assert {index for position in chosen for index in shares[position]} == classes


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BUNRI_CACHE", str(folder / "cache"))
        yield folder


# -- real photos ---------------------------------------------------------------------------


@pytest.mark.photos
def test_collect__real_photos(photos):
    path = photos / "recycle_trash" / "val.json"
    figures = collect(path)
    labels, color = labels_of(figures), color_of(figures)
    assert figures.sizes == (((512, 512), 42),)
    assert labels.num_objects == 244
    counts = {COMPETITION_TABLE.names[i]: c.photos for i, c in enumerate(labels.classes)}
    assert (counts["UNKNOWN"], counts["Battery"], counts["Clothing"]) == (0, 1, 1)
    dataset = read_coco(path)
    images = [np.asarray(Image.open(dataset.path_of(p)).convert("RGB")) for p in dataset.photos]
    values = np.stack(images).reshape(-1, 3) / 255
    np.testing.assert_allclose(color.mean_rgb, values.mean(0), atol=1e-12)
    np.testing.assert_allclose(color.std_rgb, values.std(0), atol=1e-12)
    # What teams of the competition state for its full set: mean (0.461, 0.440, 0.419) and as
    # "std" (0.211, 0.208, 0.216), which is the mean of the deviations inside each photo.
    np.testing.assert_allclose(color.mean_rgb, (0.461, 0.440, 0.419), atol=0.02)
    np.testing.assert_allclose(color.mean_photo_std_rgb, (0.211, 0.208, 0.216), atol=0.015)
    assert min(color.std_rgb) > 0.23

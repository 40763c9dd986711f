"""Out and in again: in every format, under every overlap rule, the same pixels."""

import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.formats.base import ReadOptions
from bunri.formats.convert import measure_loss, write_labels
from bunri.formats.registry import FORMATS
from bunri.labels.coco import read_coco
from bunri.labels.outlines import encode_region
from bunri.labels.records import Polygons, Segmentation
from bunri.labels.rules import OVERLAP_RULES, OverlapRule
from tests.coco_data import write_coco, write_photos
from tests.formats.sets import (
    EMPTY,
    FIRST,
    SECOND,
    draw_by_name,
    make_rich_document,
    make_set,
    write_rich_set,
)

ALL = pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)


def name_result(folder: Path, format_) -> Path:
    return folder / f"out{format_.suffix}"


@ALL
@pytest.mark.parametrize("rule", OVERLAP_RULES)
def test_round_trip__no_pixel_differs(tmp_path, format_, rule):
    dataset = write_rich_set(tmp_path / "data")
    path = name_result(tmp_path, format_)
    written = write_labels(dataset, path, format_, rule)
    assert written.num_photos == 3
    assert written.num_objects_read == 6
    loss = measure_loss(dataset, path, format_, rule)
    assert (loss.num_differing, loss.worst) == (0, ())
    assert loss.num_pixels == 30 * 40 + 24 * 20 + 8 * 9


@ALL
def test_round_trip__needs_no_options_if_photos_are_copied(tmp_path, format_):
    document = make_rich_document()
    dataset = write_rich_set(tmp_path / "data")
    write_photos(tmp_path / "data", document)
    path = name_result(tmp_path / "result", format_)
    write_labels(dataset, path, format_, "largest-first", copy_photos=True)
    result = format_.read(path, ReadOptions())
    assert {photo.file_name: photo.size_hw for photo in result.photos} == {
        FIRST: (30, 40),
        SECOND: (24, 20),
        EMPTY: (8, 9),
    }
    assert result.find_missing_photos() == []
    assert result.table.names == dataset.table.names
    assert result.category_names == dataset.category_names
    expected, found = draw_by_name(dataset), draw_by_name(result)
    assert expected.keys() == found.keys()
    for name, picture in expected.items():
        np.testing.assert_array_equal(found[name], picture)


@ALL
def test_round_trip__own_classes(tmp_path, format_):
    dataset = write_rich_set(tmp_path / "data")
    document = make_rich_document()
    document["categories"] = [
        {"id": id_, "name": f"<b>{name} & 'co' \U0001f5d1</b>"}
        for id_, name in reversed(list(dataset.category_names.items()))
    ]
    dataset = read_coco(write_coco(tmp_path / "own", document))
    path = name_result(tmp_path, format_)
    write_labels(dataset, path, format_, "largest-first")
    loss = measure_loss(dataset, path, format_, "largest-first")
    assert loss.num_differing == 0


@ALL
def test_round_trip__objects_of_the_background(tmp_path, format_):
    """A background painted over an object takes pixels away from it."""
    region = np.zeros((9, 9), np.bool_)
    region[1:8, 1:8] = True
    hole = np.zeros((9, 9), np.bool_)
    hole[3:5, 3:6] = True
    dataset = make_set(tmp_path, (9, 9), [(5, encode_region(region)), (50, encode_region(hole))])
    dataset = replace(
        dataset,
        category_names={**dataset.category_names, 50: "Background"},
        index_of_category={**dataset.index_of_category, 50: 0},
    )
    path = name_result(tmp_path, format_)
    write_labels(dataset, path, format_, "largest-first")
    loss = measure_loss(dataset, path, format_, "largest-first")
    assert loss.num_differing == 0
    assert loss.num_pixels == 81


@st.composite
def random_objects(draw):
    """Return a size and overlapping objects: noise as run lengths, and wild polygons."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    objects = []
    for _ in range(draw(st.integers(0, 4))):
        if rng.random() < 0.5:
            shape: Segmentation = encode_region(
                rng.random((height, width)) < rng.choice([0, 0.3, 0.7, 1])
            )
        else:
            low, high = rng.choice([0, -4]), rng.choice([min(height, width), 16])
            parts = [
                np.round(rng.uniform(low, high, 2 * rng.integers(1, 7)), rng.integers(0, 6))
                for _ in range(rng.integers(1, 4))
            ]
            shape = Polygons(tuple(parts))
        objects.append((int(rng.integers(0, 11)), shape))
    return (height, width), objects


@ALL
@settings(max_examples=25)
@given(random_objects(), st.sampled_from(OVERLAP_RULES))
def test_round_trip__random_objects(format_, size_and_objects, rule):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = make_set(folder, *size_and_objects)
        path = name_result(folder, format_)
        write_labels(dataset, path, format_, rule)
        assert measure_loss(dataset, path, format_, rule).num_differing == 0


@pytest.mark.parametrize(("first", "second"), list(pairwise([*FORMATS, "yolo"])))
def test_chain__from_each_format_to_the_next(tmp_path, first, second):
    dataset = write_rich_set(tmp_path / "data")
    options = ReadOptions(photos=dataset.photos, image_root=tmp_path / "data")
    paths = [tmp_path / f"{n}{FORMATS[name].suffix}" for n, name in enumerate((first, second))]
    write_labels(dataset, paths[0], FORMATS[first], "largest-first")
    between = FORMATS[first].read(paths[0], options)
    write_labels(between, paths[1], FORMATS[second], "largest-first")
    result = FORMATS[second].read(paths[1], options)
    for (name, picture), (other, drawn) in zip(
        draw_by_name(dataset).items(), draw_by_name(result).items(), strict=True
    ):
        assert name == other
        np.testing.assert_array_equal(picture, drawn)


@pytest.mark.photos
@pytest.mark.slow
@ALL
def test_round_trip__real_photos(photos, tmp_path, format_):
    rule: OverlapRule = "largest-first"
    whole = read_coco(photos / "recycle_trash" / "train_all.json")
    dataset = replace(whole, photos=whole.photos[::3])
    path = name_result(tmp_path, format_)
    written = write_labels(dataset, path, format_, rule)
    assert written.num_photos == 55
    loss = measure_loss(dataset, path, format_, rule)
    assert loss.num_pixels == 55 * 512 * 512
    assert loss.num_differing == 0

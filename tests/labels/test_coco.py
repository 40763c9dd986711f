"""COCO JSON: by id, never by position; each fault named, all at once."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import AnnotationError, PathError
from bunri.core.waste_classes import COMPETITION_TABLE, choose_class_table
from bunri.labels import document
from bunri.labels.coco import read_coco, require_labels, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet, Polygons, RunLengths
from tests.coco_data import (
    NAMES_2021,
    NAMES_LATER,
    box,
    list_categories,
    make_annotation,
    make_document,
    make_image,
    write_coco,
    write_photos,
)


def read(folder, **changes) -> LabelledSet:
    return read_coco(write_coco(folder, make_document(**changes)))


def find_faults(folder, document=None, **changes) -> tuple[str, ...]:
    path = write_coco(folder, make_document(**changes) if document is None else document)
    with pytest.raises(AnnotationError) as caught:
        read_coco(path)
    assert str(path) in caught.value.message
    assert f"{len(caught.value.problems)} fault(s)" in caught.value.message
    return caught.value.problems


def change(row: dict[str, Any], *without: str, **values: Any) -> dict[str, Any]:
    return {key: value for key, value in (row | values).items() if key not in without}


IMAGE = make_image(7, "a.jpg")
ANNOTATION = make_annotation(3, 7, 2, box(5, 8, 10, 6))


# --- what is read -------------------------------------------------------------------------------


def test_read_coco__photo_annotation_and_table(tmp_path):
    dataset = read(tmp_path)
    (photo,) = dataset.photos
    assert (photo.id, photo.file_name, photo.size_hw) == (7, "batch_01/0001.jpg", (30, 40))
    assert (photo.height_px, photo.width_px) == (30, 40)
    (annotation,) = dataset.annotations[7]
    assert (annotation.id, annotation.photo_id, annotation.category_id) == (3, 7, 2)
    assert isinstance(annotation.segmentation, Polygons)
    assert annotation.segmentation.parts[0].tolist() == [5, 8, 15, 8, 15, 14, 5, 14]
    assert dataset.table is COMPETITION_TABLE
    assert dataset.category_names == dict(enumerate(NAMES_2021))
    assert dataset.index_of_category == {id_: id_ + 1 for id_ in range(11)}
    assert dataset.is_labelled
    assert dataset.licenses == ("CC BY 4.0",)
    assert dataset.warnings == ()
    assert dataset.source == tmp_path / "train.json"
    assert dataset.image_root == tmp_path
    assert dataset.path_of(photo) == tmp_path / "batch_01" / "0001.jpg"


def test_read_coco__rows_are_found_by_id_not_by_position(tmp_path):
    dataset = read(
        tmp_path,
        images=[make_image(900, "c.jpg"), make_image(-4, "a.jpg"), make_image(17, "b.jpg")],
        categories=list(reversed(list_categories())),
        annotations=[
            make_annotation(50, 17, 9, box(0, 0, 2, 2)),
            make_annotation(2, 900, 4, box(0, 0, 3, 3)),
            make_annotation(8, 17, 0, box(5, 5, 4, 4)),
        ],
    )
    assert [photo.file_name for photo in dataset.photos] == ["c.jpg", "a.jpg", "b.jpg"]
    assert {k: [a.id for a in v] for k, v in dataset.annotations.items()} == {17: [50, 8], 900: [2]}
    masks = [draw_mask(dataset, photo, "largest-first") for photo in dataset.photos]
    assert [sorted(np.unique(mask).tolist()) for mask in masks] == [[0, 5], [0], [0, 1, 10]]
    assert (masks[2] == 10).sum() == 4


def test_read_coco__area_bbox_and_the_like_are_not_needed(tmp_path):
    bare = change(ANNOTATION, "area", "bbox", "iscrowd")
    assert read(tmp_path, annotations=[bare]).annotations[7][0].id == 3


def test_read_coco__iscrowd_is_an_object_like_any_other(tmp_path):
    runs = {"size": [30, 40], "counts": [100, 50, 1050]}
    dataset = read(tmp_path, annotations=[change(ANNOTATION, iscrowd=1, segmentation=runs)])
    assert draw_mask(dataset, dataset.photos[0], "largest-first").sum() == 50 * 3


def test_read_coco__compressed_run_lengths(tmp_path):
    runs = {"size": [5, 8], "counts": "5241f0"}
    dataset = read(
        tmp_path,
        images=[make_image(7, "a.jpg", 5, 8)],
        annotations=[change(ANNOTATION, segmentation=runs)],
    )
    shape = dataset.annotations[7][0].segmentation
    assert isinstance(shape, RunLengths)
    assert shape.counts.tolist() == [5, 2, 4, 3, 26]


def test_read_coco__category_id_is_mapped_by_name(tmp_path):
    names = ["Clothing", *NAMES_2021[:-1]]
    dataset = read(tmp_path, categories=list_categories(names, first_id=30), annotations=[])
    assert dataset.index_of_category[30] == 11
    assert dataset.index_of_category[31] == 1
    assert dataset.index_of_category[40] == 10


def test_read_coco__later_cohorts_have_no_unknown(tmp_path):
    dataset = read(tmp_path, categories=list_categories(NAMES_LATER, first_id=1))
    assert dataset.table is COMPETITION_TABLE
    assert dataset.index_of_category[1] == COMPETITION_TABLE.index_of("General trash") == 2
    assert dataset.index_of_category[10] == COMPETITION_TABLE.index_of("Clothing") == 11


def test_read_coco__other_names_make_a_table_in_id_order(tmp_path):
    categories = [{"id": 9, "name": "캔"}, {"id": 2, "name": " Cup "}, {"id": 5, "name": "Ash"}]
    dataset = read(tmp_path, categories=categories)
    assert dataset.table.names == ("Background", "Cup", "Ash", "캔")
    assert dataset.index_of_category == {2: 1, 5: 2, 9: 3}


def test_read_coco__names_fit_a_given_table_whatever_their_ids(tmp_path):
    categories = [{"id": 1, "name": "glass"}, {"id": 2, "name": "PAPER"}, {"id": 0, "name": "bg"}]
    path = write_coco(tmp_path, make_document(categories=categories[:2]))
    dataset = read_coco(path, table=COMPETITION_TABLE)
    assert dataset.table is COMPETITION_TABLE
    assert dataset.index_of_category == {1: 6, 2: 3}


def test_read_coco__names_that_the_table_lacks_are_listed(tmp_path):
    categories = [*list_categories(), {"id": 40, "name": "Plastics"}, {"id": 41, "name": "xyz"}]
    path = write_coco(tmp_path, make_document(categories=categories))
    with pytest.raises(AnnotationError) as caught:
        read_coco(path, table=COMPETITION_TABLE)
    text = str(caught.value)
    assert "2 categories are not in the class table" in text
    assert "category 'Plastics': Did you mean 'Plastic'" in text
    assert "category 'xyz': Allowed: Background, UNKNOWN" in text


@pytest.mark.parametrize("table", [None, COMPETITION_TABLE])
def test_read_coco__two_categories_of_one_name_whatever_the_table(tmp_path, table):
    path = write_coco(tmp_path, make_document(categories=list_categories([*NAMES_2021, "paper"])))
    with pytest.raises(AnnotationError, match="2 fault") as e:
        read_coco(path, table=table)
    words = "used more than once, case aside"
    assert e.value.problems == (
        f"category 2: the name 'Paper' is {words}",
        f"category 11: the name 'paper' is {words}",
    )


def test_read_coco__given_image_root(tmp_path):
    (tmp_path / "photos").mkdir()
    path = write_coco(tmp_path / "labels", make_document())
    dataset = read_coco(path, image_root=tmp_path / "photos")
    assert dataset.path_of(dataset.photos[0]) == tmp_path / "photos" / "batch_01" / "0001.jpg"


def test_read_coco__image_root_that_does_not_exist(tmp_path):
    path = write_coco(tmp_path, make_document())
    with pytest.raises(PathError, match=r"image folder .* does not exist") as caught:
        read_coco(path, image_root=tmp_path / "photos")
    assert "--images" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("사진/페트병 1.jpg", "사진/페트병 1.jpg"),
        ("batch_01\\0001.jpg", "batch_01/0001.jpg"),
        ("사진\\캔.jpg", "사진/캔.jpg"),
        ("\u00e9.jpg", "\u00e9.jpg"),
        ("e\u0301.jpg", "e\u0301.jpg"),
    ],
)
def test_read_coco__file_names_are_kept_verbatim(tmp_path, name, place):
    dataset = read(tmp_path, images=[make_image(7, name)])
    assert dataset.photos[0].file_name == name
    assert dataset.path_of(dataset.photos[0]) == tmp_path / place


def test_read_coco__byte_order_mark(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(make_document()), "utf-8-sig")
    assert len(read_coco(path).photos) == 1


def test_read_coco__without_annotations_is_not_labelled(tmp_path):
    path = write_coco(tmp_path, {"images": [IMAGE], "categories": list_categories()})
    dataset = read_coco(path)
    assert not dataset.is_labelled
    assert dataset.annotations == {}
    with pytest.raises(AnnotationError, match="has no 'annotations': it is a set without labels"):
        require_labels(dataset)


def test_read_coco__photos_alone_are_enough(tmp_path):
    dataset = read_coco(write_coco(tmp_path, {"images": [IMAGE]}))
    assert len(dataset.photos) == 1
    assert not dataset.is_labelled


def test_require_labels__empty_list_is_labelled(tmp_path):
    dataset = read(tmp_path, annotations=[])
    assert require_labels(dataset) is dataset


def test_require_labels__no_photos(tmp_path):
    dataset = read(tmp_path, images=[], annotations=[])
    with pytest.raises(AnnotationError, match="its list 'images' is empty"):
        require_labels(dataset)
    with pytest.raises(AnnotationError, match="its list 'images' is empty"):
        require_photos(dataset)


def test_require_photos__all_there(tmp_path):
    dataset = read(tmp_path)
    write_photos(tmp_path, make_document())
    assert require_photos(dataset) is dataset
    assert dataset.find_missing_photos() == []


def test_require_photos__missing_ones_are_listed(tmp_path):
    images = [make_image(i, name) for i, name in enumerate(["a.jpg", "b.jpg", "x" * 300, "dir"])]
    dataset = read(tmp_path, images=images, annotations=[])
    (tmp_path / "b.jpg").write_bytes(b"x")
    (tmp_path / "dir").mkdir()
    with pytest.raises(AnnotationError, match=r"3 of 4 photos .* are missing") as caught:
        require_photos(dataset)
    assert caught.value.problems[0] == "photo 0: 'a.jpg' does not exist"
    assert [p[:7] for p in caught.value.problems] == ["photo 0", "photo 2", "photo 3"]
    assert "--images" in caught.value.hint


def test_find_missing_photos__a_link_that_came_to_lead_out(tmp_path):
    dataset = read(tmp_path / "data", images=[IMAGE])
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "data" / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    (problem,) = dataset.find_missing_photos()
    assert "leads out of" in problem


@pytest.mark.parametrize("value", [None, "CC", {}, [None, 5, {}, {"name": 3}, {"name": ""}]])
def test_read_coco__odd_licenses_are_passed_over(tmp_path, value):
    assert read(tmp_path, licenses=value).licenses == ()


# --- the file itself ----------------------------------------------------------------------------


def test_read_coco__missing_file(tmp_path):
    with pytest.raises(PathError, match="does not exist"):
        read_coco(tmp_path / "train.json")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_read_coco__name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(PathError, match="does not exist"):
        read_coco(tmp_path / name)
    with pytest.raises(PathError, match="does not exist"):
        read_coco(write_coco(tmp_path), image_root=tmp_path / name)


def test_read_coco__folder(tmp_path):
    with pytest.raises(PathError, match="is a folder"):
        read_coco(tmp_path)


def test_read_coco__unreadable(tmp_path, monkeypatch):
    path = write_coco(tmp_path)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(PathError, match="cannot be read: Permission denied"):
        read_coco(path)


def test_read_coco__larger_than_the_limit(tmp_path, monkeypatch):
    path = write_coco(tmp_path)
    monkeypatch.setattr(document, "MAX_JSON_BYTES", path.stat().st_size)
    assert len(read_coco(path).photos) == 1
    monkeypatch.setattr(document, "MAX_JSON_BYTES", path.stat().st_size - 1)
    with pytest.raises(AnnotationError, match="the limit is"):
        read_coco(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON: Expecting value in line 1, column 1"),
        ("{", "is not JSON"),
        ('{"images": [1,]}', "is not JSON"),
        ('{"images":\n [}', "in line 2, column 3"),
        ("images: []", "is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"images": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ('{"images": [' + "9" * 5000 + "]}", "holds a number that cannot be read"),
        ("[]", "must be an object with a list 'images'"),
        ("null", "must be an object with a list 'images'"),
        ("5", "must be an object with a list 'images'"),
        ("{}", "must be an object with a list 'images'"),
        ('{"images": null}', "must be an object with a list 'images'"),
        ('{"images": {}}', "must be an object with a list 'images'"),
        ('{"annotations": []}', "must be an object with a list 'images'"),
    ],
)
def test_read_coco__not_coco(tmp_path, text, words):
    with pytest.raises(AnnotationError, match=re.escape(words)):
        read_coco(write_coco(tmp_path, text))


def test_read_coco__not_utf8(tmp_path):
    path = tmp_path / "train.json"
    path.write_bytes(b'{"images": "\xff"}')
    with pytest.raises(AnnotationError, match=r"is not UTF-8 text \(byte 12\)"):
        read_coco(path)
    path.write_text(json.dumps(make_document()), "utf-16")
    with pytest.raises(AnnotationError, match="is not UTF-8 text"):
        read_coco(path)


# --- one fault at a time ------------------------------------------------------------------------


KEYS = ["images", "categories", "annotations"]


@pytest.mark.parametrize("id_", [None, True, 7.0, "7"])
@pytest.mark.parametrize("key", KEYS)
def test_read_coco__id_that_is_no_integer(tmp_path, key, id_):
    rows = [change(make_document()[key][0], id=id_)]
    extra: dict[str, Any] = {} if key == "annotations" else {"annotations": []}
    problems = find_faults(tmp_path, **{key: rows}, **extra)
    assert problems == (f"{key}[0]: 'id' must be an integer, not {id_!r}",)


@pytest.mark.parametrize("row", [None, 5, []])
@pytest.mark.parametrize("key", KEYS)
def test_read_coco__row_that_is_no_object(tmp_path, key, row):
    rows = [*make_document()[key], row]
    (problem,) = find_faults(tmp_path, **{key: rows})
    assert problem == f"{key}[{len(rows) - 1}]: must be an object, not {row!r}"


@pytest.mark.parametrize("key", KEYS)
def test_read_coco__keys_that_are_missing(tmp_path, key):
    rows = make_document()[key]
    del rows[-1][{"images": "file_name", "categories": "name", "annotations": "image_id"}[key]]
    (problem,) = find_faults(tmp_path, **{key: rows})
    assert problem.startswith(f"{key}[{len(rows) - 1}]")
    assert problem.endswith(" missing")


@pytest.mark.parametrize("key", ["categories", "annotations"])
def test_read_coco__list_that_is_no_list(tmp_path, key):
    extra: dict[str, Any] = {"annotations": []} if key == "categories" else {}
    problems = find_faults(tmp_path, **{key: {"id": 1}}, **extra)
    assert problems == (f"'{key}' must be a list, not {{'id': 1}}",)


def test_read_coco__labels_without_categories(tmp_path):
    document = make_document(annotations=[])
    del document["categories"]
    assert find_faults(tmp_path, document) == ("the list 'categories' is missing",)


@pytest.mark.parametrize("key", KEYS)
def test_read_coco__id_used_twice(tmp_path, key):
    rows = {
        "images": [make_image(7, "a.jpg"), make_image(7, "b.jpg"), make_image(8, "c.jpg")],
        "categories": [*list_categories(), {"id": 2, "name": "Wood"}],
        "annotations": [ANNOTATION, ANNOTATION, change(ANNOTATION, id=9)],
    }[key]
    (problem,) = find_faults(tmp_path, **{key: rows})
    id_, first = {"images": (7, 0), "categories": (2, 2), "annotations": (3, 0)}[key]
    assert problem.endswith(f": id {id_} is already used by {key}[{first}]")


@pytest.mark.parametrize(("noun", "id_"), [("image", 8), ("category", 11), ("category", -1)])
def test_read_coco__annotation_of_nothing(tmp_path, noun, id_):
    (problem,) = find_faults(tmp_path, annotations=[change(ANNOTATION, **{f"{noun}_id": id_})])
    assert problem == f"annotations[0] (id 3): there is no {noun} with id {id_}"


def test_read_coco__annotation_where_there_are_no_images(tmp_path):
    (problem,) = find_faults(tmp_path, images=[])
    assert problem == "annotations[0] (id 3): there is no image with id 7"


@pytest.mark.parametrize("noun", ["image", "category"])
@pytest.mark.parametrize("id_", [None, "7", 7.0, True, [7]])
def test_read_coco__reference_that_is_no_integer(tmp_path, noun, id_):
    (problem,) = find_faults(tmp_path, annotations=[change(ANNOTATION, **{f"{noun}_id": id_})])
    assert problem == f"annotations[0] (id 3): '{noun}_id' must be an integer, not {id_!r}"


def test_read_coco__annotation_of_a_refused_image_is_not_said_to_have_none(tmp_path):
    problems = find_faults(tmp_path, images=[change(IMAGE, height=0)])
    assert len(problems) == 1
    assert problems[0].startswith("images[0] (id 7): 'height'")


def test_read_coco__annotation_of_a_refused_category_is_not_said_to_have_none(tmp_path):
    categories = [change(row, name=None) if row["id"] == 2 else row for row in list_categories()]
    problems = find_faults(tmp_path, categories=categories)
    assert problems == ("categories[2]: 'name' must be text, not None",)


@pytest.mark.parametrize("name", [None, "", 5, ["a.jpg"], True])
def test_read_coco__file_name_that_is_no_text(tmp_path, name):
    (problem,) = find_faults(tmp_path, images=[change(IMAGE, file_name=name)], annotations=[])
    assert problem == f"images[0] (id 7): 'file_name' must be text, not {name!r}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../a.jpg", "contains '..'"),
        ("x/../../a.jpg", "contains '..'"),
        ("..\\a.jpg", "contains '..'"),
        ("/etc/passwd", "is absolute"),
        ("C:\\a.jpg", "is absolute"),
        ("c:a.jpg", "is absolute"),
        ("\\\\server\\share\\a.jpg", "is absolute"),
        ("//server/share/a.jpg", "is absolute"),
        ("a\0.jpg", "is not a file path"),
        (".", "is not a file path"),
        ("\ud800.jpg", "cannot be followed"),
        ("out/a.jpg", "leads out of"),
    ],
)
def test_read_coco__file_name_that_leaves_the_root(tmp_path, name, words):
    (tmp_path / "out").symlink_to(os.sep)
    (problem,) = find_faults(tmp_path, images=[change(IMAGE, file_name=name)], annotations=[])
    assert problem.startswith("images[0] (id 7): ")
    assert words in problem


@pytest.mark.parametrize("value", [0, -1, 30.0, None, "30", True])
@pytest.mark.parametrize("key", ["height", "width"])
def test_read_coco__size_that_is_no_positive_integer(tmp_path, key, value):
    (problem,) = find_faults(tmp_path, images=[change(IMAGE, **{key: value})], annotations=[])
    assert problem.startswith("images[0] (id 7): 'height' and 'width' must be positive integers")
    assert repr(value) in problem


@pytest.mark.parametrize("value", [10**9, 10**4000, 120_000_000 // 30 + 1])
def test_read_coco__size_beyond_the_pixel_limit(tmp_path, value):
    (problem,) = find_faults(tmp_path, images=[change(IMAGE, width=value)], annotations=[])
    assert "has more than 120000000 pixels" in problem


def test_read_coco__size_at_the_pixel_limit(tmp_path):
    images = [change(IMAGE, width=120_000_000 // 30)]
    assert read(tmp_path, images=images, annotations=[]).photos[0].width_px == 4_000_000


def test_read_coco__two_images_of_one_file(tmp_path):
    images = [make_image(7, "a.jpg"), make_image(8, "b.jpg"), make_image(9, "a.jpg")]
    problems = find_faults(tmp_path, images=images)
    assert problems == ("images[2] (id 9): images[0] is the same file, 'a.jpg'",)


@pytest.mark.parametrize("name", [None, "", "  ", 5, ["Paper"], "\ud800"])
def test_read_coco__category_name_that_is_no_text(tmp_path, name):
    (problem,) = find_faults(tmp_path, categories=[{"id": 2, "name": name}], annotations=[])
    assert problem == f"categories[0]: 'name' must be text, not {name!r}"


@pytest.mark.parametrize("value", [None, 5, "abc", True])
def test_read_coco__segmentation_of_another_kind(tmp_path, value):
    (problem,) = find_faults(tmp_path, annotations=[change(ANNOTATION, segmentation=value)])
    assert problem.startswith("annotations[0] (id 3): 'segmentation' must be a list of polygons")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([1, 2, 3, 4, 5, 6], "must be a flat list"),
        ([[1, 2, 3, 4, 5]], "of even length"),
        ([box(1, 1, 2, 2), 5], "must be a flat list"),
        ([{"x": 1}], "must be a flat list"),
        ([[[1, 2], [3, 4], [5, 6]]], "must be a flat list"),
        ([[1, 2, 3, 4, 5, "6"]], "coordinates must be numbers"),
        ([[1, 2, 3, 4, 5, True]], "coordinates must be numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "finite and within 100000 pixels, not nan"),
        ([[1, 2, 3, 4, 5, float("inf")]], "finite and within 100000 pixels, not inf"),
        ([[1, 2, 3, 4, 5, float("-inf")]], "finite and within 100000 pixels, not -inf"),
        ([[1, 2, 3, 4, 5, 1e9]], "finite and within 100000 pixels, not 1000000000.0"),
        ([[1, 2, 3, 4, 5, -100_001]], "finite and within 100000 pixels, not -100001"),
        ([[1, 2, 3, 4, 5, 10**4000]], "finite and within 100000 pixels, not 1000"),
    ],
)
def test_read_coco__bad_polygon(tmp_path, parts, words):
    if "flat list" in words or "even" in words:
        words = "a polygon must be a flat list x0, y0, x1, y1, ... of even length"
    (problem,) = find_faults(tmp_path, annotations=[change(ANNOTATION, segmentation=parts)])
    assert problem.startswith("annotations[0] (id 3): ")
    assert words in problem
    assert len(problem) < 200


def test_read_coco__coordinates_at_the_limit(tmp_path):
    part = [-100_000, 0, 100_000.0, 0, 5, 100_000]
    assert read(tmp_path, annotations=[change(ANNOTATION, segmentation=[part])]).warnings == ()


def test_read_coco__outline_of_unbounded_length(tmp_path):
    zigzag = [100_000.0, 0, -100_000, 1] * 500
    (problem,) = find_faults(tmp_path, annotations=[change(ANNOTATION, segmentation=[zigzag])])
    assert "pixels long" in problem


@pytest.mark.parametrize("parts", [[], [[]], [[1, 2, 3, 4]], [box(1, 1, 2, 2), [3, 4]]])
def test_read_coco__polygon_that_draws_nothing_is_a_warning(tmp_path, parts):
    dataset = read(tmp_path, annotations=[change(ANNOTATION, segmentation=parts)])
    (warning,) = dataset.warnings
    assert warning.startswith("annotations[0] (id 3): a polygon with fewer than 3 points")


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ({}, "run lengths have the size None"),
        ({"size": [40, 30], "counts": [1200]}, "run lengths have the size [40, 30]"),
        ({"size": [30], "counts": [1200]}, "run lengths have the size [30]"),
        ({"size": "30x40", "counts": [1200]}, "run lengths have the size '30x40'"),
        ({"size": [30, 40]}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": None}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": {"a": 1}}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": [1200.0]}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": [True, 1199]}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": ["1200"]}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": [-1, 1201]}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": [2**62] * 4}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": [10**4000]}, "'counts' must be text or a list"),
        ({"size": [30, 40], "counts": [1199]}, "run lengths cover 1199 pixels"),
        ({"size": [30, 40], "counts": []}, "run lengths cover 0 pixels"),
        ({"size": [30, 40], "counts": ""}, "the run-length text is empty"),
        ({"size": [30, 40], "counts": "oooo"}, "the run-length text is damaged"),
        ({"size": [30, 40], "counts": "가"}, "the run-length text is damaged"),
        ({"size": [30, 40], "counts": "@"}, "run lengths must not be negative"),
        ({"size": [30, 40], "counts": "5241f0"}, "run lengths cover 40 pixels"),
    ],
)
def test_read_coco__bad_run_lengths(tmp_path, runs, words):
    (problem,) = find_faults(tmp_path, annotations=[change(ANNOTATION, segmentation=runs)])
    assert problem.startswith("annotations[0] (id 3): ")
    assert words in problem


def test_read_coco__no_class_beside_the_background(tmp_path):
    (problem,) = find_faults(tmp_path, categories=[{"id": 0, "name": "Background"}], annotations=[])
    assert "A class table needs 2 to 255 classes" in problem


def test_read_coco__all_faults_at_once(tmp_path):
    problems = find_faults(
        tmp_path,
        images=[IMAGE, make_image(8, "../b.jpg"), make_image(9, "c.jpg", height=0), 5],
        categories=[*list_categories(), {"id": 50, "name": ""}],
        annotations=[
            ANNOTATION,
            change(ANNOTATION, id=4, image_id=77, category_id=99),
            change(ANNOTATION, id=5, segmentation=[[1, 2, 3]]),
            change(ANNOTATION, id=6, segmentation={"size": [1, 1], "counts": [1]}),
            {"id": None},
        ],
    )
    starts = [problem.partition(": ")[0] for problem in problems]
    assert starts == [
        "images[3]",
        "images[1] (id 8)",
        "images[2] (id 9)",
        "categories[11]",
        "annotations[4]",
        "annotations[1] (id 4)",
        "annotations[1] (id 4)",
        "annotations[2] (id 5)",
        "annotations[3] (id 6)",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coco")


@given(
    key=st.sampled_from(["images", "categories", "annotations", "licenses", "info"]),
    field=st.sampled_from(
        ["id", "file_name", "height", "width", "name", "image_id", "category_id", "segmentation"]
    ),
    value=JSON,
    whole=st.booleans(),
)
def test_read_coco__any_value_in_any_place_is_read_or_refused(
    shared_folder, key, field, value, whole
):
    document = make_document()
    if whole:
        document[key] = value
    elif isinstance(document[key], list):
        document[key][0][field] = value
    path = write_coco(shared_folder, document)
    try:
        dataset = read_coco(path)
    except AnnotationError as error:
        assert str(error)  # noqa: PT017 (either outcome is right)
    else:
        for photo in dataset.photos:
            if photo.height_px * photo.width_px < 10**6:
                assert draw_mask(dataset, photo, "largest-first").shape == photo.size_hw


def test_read_coco__table_of_a_model_with_fewer_classes(tmp_path):
    table = choose_class_table(["Paper", "Glass"])
    categories = [{"id": 5, "name": "glass"}, {"id": 2, "name": "paper"}]
    path = write_coco(tmp_path, make_document(categories=categories))
    assert read_coco(path, table=table).index_of_category == {2: 1, 5: 2}

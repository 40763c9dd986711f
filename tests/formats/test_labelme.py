"""LabelMe: its own JSON, all its kinds of shapes, and JSONs that are broken."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import AnnotationError, InputError, PathError
from bunri.formats.base import ReadOptions
from bunri.formats.convert import write_labels
from bunri.formats.registry import FORMATS
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.records import Polygons, RunLengths
from tests.coco_data import make_document, write_coco
from tests.formats.sets import RULE, write_rich_set

LABELME = FORMATS["labelme"]
POINTS = [[1, 1], [6, 1], [6, 4], [1, 4]]


def make_shape(**changes):
    shape = {"label": "Paper", "points": POINTS, "group_id": None, "shape_type": "polygon"}
    return shape | {"flags": {}} | changes


def make_json(*shapes, **changes):
    document = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg"}
    return document | {"imageData": None, "imageHeight": 10, "imageWidth": 20} | changes


def write(folder, document, name="a.json"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / name).write_text(text, "utf-8")
    return folder


def read(folder, *shapes, **changes):
    return LABELME.read(write(folder, make_json(*shapes, **changes)), ReadOptions())


def find_faults(folder, document):
    with pytest.raises(AnnotationError) as caught:
        LABELME.read(write(folder, document), ReadOptions())
    return caught.value.problems


def test_write__one_json_per_photo(tmp_path):
    dataset = read_coco(write_coco(tmp_path / "data"))
    write_labels(dataset, tmp_path / "out", LABELME, RULE)
    document = json.loads((tmp_path / "out" / "batch_01" / "0001.json").read_text("utf-8"))
    assert document["imagePath"] == "0001.jpg"
    assert (document["imageHeight"], document["imageWidth"]) == (30, 40)
    (shape,) = document["shapes"]
    assert shape["label"] == "Paper"
    assert shape["points"] == [[5, 8], [15, 8], [15, 14], [5, 14]]
    assert (shape["shape_type"], shape["group_id"]) == ("polygon", None)
    lines = (tmp_path / "out" / "labels.txt").read_text("utf-8").splitlines()
    assert lines[:3] == ["__ignore__", "_background_", "UNKNOWN"]


def test_write__parts_share_a_group_and_small_objects_come_last(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    write_labels(dataset, tmp_path / "out", LABELME, RULE)
    document = json.loads((tmp_path / "out" / "batch_01" / "0001.json").read_text("utf-8"))
    labels = [(shape["label"], shape["group_id"]) for shape in document["shapes"]]
    assert labels == [
        *[("Plastic", 1)] * 3,
        ("General trash", None),
        ("Paper", None),
        *[("Metal", 4)] * 2,
    ]


def test_write__class_names_that_labels_txt_cannot_hold(tmp_path):
    document = make_document(categories=[{"id": 2, "name": "a\nb"}, {"id": 3, "name": "c\x1b[2J"}])
    dataset = read_coco(write_coco(tmp_path / "data", document))
    with pytest.raises(InputError, match="control characters") as caught:
        write_labels(dataset, tmp_path / "out", LABELME, RULE)
    assert caught.value.problems == (r"'a\nb'", r"'c\x1b[2J'")
    assert not (tmp_path / "out").exists()


def test_read__polygon(tmp_path):
    dataset = read(tmp_path, make_shape(), make_shape(shape_type=None))
    assert [photo.file_name for photo in dataset.photos] == ["a.jpg"]
    assert dataset.photos[0].size_hw == (10, 20)
    first, second = dataset.annotations[0]
    assert isinstance(first.segmentation, Polygons)
    assert first.segmentation.parts[0].tolist() == [1, 1, 6, 1, 6, 4, 1, 4]
    assert second.segmentation.parts[0].tolist() == first.segmentation.parts[0].tolist()
    assert (draw_mask(dataset, dataset.photos[0], RULE) == 3).sum() == 15


def test_read__groups(tmp_path):
    other = [[8, 0], [9, 0], [9, 1], [8, 1]]
    dataset = read(
        tmp_path,
        make_shape(group_id=4),
        make_shape(group_id=5),
        make_shape(group_id=4, points=other),
        make_shape(group_id=4, label="Glass"),
    )
    assert [len(row.segmentation.parts) for row in dataset.annotations[0]] == [2, 1, 1]


def test_read__rectangle_circle_and_oriented_rectangle(tmp_path):
    dataset = read(
        tmp_path,
        make_shape(shape_type="rectangle", points=[[9, 8], [2, 5]]),
        make_shape(shape_type="circle", points=[[15, 5], [15, 9]], label="Glass"),
        make_shape(shape_type="oriented_rectangle", points=POINTS, label="Metal"),
    )
    mask = draw_mask(dataset, dataset.photos[0], RULE)
    assert (mask == 3).sum() == 21
    assert abs((mask == 6).sum() - np.pi * 16) < 3
    assert (mask == 5).sum() == 15


def encode_png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_read__mask(tmp_path):
    patch = np.array([[1, 0, 1], [0, 1, 1]], np.bool_)
    box = [[17, 8], [19, 9]]
    dataset = read(tmp_path, make_shape(shape_type="mask", points=box, mask=encode_png(patch)))
    (row,) = dataset.annotations[0]
    assert isinstance(row.segmentation, RunLengths)
    mask = draw_mask(dataset, dataset.photos[0], RULE)
    np.testing.assert_array_equal(mask[8:10, 17:20] == 3, patch)
    assert (mask == 3).sum() == patch.sum()


@pytest.mark.parametrize("corner", [[-1, -1], [18, 9]])
def test_read__mask_that_hangs_over_the_edge(tmp_path, corner):
    patch = np.ones((2, 3), np.bool_)
    dataset = read(tmp_path, make_shape(shape_type="mask", points=[corner], mask=encode_png(patch)))
    assert (draw_mask(dataset, dataset.photos[0], RULE) == 3).sum() == 2


def test_read__what_has_no_area_is_counted(tmp_path):
    dataset = read(
        tmp_path,
        make_shape(shape_type="line", points=[[1, 1], [2, 2]]),
        make_shape(shape_type="point", points=[[1, 1]]),
        make_shape(shape_type="point", points=[[2, 1]]),
        make_shape(label="__ignore__"),
    )
    assert dataset.annotations == {}
    assert dataset.warnings == (
        "1 x shape (line) left out",
        "2 x shape (point) left out",
        "1 x shape (to be ignored) left out",
    )


def test_read__background(tmp_path):
    dataset = read(tmp_path, make_shape(label="_background_"), make_shape(label="Glass"))
    indices = [dataset.index_of_category[row.category_id] for row in dataset.annotations[0]]
    assert indices == [0, 6]


def test_read__photo_lies_beside_whatever_the_json_says(tmp_path):
    write(tmp_path, make_json(imagePath="..\\imgs\\0001.jpg"), "x/0001.json")
    write(tmp_path, make_json(imagePath="/home/me/b.png"), "b.json")
    dataset = LABELME.read(tmp_path, ReadOptions())
    assert [photo.file_name for photo in dataset.photos] == ["b.png", "x/0001.jpg"]


def test_read__size_of_the_photo_where_none_is_stated(tmp_path):
    document = make_json(imageHeight=None, imageWidth=None)
    (problem,) = find_faults(tmp_path, document)
    assert "it states no size, and there is no photo 'a.jpg'" in problem
    Image.new("RGB", (5, 3)).save(tmp_path / "a.jpg")
    assert LABELME.read(tmp_path, ReadOptions()).photos[0].size_hw == (3, 5)


def test_read__single_file(tmp_path):
    write(tmp_path, make_json(make_shape()))
    write(tmp_path, "{", "b.json")
    dataset = LABELME.read(tmp_path / "a.json", ReadOptions())
    assert len(dataset.photos) == 1


def test_read__classes_in_labels_txt(tmp_path):
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nPapier\nCan\n")
    dataset = read(tmp_path, make_shape(label="can"))
    assert dataset.table.names == ("Background", "Papier", "Can")
    (problem,) = find_faults(tmp_path, make_json(make_shape(label="Paper")))
    assert problem == (
        "a.json, shape 0: there is no class 'Paper'. Did you mean 'Papier'? "
        "Allowed: Background, Papier, Can."
    )


def test_read__names_of_ones_own_make_a_table(tmp_path):
    dataset = read(tmp_path, make_shape(label="Lid"), make_shape(label="Cup"))
    assert dataset.table.names == ("Background", "Cup", "Lid")
    assert dataset.category_names == {0: "Cup", 1: "Lid"}


def test_read__some_of_the_competitions_names_mean_its_table(tmp_path):
    dataset = read(tmp_path, make_shape(label="Glass"))
    assert len(dataset.table) == 12
    assert dataset.category_names[5] == "Glass"


BAD_SHAPES = {
    "no object": (7, "a shape must be an object"),
    "no points": (make_shape(points=None), "'points' must be a list of [x, y]"),
    "mask without png": (make_shape(shape_type="mask"), "'mask' must be a PNG in base64"),
    "mask no base64": (make_shape(shape_type="mask", mask="%%"), "'mask' is not base64"),
    "mask no png": (make_shape(shape_type="mask", mask="AAAA"), "'mask' is not a photo"),
    "mask elsewhere": (
        make_shape(shape_type="mask", points=[[20, 3]], mask=encode_png(np.ones((2, 2), bool))),
        "'mask' lies outside of the photo, at (20, 3)",
    ),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_read__bad_shape(tmp_path, case):
    shape, fault = BAD_SHAPES[case]
    (problem,) = find_faults(tmp_path, make_json(make_shape(), shape))
    assert problem.startswith("a.json, shape 1: ")
    assert fault in problem


BAD_FILES = {
    "no JSON": ("{", "is not JSON"),
    "a list": ([], "not a JSON of LabelMe"),
    "no shapes": (make_json(shapes=None), "not a JSON of LabelMe"),
    "no path": (make_json(imagePath=None), "'imagePath' must be text"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_read__bad_file(tmp_path, case):
    document, fault = BAD_FILES[case]
    (problem,) = find_faults(tmp_path, document)
    assert problem.startswith("a.json: ")
    assert fault in problem


def test_read__nothing(tmp_path):
    with pytest.raises(PathError, match="has no JSON of LabelMe"):
        LABELME.read(tmp_path, ReadOptions())

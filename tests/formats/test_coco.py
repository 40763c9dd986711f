"""COCO out: ids kept, areas and boxes of drawn pixels, numbers as short as they are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bunri.core.errors import AnnotationError, PathError
from bunri.formats.base import ReadOptions
from bunri.formats.convert import measure_loss, write_labels
from bunri.formats.registry import FORMATS
from bunri.labels.coco import read_coco
from bunri.labels.outlines import encode_region
from bunri.labels.overlap import draw_mask
from tests.coco_data import make_document, make_image, write_coco
from tests.formats.sets import RULE, make_rich_document, write_rich_set


def convert(dataset, path, name="coco"):
    write_labels(dataset, path, FORMATS[name], RULE)
    return json.loads(path.read_text("utf-8"))


def test_write__rectangle(tmp_path):
    dataset = read_coco(write_coco(tmp_path))
    document = convert(dataset, tmp_path / "out.json")
    assert document["images"] == [
        {"id": 7, "file_name": "batch_01/0001.jpg", "height": 30, "width": 40, "license": 0}
    ]
    assert document["annotations"] == [
        {
            "id": 3,
            "image_id": 7,
            "category_id": 2,
            "segmentation": [[5, 8, 15, 8, 15, 14, 5, 14]],
            "area": 60,
            "bbox": [5, 8, 10, 6],
            "iscrowd": 0,
        }
    ]
    assert document["licenses"] == [{"id": 0, "name": "CC BY 4.0"}]
    assert [row["id"] for row in document["categories"]] == list(range(11))
    assert type(document["annotations"][0]["segmentation"][0][0]) is int


def test_write__run_lengths_become_polygons_without_holes(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    rows = {a["id"]: a for a in convert(dataset, tmp_path / "out.json")["annotations"]}
    assert sorted(rows) == [3, 4, 5, 6, 8, 9]
    ring = rows[9]
    assert len(ring["segmentation"]) == 3  # the single pixel, and the ring in two
    assert ring["segmentation"][0] == [39, 2, 40, 2, 40, 3, 39, 3]
    assert (ring["area"], ring["bbox"]) == (113, [20, 2, 20, 26])


def test_write__polygons_stay_as_they_are(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    rows = {a["id"]: a for a in convert(dataset, tmp_path / "out.json")["annotations"]}
    for row in make_rich_document()["annotations"]:
        if isinstance(row["segmentation"], list):
            assert rows[row["id"]]["segmentation"] == row["segmentation"]


def test_write__run_lengths_are_compressed(tmp_path):
    dataset = read_coco(write_coco(tmp_path))
    (row,) = convert(dataset, tmp_path / "out.json", "coco-rle")["annotations"]
    assert row["segmentation"]["size"] == [30, 40]
    # 158, 6, then (24, 6) nine times as differences to the last but one, and 766 - 24 = 742.
    assert row["segmentation"]["counts"] == "n46h000000000000000000Vg0"


def test_write__one_row_per_line(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    convert(dataset, tmp_path / "out.json")
    lines = (tmp_path / "out.json").read_text("utf-8").splitlines()
    assert sum(line.startswith('{"id"') for line in lines) == 1 + 3 + 11 + 6


def test_read__folder_with_one_json_and_photos_beside(tmp_path):
    write_coco(tmp_path / "annotations")
    (tmp_path / "images").mkdir()
    dataset = FORMATS["coco"].read(tmp_path, ReadOptions())
    assert dataset.image_root == tmp_path / "images"


def test_read__folder_with_two_jsons(tmp_path):
    write_coco(tmp_path, name="a.json")
    write_coco(tmp_path, name="b.json")
    with pytest.raises(PathError, match=r"has 2 files that end with .json") as caught:
        FORMATS["coco"].read(tmp_path, ReadOptions())
    assert caught.value.problems == ("a.json", "b.json")


def test_read__classes_of_another_file(tmp_path):
    other = read_coco(
        write_coco(
            tmp_path / "other",
            make_document(categories=[{"id": 1, "name": "Papier"}], annotations=[]),
        )
    )
    with pytest.raises(AnnotationError) as caught:
        FORMATS["coco"].read(write_coco(tmp_path), ReadOptions(like=other))
    assert "category 'Paper': Did you mean 'Papier'?" in "\n".join(caught.value.problems)


def test_write__unlabelled_set_is_refused(tmp_path):
    document = make_document()
    del document["annotations"]
    dataset = read_coco(write_coco(tmp_path, document))
    with pytest.raises(AnnotationError, match="a set without labels"):
        write_labels(dataset, tmp_path / "out.json", FORMATS["coco"], RULE)
    assert not (tmp_path / "out.json").exists()


def test_write__file_name_that_is_not_utf8(tmp_path):
    document = make_document(images=[make_image(7, "a\udcff.jpg")])
    dataset = read_coco(write_coco(tmp_path, document))
    assert convert(dataset, tmp_path / "out.json")["images"][0]["file_name"] == "a\udcff.jpg"


def test_write_coco_set__keeps_ignored_pixels_and_the_mark_of_pseudo_labels(tmp_path):
    noise = np.random.default_rng(5).random((24, 20)) < 0.3
    photo_id = 3
    dataset = replace(
        write_rich_set(tmp_path), is_pseudo=True, ignored={photo_id: encode_region(noise)}
    )
    convert(dataset, tmp_path / "out.json")
    written = read_coco(tmp_path / "out.json")
    assert written.is_pseudo
    assert list(written.ignored) == [photo_id]
    for photo in dataset.photos:
        np.testing.assert_array_equal(
            draw_mask(written, photo, RULE), draw_mask(dataset, photo, RULE)
        )
    loss = measure_loss(dataset, tmp_path / "out.json", FORMATS["coco"], RULE)
    assert loss.num_differing == 0

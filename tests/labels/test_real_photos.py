"""On the real photos: every annotation bit for bit, and what the overlap rule changes."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.coco import read_coco, require_labels, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.rasterize import draw_region, trace_spans
from bunri.labels.records import RunLengths

pytestmark = pytest.mark.photos


@pytest.fixture(scope="module")
def path(photos):
    return photos / "recycle_trash" / "train_all.json"


@pytest.fixture(scope="module")
def dataset(path):
    return require_photos(require_labels(read_coco(path)))


def test_read_coco__photos_annotations_and_classes(dataset):
    assert len(dataset.photos) == 165
    assert sum(map(len, dataset.annotations.values())) == 1027
    assert dataset.table is COMPETITION_TABLE
    assert dataset.warnings == ()


@pytest.fixture(scope="module")
def coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_draw_region__every_annotation_equals_pycocotools(coco, dataset):
    sizes = {photo.id: photo.size_hw for photo in dataset.photos}
    num_runs = 0
    for photo_id, annotations in dataset.annotations.items():
        for annotation in annotations:
            expected = coco.annToMask(coco.anns[annotation.id])
            region = draw_region(annotation.segmentation, sizes[photo_id])
            np.testing.assert_array_equal(region, expected.astype(np.bool_))
            num_runs += isinstance(annotation.segmentation, RunLengths)
    assert 0 < num_runs < 1027


def test_trace_spans__every_area_and_box_equals_pycocotools(coco, dataset):
    for photo in dataset.photos:
        annotations = dataset.annotations.get(photo.id, ())
        spans = trace_spans([row.segmentation for row in annotations], photo.size_hw)
        encoded = [coco.annToRLE(coco.anns[row.id]) for row in annotations]
        assert spans.count_pixels().tolist() == [coco_mask.area(one) for one in encoded]
        assert spans.find_boxes().tolist() == [coco_mask.toBbox(one).tolist() for one in encoded]


def test_draw_mask__highest_class_equals_the_notebooks_loop(coco, dataset):
    for photo in dataset.photos:
        expected = np.zeros(photo.size_hw)
        for row in coco.imgToAnns[photo.id]:
            expected = np.maximum(coco.annToMask(row) * (row["category_id"] + 1), expected)
        np.testing.assert_array_equal(draw_mask(dataset, photo, "highest-class"), expected)


def test_draw_mask__largest_first_and_highest_class_disagree_on_eight_photos(dataset):
    differing = [
        photo.file_name
        for photo in dataset.photos
        if (
            draw_mask(dataset, photo, "largest-first") != draw_mask(dataset, photo, "highest-class")
        ).any()
    ]
    assert len(differing) == 8

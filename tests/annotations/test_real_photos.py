"""On the real photos: every annotation bit for bit, and what the overlap rule changes."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO

from bunri.annotations.coco import read_coco, require_labels, require_photos
from bunri.annotations.overlap import draw_mask
from bunri.annotations.rasterize import draw_region
from bunri.annotations.records import RunLengths
from bunri.classes import COMPETITION_TABLE

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


def test_draw_region__every_annotation_equals_pycocotools(path, dataset):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    sizes = {photo.id: photo.size_hw for photo in dataset.photos}
    num_runs = 0
    for photo_id, annotations in dataset.annotations.items():
        for annotation in annotations:
            expected = coco.annToMask(coco.anns[annotation.id])
            region = draw_region(annotation.segmentation, sizes[photo_id])
            np.testing.assert_array_equal(region, expected.astype(np.bool_))
            num_runs += isinstance(annotation.segmentation, RunLengths)
    assert 0 < num_runs < 1027


def test_draw_mask__largest_first_and_highest_class_disagree_on_eight_photos(dataset):
    differing = [
        photo.file_name
        for photo in dataset.photos
        if (
            draw_mask(dataset, photo, "largest-first") != draw_mask(dataset, photo, "highest-class")
        ).any()
    ]
    assert len(differing) == 8

"""A small labelled set that has everything a format may stumble over."""

from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.coco import read_coco
from bunri.labels.outlines import encode_region
from bunri.labels.overlap import draw_mask
from bunri.labels.records import Annotation, LabelledSet, Photo, Segmentation
from bunri.labels.rules import OverlapRule
from tests.coco_data import box, make_annotation, make_document, make_image, write_coco

RULE: OverlapRule = "largest-first"
FIRST, SECOND, EMPTY = "batch_01/0001.jpg", "폴더/사진 2.png", "empty.jpg"


def make_runs(region: np.ndarray) -> dict[str, Any]:
    runs = encode_region(region)
    return {"size": list(runs.size_hw), "counts": runs.counts.tolist()}


def draw_ring() -> np.ndarray:
    """Return 12x10 pixels with a hole of 4x2, and one pixel elsewhere."""
    region = np.zeros((30, 40), np.bool_)
    region[18:28, 20:32] = True
    region[21:23, 24:28] = False
    region[2, 39] = True
    return region


def make_rich_document() -> dict[str, Any]:
    """Return polygons of one and of two parts, a hole, objects that overlap, and no object."""
    noise = np.random.default_rng(4).random((24, 20)) < 0.6
    return make_document(
        images=[make_image(7, FIRST), make_image(3, SECOND, 24, 20), make_image(12, EMPTY, 8, 9)],
        annotations=[
            make_annotation(3, 7, 2, box(5, 8, 10, 6)),  # Paper
            make_annotation(4, 7, 4, box(0, 8, 5, 6), box(30, 0, 4.5, 3.5)),  # Metal, touching
            make_annotation(9, 7, 6, segmentation=make_runs(draw_ring())),  # Plastic
            make_annotation(5, 7, 1, [12.3, 10.7, 25.1, 12.5, 20.9, 25.0]),  # on both
            make_annotation(6, 3, 8, segmentation=make_runs(noise)),  # Plastic bag
            make_annotation(8, 3, 10, box(3, 3, 6, 6)),  # Clothing
        ],
    )


def write_rich_set(folder: Path) -> LabelledSet:
    return read_coco(write_coco(folder, make_rich_document()))


def make_set(
    root: Path, size_hw: tuple[int, int], objects: list[tuple[int, Segmentation]]
) -> LabelledSet:
    """Return one photo with objects given by category id, in the competition's classes."""
    photo = Photo(0, "a.jpg", *size_hw)
    rows = tuple(Annotation(n, 0, id_, shape) for n, (id_, shape) in enumerate(objects, start=1))
    return LabelledSet(
        source=root / "a.json",
        image_root=root,
        photos=(photo,),
        annotations={0: rows} if rows else {},
        category_names=dict(enumerate(COMPETITION_TABLE.names[1:])),
        table=COMPETITION_TABLE,
        is_labelled=True,
        index_of_category={index - 1: index for index in range(1, 12)},
    )


def draw_by_name(dataset: LabelledSet, rule: OverlapRule = RULE) -> dict[str, np.ndarray]:
    """Return photo -> array of class names."""
    names = np.array(dataset.table.names)
    return {
        photo.file_name: names[draw_mask(dataset, photo, rule)]
        for photo in sorted(dataset.photos, key=lambda p: p.file_name)
    }

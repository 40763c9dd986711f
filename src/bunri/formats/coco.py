"""COCO JSON with polygons or with compressed run lengths.

Specification: https://cocodataset.org/#format-data. Files are read by :mod:`bunri.labels.coco`.
"""

from pathlib import Path, PurePath
from typing import Any

from bunri.core.files import is_folder
from bunri.core.progress import Progress
from bunri.formats.base import Format, ReadOptions, start_of_text
from bunri.formats.naming import find_single_file
from bunri.formats.shapes import to_polygons, to_run_lengths
from bunri.formats.tables import TABLE_NAME
from bunri.labels.coco import read_coco
from bunri.labels.coco_rows import IGNORED_KEY
from bunri.labels.document import write_document
from bunri.labels.pseudo import MARK
from bunri.labels.rasterize import find_box, trace_runs
from bunri.labels.records import Annotation, LabelledSet, Photo, RunLengths
from bunri.labels.rules import OverlapRule
from bunri.labels.run_lengths import count_pixels, encode_counts


def read_coco_set(path: Path, options: ReadOptions) -> LabelledSet:
    """Read a COCO JSON, or the only one in a folder; photos are beside it, or in ``images``."""
    file = find_single_file(path, ".json")
    usual = [file.parent / "images", file.parent.parent / "images"] if is_folder(path) else []
    root = options.image_root or next((folder for folder in usual if is_folder(folder)), None)
    return read_coco(file, image_root=root, table=options.chosen_table)


def write_coco_set(
    dataset: LabelledSet, path: Path, _rule: OverlapRule, _progress: Progress
) -> None:
    """Write a COCO JSON, one object per line."""
    write_document(path, describe_coco_set(dataset))


def describe_coco_set(dataset: LabelledSet) -> dict[str, Any]:
    """Return a labelled set as a COCO document.

    ``area`` and ``bbox`` are computed from the drawn pixels. Ids, names of licences, ignored
    pixels and the mark of pseudo-labels are kept; other keys of a COCO file and the files of soft
    labels are not.
    """
    licenses = [{"id": id_, "name": name} for id_, name in enumerate(dataset.licenses)]
    license_of_all = {"license": 0} if len(licenses) == 1 else {}
    images = [
        {
            "id": photo.id,
            "file_name": photo.file_name,
            "height": photo.height_px,
            "width": photo.width_px,
            **license_of_all,
            **_describe_ignored(dataset, photo),
        }
        for photo in dataset.photos
    ]
    categories = [
        {"id": id_, "name": name, "supercategory": name}
        for id_, name in dataset.category_names.items()
    ]
    mark = {MARK: True} if dataset.is_pseudo else {}
    annotations = [
        {**_describe_object(annotation, photo), **mark}
        for photo in dataset.photos
        for annotation in dataset.annotations.get(photo.id, ())
    ]
    return {
        "licenses": licenses,
        "images": images,
        "categories": categories,
        "annotations": annotations,
    }


def _describe_ignored(dataset: LabelledSet, photo: Photo) -> dict[str, Any]:
    runs = dataset.ignored.get(photo.id)
    return {} if runs is None else {IGNORED_KEY: _describe_runs(runs)}


def _describe_runs(runs: RunLengths) -> dict[str, Any]:
    return {"size": list(runs.size_hw), "counts": encode_counts(runs.counts)}


def _describe_object(annotation: Annotation, photo: Photo) -> dict[str, Any]:
    shape = annotation.segmentation
    runs = trace_runs(shape, photo.size_hw)
    segmentation: Any
    if isinstance(shape, RunLengths):
        segmentation = _describe_runs(shape)
    else:
        segmentation = [shorten_numbers(part.tolist()) for part in shape.parts]
    return {
        "id": annotation.id,
        "image_id": photo.id,
        "category_id": annotation.category_id,
        "segmentation": segmentation,
        "area": count_pixels(runs),
        "bbox": list(find_box(runs)),
        "iscrowd": 0,
    }


def shorten_numbers(values: list[float]) -> list[float]:
    """Return the same values with whole numbers as integers, which are shorter in JSON."""
    return [int(value) if value.is_integer() else value for value in values]


def pair_points(flat: list[float]) -> list[list[float]]:
    """Return x0, y0, x1, y1, ... as [[x0, y0], ...], whole numbers as integers."""
    values = shorten_numbers(flat)
    return [[x, y] for x, y in zip(values[::2], values[1::2], strict=True)]


def _recognize(path: PurePath, head: bytes) -> str:
    is_object = start_of_text(head).startswith("{") and path.name != TABLE_NAME
    return "a JSON object" if is_object else ""


COCO = Format(
    "coco", "COCO, polygons", ".json", read_coco_set, write_coco_set, to_polygons,
    file_suffixes=(".json",), recognize=_recognize, is_layered=False,
)  # fmt: skip
COCO_RLE = Format(
    "coco-rle", "COCO, run lengths", ".json", read_coco_set, write_coco_set, to_run_lengths,
    is_layered=False,
)  # fmt: skip

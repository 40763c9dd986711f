"""Labelled photos from whatever a caller has: the path of a COCO file, or a set read before."""

from dataclasses import replace
from pathlib import Path

from bunri.core.classes import ClassTable
from bunri.labels.coco import map_categories, read_coco
from bunri.labels.records import LabelledSet

Data = str | Path | LabelledSet
"""Path of a COCO file, or a set that was read from one."""


def open_labels(data: Data, images: Path | None, table: ClassTable) -> LabelledSet:
    """Return labelled photos with the class table of a model.

    Raises:
        PathError, AnnotationError: The data cannot be used, or has categories beyond ``table``.
    """
    if not isinstance(data, LabelledSet):
        return read_coco(Path(data), image_root=images, table=table)
    index_of = map_categories(data.category_names, table)
    return replace(data, table=table, index_of_category=index_of)

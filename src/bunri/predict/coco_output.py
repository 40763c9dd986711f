"""Predictions as a COCO file, to view or to correct in an annotation tool.

Each class of a photo is one object, since networks separate classes, not objects. The file is
marked as pseudo-labels (:mod:`bunri.labels.pseudo`), so that no model is scored on it by mistake.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, MaskArray
from bunri.core.version import __version__
from bunri.formats.coco import describe_coco_set
from bunri.labels.document import write_document
from bunri.labels.outlines import encode_region, trace_parts
from bunri.labels.pseudo import INFO_KEY, describe_teacher
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons
from bunri.model.lookup import StoredModel
from bunri.predict.outputs import PredictedPhoto

Shape = Literal["polygons", "rle"]


class CocoCollector:
    """Collects photos and their objects; category ids are class indices.

    Args:
        shape: Form of the objects; both hold exactly the pixels of the mask.
    """

    def __init__(self, table: ClassTable, shape: Shape) -> None:
        self._table = table
        self._shape: Shape = shape
        self._photos: list[Photo] = []
        self._objects: dict[int, tuple[Annotation, ...]] = {}
        self._next_id = 1

    def add(self, prediction: PredictedPhoto) -> None:
        """Add a photo."""
        id_, mask = len(self._photos) + 1, prediction.mask
        self._photos.append(Photo(id_, prediction.task.file_name, *mask.shape))
        rows = list_objects(mask, id_, self._next_id, first_category=1, shape=self._shape)
        self._next_id += len(rows)
        if rows:
            self._objects[id_] = rows

    def write(self, path: Path, models: Sequence[StoredModel]) -> None:
        """Write the file, with the models that predicted."""
        described = LabelledSet(
            source=path,
            image_root=path.parent,
            photos=tuple(self._photos),
            annotations=self._objects,
            category_names=dict(enumerate(self._table.names[1:], 1)),
            table=self._table,
            is_labelled=True,
            is_pseudo=True,
        )
        teachers = [
            describe_teacher(one.name, one.info.weights_sha256, one.info.photo_hashes or ())
            for one in models
        ]
        origin = {"bunri": __version__, "kind": "predictions", "teachers": teachers}
        write_document(path, {"info": {INFO_KEY: origin}, **describe_coco_set(described)})


def list_objects(
    mask: MaskArray, photo_id: int, first_id: int, *, first_category: int, shape: Shape = "rle"
) -> tuple[Annotation, ...]:
    """Return an object for each class but the background; ``first_category`` is that of class 1."""
    present = [i for i in np.unique(mask).tolist() if i not in (BACKGROUND_INDEX, IGNORE_INDEX)]
    rows = []
    for place, index in enumerate(present):
        region = mask == index
        drawn = Polygons(trace_parts(region)) if shape == "polygons" else encode_region(region)
        rows.append(Annotation(first_id + place, photo_id, first_category + index - 1, drawn))
    return tuple(rows)

"""Predictions as a COCO file, to view or to correct in an annotation tool.

Each class of a photo is one object, since networks separate classes, not objects. The file is
marked as pseudo-labels (:mod:`bunri.labels.pseudo`), so that no model is scored on it by mistake.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, MaskArray
from bunri.core.version import __version__
from bunri.formats.coco import describe_coco_set
from bunri.labels.document import write_document
from bunri.labels.outlines import encode_region, trace_parts
from bunri.labels.pseudo import INFO_KEY, describe_teacher
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons
from bunri.model.lookup import StoredModel
from bunri.predict.outputs import PredictedPhoto

Shape = Literal["polygons", "rle"]
SHAPES: tuple[Shape, ...] = get_args(Shape)


class CocoCollector:
    """Collects photos and their objects.

    Args:
        table: Classes; category ids are their indices.
        shape: Form of the objects; both hold exactly the pixels of the mask.
    """

    def __init__(self, table: ClassTable, shape: Shape) -> None:
        self._table = table
        self._shape = shape
        self._photos: list[Photo] = []
        self._objects: dict[int, tuple[Annotation, ...]] = {}
        self._next_id = 1

    def add(self, prediction: PredictedPhoto) -> None:
        """Add a photo."""
        id_, mask = len(self._photos) + 1, prediction.mask
        self._photos.append(Photo(id_, prediction.task.file_name, *mask.shape))
        present = [index for index in np.unique(mask).tolist() if index != BACKGROUND_INDEX]
        rows = [self._describe(mask, index, id_) for index in present]
        if rows:
            self._objects[id_] = tuple(rows)

    def _describe(self, mask: MaskArray, index: int, photo_id: int) -> Annotation:
        region = mask == index
        parts = self._shape == "polygons"
        segmentation = Polygons(trace_parts(region)) if parts else encode_region(region)
        self._next_id += 1
        return Annotation(self._next_id - 1, photo_id, index, segmentation)

    def write(self, path: Path, models: Sequence[StoredModel]) -> None:
        """Write the file.

        Args:
            path: File to write.
            models: Models that predicted.

        Raises:
            OutputError: It cannot be written.
        """
        names = self._table.names
        described = LabelledSet(
            source=path,
            image_root=path.parent,
            photos=tuple(self._photos),
            annotations=self._objects,
            category_names={index: names[index] for index in range(1, len(names))},
            table=self._table,
            is_labelled=True,
            is_pseudo=True,
        )
        origin: dict[str, Any] = {
            "bunri": __version__,
            "kind": "predictions",
            "teachers": [
                describe_teacher(one.name, one.info.weights_sha256, one.info.photo_hashes or ())
                for one in models
            ],
        }
        write_document(path, {"info": {INFO_KEY: origin}, **describe_coco_set(described)})

"""What a worker of a bulk prediction does: photos in, rows of a table out.

Owns the columns of the results. Writes no files, so that workers need no folder in common with
whoever asked; and whatever is wrong with a photo becomes its row.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from bunri.core.classes import ClassTable
from bunri.core.contracts import MaskArray
from bunri.core.errors import BunriError
from bunri.labels.outlines import encode_region
from bunri.labels.run_lengths import encode_counts
from bunri.predict.bulk.source import BulkPhoto, import_extra, read_uri
from bunri.predict.outputs import measure_areas
from bunri.predict.predictor import Predictor

MakePredictor = Callable[[], Predictor]
"""Loads the model; runs once in each worker."""
DONE, FAILED = "done", "failed"


def build_schema() -> Any:  # noqa: ANN401 (pyarrow has no types)
    """Return the columns of ``rows/*.parquet``.

    One row a photo. ``status`` is ``done`` or ``failed``, then with its ``reason``. ``classes``
    has a struct for each class in the photo, the largest first: index, name, pixels, share, and
    ``counts``, COCO's compressed run lengths of its pixels.
    """
    arrow = import_extra("pyarrow")
    one_class = arrow.struct(
        {
            "index": arrow.uint8(),
            "name": arrow.string(),
            "pixels": arrow.int64(),
            "share": arrow.float64(),
            "counts": arrow.string(),
        }
    )
    return arrow.schema(
        {
            "photo": arrow.string(),
            "status": arrow.string(),
            "reason": arrow.string(),
            "height_px": arrow.int32(),
            "width_px": arrow.int32(),
            "mask": arrow.string(),
            "classes": arrow.list_(one_class),
        }
    )


class BulkWorker:
    """A model in a process of its own.

    Args:
        make_predictor: Loads it.
    """

    def __init__(self, make_predictor: MakePredictor) -> None:
        self._predictor = make_predictor()

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 (pyarrow has no types)
        """Return one row a photo, with its mask as PNG in the added column ``png``.

        Args:
            batch: Table with the columns ``uri`` and ``mask_name``.
        """
        arrow = import_extra("pyarrow")
        photos = [BulkPhoto(row["uri"], row["mask_name"]) for row in batch.to_pylist()]
        rows = [_predict_row(self._predictor, photo) for photo in photos]
        schema = build_schema().append(arrow.field("png", arrow.binary()))
        return arrow.Table.from_pylist(rows, schema)


def _predict_row(predictor: Predictor, photo: BulkPhoto) -> dict[str, Any]:
    try:
        image = read_uri(photo.uri)
        mask = predictor.predict_mask(image)
        return {
            "photo": photo.uri,
            "status": DONE,
            "height_px": mask.shape[0],
            "width_px": mask.shape[1],
            "mask": f"masks/{photo.mask_name}.png",
            "classes": _list_classes(mask, predictor.table),
            "png": _encode_png(mask, predictor.table),
        }
    except BunriError as error:
        return describe_failure(photo.uri, error.message)
    except Exception as error:  # noqa: BLE001 (a million photos do not end because of one)
        return describe_failure(photo.uri, f"{type(error).__name__}: {error}")


def describe_failure(uri: str, reason: str) -> dict[str, Any]:
    """Return the row of a photo that has no mask."""
    return {"photo": uri, "status": FAILED, "reason": reason, "classes": []}


def _list_classes(mask: MaskArray, table: ClassTable) -> list[dict[str, Any]]:
    rows = measure_areas(mask, table)
    for row in rows:
        del row["name_ko"]
        row["counts"] = encode_counts(encode_region(mask == np.uint8(row["index"])).counts)
    return rows


def _encode_png(mask: MaskArray, table: ClassTable) -> bytes:
    picture = Image.fromarray(mask)
    picture.putpalette(table.palette_rgb.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()

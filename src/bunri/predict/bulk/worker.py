"""Worker of a bulk prediction: photos in, rows of a table out.

Workers write no files, so they need no folder in common with the process that started them. Any
fault of a photo becomes its row.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.contracts import MaskArray
from bunri.core.errors import BunriError
from bunri.images.drawing import make_index_picture
from bunri.labels.outlines import encode_region
from bunri.labels.run_lengths import encode_counts
from bunri.predict.bulk.source import BulkPhoto, import_extra, read_uri
from bunri.predict.outputs import measure_areas
from bunri.predict.predictor import Predictor

MakePredictor = Callable[[], Predictor]
"""Function that loads the model; called once in each worker."""
DONE, FAILED = "done", "failed"


def build_schema() -> Any:  # noqa: ANN401 (pyarrow has no types)
    """Return the columns of ``rows/*.parquet``, one row per photo.

    ``status`` is ``done``, or ``failed`` with a ``reason``. ``classes`` holds a struct for each
    class in the photo, the largest first: index, name, pixels, share, and ``counts``, COCO's
    compressed run lengths of its pixels.
    """
    arrow = import_extra("pyarrow")
    text, number = arrow.string(), arrow.int32()
    one_class = {"index": arrow.uint8(), "name": text, "pixels": arrow.int64(),
                 "share": arrow.float64(), "counts": text}  # fmt: skip
    row = {"photo": text, "status": text, "reason": text, "height_px": number, "width_px": number,
           "mask": text, "classes": arrow.list_(arrow.struct(one_class))}  # fmt: skip
    return arrow.schema(row)


class BulkWorker:
    """A model in a process of its own."""

    def __init__(self, make_predictor: MakePredictor) -> None:
        self._predictor = make_predictor()

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 (pyarrow has no types)
        """Return one row per photo, with its mask as PNG in the added column ``png``.

        Args:
            batch: pyarrow table with the columns ``uri`` and ``mask_name``.
        """
        arrow = import_extra("pyarrow")
        photos = [BulkPhoto(**row) for row in batch.to_pylist()]
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
    buffer = io.BytesIO()
    make_index_picture(mask, table).save(buffer, "PNG")
    return buffer.getvalue()

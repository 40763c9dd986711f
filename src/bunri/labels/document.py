"""COCO documents as plain JSON values: reading within limits, selecting photos, writing.

Polygons are the bulk of such a file: 26,400 objects of the competition have twelve million
numbers, which are 400 MB as Python lists. They are packed into arrays while the file is read.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.contracts import MAX_JSON_BYTES
from bunri.core.errors import AnnotationError, PathError
from bunri.core.files import is_file, is_folder, write_bytes


def read_document(path: Path) -> dict[str, Any]:
    """Return the content of a COCO file; apart from a list ``images``, anything may be wrong in it.

    Raises:
        PathError, AnnotationError: The file cannot be read, is not JSON, or is not COCO.
    """
    document = read_json_object(path)
    if not isinstance(document.get("images"), list):
        raise _refuse_as_coco(path)
    return document


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that should be COCO; anything may be wrong in it.

    Raises:
        PathError, AnnotationError: The file cannot be read, or is not a JSON object.
    """
    document = read_json(path, "COCO")
    if not isinstance(document, dict):
        raise _refuse_as_coco(path)
    return document


def read_json(path: Path, kind: str) -> Any:  # noqa: ANN401 (any JSON value)
    """Return the content of a JSON file.

    Lists of numbers in ``segmentation`` are arrays: int64 where all are whole, else float64.

    Raises:
        PathError, AnnotationError: The file cannot be read, or is not JSON within the limits.
    """
    if not is_file(path):
        what = "is a folder" if is_folder(path) else "does not exist"
        raise PathError(
            f"The annotation file {path} {what}.", hint=f"Give the path of a {kind} JSON."
        )
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise AnnotationError(
            f"{path} has {size} bytes; the limit is {MAX_JSON_BYTES}.",
            hint="Split it into several files of fewer photos; commands take more than one.",
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return json.loads(text, object_hook=_pack_segmentation)
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    except ValueError as error:  # an integer of thousands of digits
        raise AnnotationError(f"{path} holds a number that cannot be read: {error}.") from error
    except RecursionError as error:
        raise AnnotationError(f"{path} is nested too deeply to be {kind}.") from error
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror}.") from error


def select_photos(document: dict[str, Any], photo_ids: Sequence[int]) -> dict[str, Any]:
    """Return a new document of some photos, numbered anew; the given one stays as it is.

    Image ids become 0, 1, 2, ... in the given order, and annotation ids likewise, photo by photo
    and otherwise in file order: much code takes the n-th image for the one with id n. All other
    content is kept, also categories without objects.

    Raises:
        AnnotationError: The document has no such photo.
    """
    rows = {row["id"]: row for row in document["images"]}
    missing = [photo_id for photo_id in photo_ids if photo_id not in rows]
    if missing:
        raise AnnotationError(f"There is no image with id {missing[0]}.")
    selected = dict(document)
    selected["images"] = [{**rows[old], "id": new} for new, old in enumerate(photo_ids)]
    if document.get("annotations") is not None:
        objects = defaultdict(list)
        for row in document["annotations"]:
            objects[row["image_id"]].append(row)
        pairs = [(new, row) for new, old in enumerate(photo_ids) for row in objects[old]]
        selected["annotations"] = [
            {**row, "id": number, "image_id": new} for number, (new, row) in enumerate(pairs)
        ]
    return selected


def _refuse_as_coco(path: Path) -> AnnotationError:
    return AnnotationError(
        f"{path} is not a COCO file: it must be an object with a list 'images'.",
        hint="Expected keys: images, categories and, for labelled sets, annotations.",
    )


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a document as JSON, each row of its lists on a line of its own, Korean readable.

    Values that JSON does not know, such as NaN, are written as they were read.

    Raises:
        OutputError: The file cannot be written.
    """
    parts = [
        f"{dump_json(key)}: {_dump_rows(value) if isinstance(value, list) else dump_json(value)}"
        for key, value in document.items()
    ]
    write_bytes(path, _encode("{\n" + ",\n".join(parts) + "\n}\n"))


def write_rows(path: Path, rows: Iterable[object]) -> None:
    """Write a list as JSON, each of its rows on a line of its own; see :func:`write_document`."""
    write_bytes(path, _encode(_dump_rows(rows) + "\n"))


def dump_json(value: object) -> str:
    """Return a part of a document as JSON text in one line, arrays as lists."""
    return json.dumps(value, ensure_ascii=False, default=np.ndarray.tolist)


def _dump_rows(rows: Iterable[object]) -> str:
    return "[\n" + ",\n".join(map(dump_json, rows)) + "\n]"


def _encode(text: str) -> bytes:
    # A file name that is not UTF-8 holds lone surrogates; see files.write_json.
    return text.encode("utf-8", "backslashreplace")


def _pack_segmentation(row: dict[str, Any]) -> dict[str, Any]:
    shape = row.get("segmentation")
    if type(shape) is list:
        row["segmentation"] = [_pack(part) for part in shape]
    return row


def _pack(part: object) -> object:
    """Return a list of numbers as an array, and anything else as it is."""
    if type(part) is not list:
        return part
    kinds = set(map(type, part))
    if not kinds or not kinds <= {int, float}:
        return part
    try:
        return np.array(part, np.int64 if kinds == {int} else np.float64)
    except OverflowError:
        return part

"""Class tables as files: ``classes.json``, which bunri writes, and ``class_dict.csv``."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from bunri.core.classes import ClassInfo, ClassTable, normalize_name
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import AnnotationError, InputError, PathError
from bunri.core.files import is_file, write_json
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.core.waste_classes import BACKGROUND_NAMES

TABLE_NAME = "classes.json"
_MAX_JSON_BYTES = 64 * 2**20
_MAX_CSV_BYTES = 2**20
_COLUMNS = ("name", "r", "g", "b")


class _ClassesFile(JsonRecord):
    classes: list[dict[str, Any]]
    photos: dict[str, str] = Field(default_factory=dict)


def write_classes_file(path: Path, table: ClassTable, photos: Mapping[str, str]) -> None:
    """Write a ``classes.json``: the class table, and the photo of each mask file."""
    write_json(path, {"photos": dict(photos), "classes": table.to_json()})


def read_classes_file(path: Path) -> tuple[ClassTable, dict[str, str]]:
    """Return class table and photos of a ``classes.json``; raise InputError if it is not valid."""
    hint = "bunri writes this file beside PNG masks; a COCO file is given with --like."
    record = read_json_record(path, _ClassesFile, max_bytes=_MAX_JSON_BYTES, hint=hint)
    try:
        return ClassTable.from_json(record.classes), record.photos
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=hint) from error


def read_class_table(path: Path) -> ClassTable:
    """Return the classes in a ``classes.json``, or in a CSV with columns name, r, g, b."""
    if not is_file(path):
        raise PathError(f"{path} does not exist.")
    if path.suffix.lower() != ".csv":
        return read_classes_file(path)[0]
    if path.stat().st_size > _MAX_CSV_BYTES:
        raise InputError(f"{path} has more than {_MAX_CSV_BYTES} bytes; is it a class table?")
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV in UTF-8: {error}.") from error
    infos, problems = [], []
    for number, row in enumerate(rows, start=2):
        info = _parse_row({str(key).strip().lower(): value for key, value in row.items()})
        if info is None:
            problems.append(f"line {number}: needs a name and r, g, b from 0 to 255")
        else:
            infos.append(info)
    if problems or not infos:
        raise AnnotationError(
            f"{path} is not a class table: its first line must be {','.join(_COLUMNS)}.",
            problems=problems,
        )
    is_background = [normalize_name(info.name) in BACKGROUND_NAMES for info in infos]
    if True in is_background:
        infos.insert(BACKGROUND_INDEX, infos.pop(is_background.index(True)))
    else:
        infos.insert(BACKGROUND_INDEX, ClassInfo("Background", "배경", (0, 0, 0)))
    return ClassTable(tuple(infos))


def _parse_row(row: dict[str, str | None]) -> ClassInfo | None:
    name, *channels = (str(row.get(column) or "").strip() for column in _COLUMNS)
    if not name or not all(text.isascii() and text.isdigit() for text in channels):
        return None
    red, green, blue = (int(text[:4]) for text in channels)
    return ClassInfo(name, name, (red, green, blue)) if max(red, green, blue) < 256 else None

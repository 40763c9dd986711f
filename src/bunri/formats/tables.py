"""Class tables as files: which classes the pixels of a PNG stand for.

Owns ``classes.json`` and the reading of ``class_dict.csv``. Knows nothing of masks.
"""

import csv
import io
from pathlib import Path
from typing import Any

from bunri.core.classes import ClassInfo, ClassTable, normalize_name
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import AnnotationError, InputError, PathError
from bunri.core.files import is_file, write_json
from bunri.core.waste_classes import BACKGROUND_NAMES
from bunri.labels.document import read_json

TABLE_NAME = "classes.json"
MAX_TABLE_BYTES = 2**20
_COLUMNS = ("name", "r", "g", "b")


def write_class_table(path: Path, table: ClassTable, **more: object) -> None:
    """Write ``classes.json``: the table, and what else the reader should know."""
    write_json(path, {**more, "classes": table.to_json()})


def read_class_table(path: Path) -> ClassTable:
    """Return the classes in a ``classes.json`` of bunri, or in a CSV with columns name, r, g, b.

    Raises:
        PathError: There is no such file.
        InputError: It is no class table.
    """
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    return parse_class_table(read_json(path, "class table"), path)


def parse_class_table(document: Any, path: Path) -> ClassTable:  # noqa: ANN401 (any JSON value)
    """Return the classes in what a ``classes.json`` holds.

    Raises:
        InputError: It is no class table.
    """
    rows = document.get("classes") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f"{path} is not a class table: it must have a list 'classes' of objects.",
            hint="bunri writes one beside every mask PNG; a COCO file is given with --like.",
        )
    try:
        return ClassTable.from_json(rows)
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def _read_csv(path: Path) -> ClassTable:
    if not is_file(path):
        raise PathError(f"{path} does not exist.")
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise InputError(f"{path} has more than {MAX_TABLE_BYTES} bytes; is it a class table?")
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
    values = [int(text[:4]) for text in channels]
    return ClassInfo(name, name, (values[0], values[1], values[2])) if max(values) < 256 else None

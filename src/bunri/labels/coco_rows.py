"""Reader of the rows of a COCO document: usable rows are returned, faults are reported one by one.

:func:`bunri.labels.coco.read_coco` refuses a file with any fault, ``bunri doctor`` lists them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from bunri.core.classes import normalize_name
from bunri.core.contracts import MAX_PHOTO_PIXELS
from bunri.core.errors import PathError
from bunri.core.files import join_under
from bunri.labels.records import Photo, RunLengths, Segmentation, SoftLabels
from bunri.labels.segmentations import RowError, parse_segmentation

IGNORED_KEY = "ignored"
"""Key of bunri's own in a row of ``images``: run lengths of the pixels that are 255 in its mask."""
SOFT_KEY = "soft"
"""Key of bunri's own in a row of ``images``: ``file`` and ``sha256`` of its probabilities."""

_REQUIRED_KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "segmentation"),
}
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")

Rows = list[tuple[int, dict[str, Any]]]
"""Rows of one list of the document, each with its position in it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One place where a file breaks a rule.

    Attributes:
        row: Name of the JSON's list and position in it; None for a fault of the whole file.
        other_file: The second photo of a fault that takes two.
    """

    note: str
    file: str = ""
    photo_id: int | None = None
    annotation_id: int | None = None
    row: tuple[str, int] | None = None
    other_file: str = ""

    def __str__(self) -> str:
        where = [self.file] if self.file else []
        if self.annotation_id is not None:
            where.append(f"annotation {self.annotation_id}")
        elif self.photo_id is not None:
            where.append(f"image {self.photo_id}")
        elif self.row and not self.file:
            where.append(f"{self.row[0]}[{self.row[1]}]")
        return f"{', '.join(where)}: {self.note}" if where else self.note

    def describe_row(self) -> str:
        """Return the note after the place in the JSON, such as ``images[3] (id 7): ...``."""
        if self.row is None:
            return self.note
        id_ = self.photo_id if self.annotation_id is None else self.annotation_id
        return f"{self.row[0]}[{self.row[1]}]{'' if id_ is None else f' (id {id_})'}: {self.note}"

    def to_json(self) -> dict[str, Any]:
        """Return the example as plain values."""
        values = {
            "file": self.file or None,
            "image_id": self.photo_id,
            "annotation_id": self.annotation_id,
            "row": f"{self.row[0]}[{self.row[1]}]" if self.row else None,
            "other_file": self.other_file or None,
            "note": self.note,
        }
        return {key: value for key, value in values.items() if value is not None}


Report = Callable[[str, Example], None]
"""Takes the name of a check, one of ``doctor.checks.CHECKS``, and a place where it fails."""


@dataclass(frozen=True, slots=True, eq=False)
class CocoObject:
    """A row of ``annotations`` whose image and category exist.

    Attributes:
        position: Position in the list.
        segmentation: Its outline; None if that is at fault.
    """

    position: int
    row: dict[str, Any]
    photo: Photo
    category_id: int
    segmentation: Segmentation | None

    def describe(self, note: str) -> Example:
        """Return an example that names this object."""
        place = "annotations", self.position
        return Example(note, self.photo.file_name, self.photo.id, self.row["id"], place)


@dataclass(slots=True)
class CocoRows:
    """The usable rows of a COCO document.

    Attributes:
        is_labelled: Whether the document has the key ``annotations``.
        photos: Photo id -> photo, in file order.
        position_of_photo: Photo id -> position in ``images``.
        categories: Category id -> name, in id order.
        objects: Photo id -> its objects in file order.
        ignored: Photo id -> pixels to ignore.
        soft: Photo id -> file of its probabilities.
    """

    is_labelled: bool
    photos: dict[int, Photo] = field(default_factory=dict)
    position_of_photo: dict[int, int] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    objects: dict[int, list[CocoObject]] = field(default_factory=lambda: defaultdict(list))
    ignored: dict[int, RunLengths] = field(default_factory=dict)
    soft: dict[int, SoftLabels] = field(default_factory=dict)

    def describe(self, photo: Photo, note: str, *, other: str = "") -> Example:
        """Return an example that names a photo."""
        place = "images", self.position_of_photo[photo.id]
        return Example(note, photo.file_name, photo.id, row=place, other_file=other)


def read_rows(document: dict[str, Any], root: Path, report: Report) -> CocoRows:
    """Read the three lists of a COCO document, in which anything may be wrong; open no photo."""
    return _Reader(document, root, report).read()


def parse_photo(id_: int, root: Path, name: object, height_px: object, width_px: object) -> Photo:
    """Return the record of a photo as a file of labels states it.

    Raises:
        RowError: A value is not valid, or there are more pixels than bunri accepts.
    """
    if not isinstance(name, str) or not name:
        raise RowError("wrong-type", f"'file_name' must be text, not {_shorten(name)}")
    try:
        join_under(root, name)
    except PathError as error:
        raise RowError("bad-path", error.message) from error
    if not (_is_int(height_px) and _is_int(width_px) and height_px > 0 and width_px > 0):
        sides = f"{_shorten(height_px)} and {_shorten(width_px)}"
        raise RowError("wrong-type", f"'height' and 'width' must be positive integers, not {sides}")
    if height_px * width_px > MAX_PHOTO_PIXELS:
        size = f"{_shorten(width_px)}x{_shorten(height_px)}"
        raise RowError("frame-too-large", f"{size} has more than {MAX_PHOTO_PIXELS} pixels")
    return Photo(id_, name, height_px, width_px)


def is_name(value: object) -> TypeGuard[str]:
    """Return whether ``value`` can name a class; JSON may hold half a character."""
    return isinstance(value, str) and bool(value.strip()) and not _HALF_CHARACTER.search(value)


class _Reader:
    """Reads the lists of one document in order: images, categories, annotations."""

    def __init__(self, document: dict[str, Any], root: Path, report: Report) -> None:
        self._document = document
        self._root = root
        self._report = report
        self._rows = CocoRows(is_labelled=document.get("annotations") is not None)

    def read(self) -> CocoRows:
        self._read_photos()
        if "categories" in self._document or self._rows.is_labelled:
            self._read_categories()
        if self._rows.is_labelled:
            self._read_annotations()
        return self._rows

    def _list_rows(self, name: str) -> Rows:
        """Return the rows that are objects with an integer id and every required key."""
        if name not in self._document:
            self._report("missing-key", Example(f"the list '{name}' is missing"))
            return []
        value = self._document[name]
        if not isinstance(value, list):
            self._report("wrong-type", Example(f"'{name}' must be a list, not {_shorten(value)}"))
            return []
        return [(at, row) for at, row in enumerate(value) if self._check_row(name, at, row)]

    def _check_row(self, name: str, position: int, row: object) -> bool:
        if not isinstance(row, dict):
            note = f"must be an object, not {_shorten(row)}"
            self._report("wrong-type", Example(note, row=(name, position)))
            return False
        missing = [key for key in _REQUIRED_KEYS[name] if key not in row]
        if missing:
            note = f"{', '.join(map(repr, missing))} missing"
            self._report("missing-key", _name_row(name, position, row, note))
        elif not _is_int(row["id"]):
            note = f"'id' must be an integer, not {_shorten(row['id'])}"
            self._report("wrong-type", _name_row(name, position, row, note))
        return not missing and _is_int(row["id"])

    def _drop_repeats(self, rows: Rows, name: str, check: str) -> Rows:
        """Report ids that are used again; return the rows that use one for the first time."""
        first: dict[int, int] = {}
        for position, row in rows:
            if first.setdefault(row["id"], position) != position:
                note = f"id {row['id']} is already used by {name}[{first[row['id']]}]"
                self._report(check, _name_row(name, position, row, note))
        return [(position, row) for position, row in rows if first[row["id"]] == position]

    def _read_photos(self) -> None:
        listed, names = self._list_rows("images"), dict[str, int]()
        for position, row in self._drop_repeats(listed, "images", "duplicate-image-id"):
            try:
                photo = parse_photo(
                    row["id"], self._root, row["file_name"], row["height"], row["width"]
                )
                self._read_extras(row, photo)
            except RowError as error:
                self._report(error.check, _name_row("images", position, row, error.message))
                continue
            if names.setdefault(photo.file_name, position) != position:
                note = f"images[{names[photo.file_name]}] is the same file, {photo.file_name!r}"
                self._report("duplicate-file-name", _name_row("images", position, row, note))
            self._rows.photos[photo.id] = photo
            self._rows.position_of_photo[photo.id] = position

    def _read_extras(self, row: dict[str, Any], photo: Photo) -> None:
        """Read the two keys that are bunri's own."""
        runs, soft = row.get(IGNORED_KEY), row.get(SOFT_KEY)
        if runs is not None:
            try:
                shape = parse_segmentation(runs, photo.size_hw)
            except RowError as error:
                raise RowError("wrong-type", f"'{IGNORED_KEY}': {error.message}") from error
            if not isinstance(shape, RunLengths):
                raise RowError("wrong-type", f"'{IGNORED_KEY}' must be run lengths")
            self._rows.ignored[photo.id] = shape
        if soft is not None:
            parts = soft if isinstance(soft, dict) else {}
            name, sha256 = parts.get("file"), parts.get("sha256")
            if not isinstance(name, str) or not isinstance(sha256, str):
                note = f"'{SOFT_KEY}' must have the texts 'file' and 'sha256'"
                raise RowError("wrong-type", note)
            self._rows.soft[photo.id] = SoftLabels(name, sha256)

    def _read_categories(self) -> None:
        names: dict[int, str] = {}
        listed = self._list_rows("categories")
        for position, row in self._drop_repeats(listed, "categories", "duplicate-category-id"):
            if is_name(row["name"]):
                names[row["id"]] = row["name"].strip()
            else:
                note = f"'name' must be text, not {_shorten(row['name'])}"
                self._report("wrong-type", _name_row("categories", position, row, note))
        counts = Counter(map(normalize_name, names.values()))
        for id_, name in sorted(names.items()):
            if counts[normalize_name(name)] > 1:
                note = f"category {id_}: the name {name!r} is used more than once, case aside"
                self._report("duplicate-category-name", Example(note))
        if self._document.get("categories") == [] and self._document.get("annotations"):
            self._report("no-categories", Example("'categories' is empty"))
        self._rows.categories = dict(sorted(names.items()))

    def _read_annotations(self) -> None:
        listed = self._list_rows("annotations")
        self._drop_repeats(listed, "annotations", "duplicate-annotation-id")
        # Rows that are at fault themselves were reported above, so references to them are not.
        image_ids, category_ids = self._list_ids("images"), self._list_ids("categories")
        for position, row in listed:
            faults = (
                _find_reference_fault(row, "image", image_ids),
                # A list of categories that is absent or empty was reported as a whole.
                _find_reference_fault(row, "category", category_ids or None),
            )
            for check, note in filter(None, faults):
                self._report(check, _name_row("annotations", position, row, note))
            if not any(faults):
                self._read_object(position, row)

    def _read_object(self, position: int, row: dict[str, Any]) -> None:
        photo = self._rows.photos.get(row["image_id"])
        if photo is None or row["category_id"] not in self._rows.categories:
            return
        found = CocoObject(position, row, photo, row["category_id"], None)
        try:
            shape = parse_segmentation(row["segmentation"], photo.size_hw)
            found = replace(found, segmentation=shape)
        except RowError as error:
            self._report(error.check, found.describe(error.message))
        self._rows.objects[photo.id].append(found)

    def _list_ids(self, name: str) -> frozenset[int] | None:
        """Return the ids of a list, also of rows at fault; None if there is no such list."""
        rows = self._document.get(name)
        if not isinstance(rows, list):
            return None
        ids = (row.get("id") for row in rows if isinstance(row, dict))
        return frozenset(id_ for id_ in ids if _is_int(id_))


def _find_reference_fault(
    row: dict[str, Any], noun: str, ids: frozenset[int] | None
) -> tuple[str, str] | None:
    """Return (check, note) if an annotation refers to nothing; ``ids`` are not checked if None."""
    value = row[f"{noun}_id"]
    if not _is_int(value):
        return "wrong-type", f"'{noun}_id' must be an integer, not {_shorten(value)}"
    if ids is not None and value not in ids:
        return f"dangling-{noun}", f"there is no {noun} with id {value}"
    return None


def _name_row(name: str, position: int, row: dict[str, Any], note: str) -> Example:
    """Return an example that names a row by whatever it has."""
    id_ = row["id"] if _is_int(row.get("id")) else None
    file = row.get("file_name")
    return Example(
        note,
        file=file if isinstance(file, str) else "",
        photo_id=id_ if name == "images" else None,
        annotation_id=id_ if name == "annotations" else None,
        row=(name, position),
    )


def _is_int(value: object) -> TypeGuard[int]:
    return type(value) is int  # to isinstance a bool is an int as well


def _shorten(value: object) -> str:
    """Return a value from a file, cut so that it fits a line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

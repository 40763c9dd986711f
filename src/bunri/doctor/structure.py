"""The three lists of a COCO file: what is missing, doubled, or points to nothing.

Owns reading a file that may be wrong in any way; what is sound is handed on, the rest is named.
Knows nothing of outlines and pixels.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bunri.core.classes import normalize_name
from bunri.core.contracts import MAX_PHOTO_PIXELS
from bunri.core.errors import PathError
from bunri.core.files import join_under
from bunri.doctor.category_names import find_cycles, find_moved_ids, find_renamed, find_unknown
from bunri.doctor.findings import Example, Findings
from bunri.labels.records import Photo

_REQUIRED = {
    "images": ("id", "file_name", "height", "width"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "segmentation"),
}
_OPTIONAL = ("area", "bbox", "iscrowd")


@dataclass(frozen=True, slots=True)
class ListedObject:
    """A row of ``annotations`` whose references are sound; its outline is not looked at yet."""

    position: int
    row: dict[str, Any]
    photo: Photo
    category_id: int

    def describe(self, note: str) -> Example:
        """Return an example that names this object."""
        return Example(
            note,
            file=self.photo.file_name,
            photo_id=self.photo.id,
            annotation_id=self.row["id"],
            row=("annotations", self.position),
        )


@dataclass(slots=True)
class SoundRows:
    """What of a document can be worked with.

    Attributes:
        photos: By id, in file order.
        position_of_photo: Photo id -> position in ``images``.
        categories: Category id -> name, in id order.
        objects: Photo id -> its objects in file order.
        labelled_ids: Photo ids that any annotation refers to, be it sound or not.
        is_labelled: Whether the document has the key ``annotations``.
    """

    photos: dict[int, Photo] = field(default_factory=dict)
    position_of_photo: dict[int, int] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    objects: dict[int, list[ListedObject]] = field(default_factory=lambda: defaultdict(list))
    labelled_ids: frozenset[int] = frozenset()
    is_labelled: bool = False

    def describe(self, photo: Photo, note: str, *, other: str = "") -> Example:
        """Return an example that names a photo."""
        position = self.position_of_photo[photo.id]
        return Example(
            note,
            file=photo.file_name,
            photo_id=photo.id,
            row=("images", position),
            other_file=other,
        )


def check_structure(document: dict[str, Any], root: Path, findings: Findings) -> SoundRows:
    """Look at the three lists of a COCO document.

    Args:
        document: As read from JSON; anything may be wrong in it.
        root: Where file names start; nothing is opened.
        findings: Takes what is found.

    Returns:
        The rows that are sound.
    """
    rows = SoundRows(is_labelled=document.get("annotations") is not None)
    _check_images(document, root, rows, findings)
    _check_categories(document, rows, findings)
    if rows.is_labelled:
        _check_annotations(document, rows, findings)
    else:
        findings.add("no-labels", Example("there is no key 'annotations'"))
    return rows


def _iterate(
    document: dict[str, Any], name: str, findings: Findings
) -> list[tuple[int, dict[str, Any]]]:
    """Return (position, row) of the rows that are objects with every required key."""
    if name not in document:
        findings.add("missing-key", Example(f"the file has no {name!r}"))
        return []
    value = document[name]
    if not isinstance(value, list):
        findings.add("wrong-type", Example(f"{name!r} is not a list but {_show(value)}"))
        return []
    good = []
    for position, row in enumerate(value):
        place = (name, position)
        if not isinstance(row, dict):
            findings.add("wrong-type", Example(f"not an object but {_show(row)}", row=place))
            continue
        missing = [key for key in _REQUIRED[name] if key not in row]
        if missing:
            findings.add("missing-key", _name_row(name, position, row, f"no {', '.join(missing)}"))
        elif type(row["id"]) is not int:
            note = f"'id' is not an integer but {_show(row['id'])}"
            findings.add("wrong-type", _name_row(name, position, row, note))
        else:
            good.append((position, row))
    return good


def _name_row(name: str, position: int, row: dict[str, Any], note: str) -> Example:
    """Return an example that names a row by whatever it has."""
    id_ = row.get("id") if type(row.get("id")) is int else None
    file = row.get("file_name")
    return Example(
        note,
        file=file if isinstance(file, str) else "",
        photo_id=id_ if name == "images" else None,
        annotation_id=id_ if name == "annotations" else None,
        row=(name, position),
    )


def _find_repeats(
    rows: list[tuple[int, dict[str, Any]]], name: str, check: str, findings: Findings
) -> list[tuple[int, dict[str, Any]]]:
    """Report ids that are used again; return the rows that use one for the first time."""
    first: dict[int, int] = {}
    kept = []
    for position, row in rows:
        if row["id"] in first:
            note = f"id {row['id']} is used by {name}[{first[row['id']]}] already"
            findings.add(check, _name_row(name, position, row, note))
        else:
            first[row["id"]] = position
            kept.append((position, row))
    return kept


def _check_images(
    document: dict[str, Any], root: Path, rows: SoundRows, findings: Findings
) -> None:
    listed = _iterate(document, "images", findings)
    names: dict[str, int] = {}
    for position, row in _find_repeats(listed, "images", "duplicate-image-id", findings):
        fault = _find_image_fault(row, root)
        if fault:
            findings.add(fault[0], _name_row("images", position, row, fault[1]))
            continue
        name = row["file_name"]
        if name in names:
            note = f"images[{names[name]}] is the same file"
            findings.add("duplicate-file-name", _name_row("images", position, row, note))
        names.setdefault(name, position)
        rows.photos[row["id"]] = Photo(row["id"], name, row["height"], row["width"])
        rows.position_of_photo[row["id"]] = position
    wrong = [(position, row) for position, row in listed if row["id"] != position]
    # With a row missing or an id doubled, the positions of those after it say nothing.
    if wrong and len(rows.photos) == len(document["images"]):
        position, row = wrong[0]
        note = f"images[{position}] has id {row['id']}; {len(wrong)} of {len(listed)} differ"
        findings.add("ids-not-positions", _name_row("images", position, row, note))


def _find_image_fault(row: dict[str, Any], root: Path) -> tuple[str, str] | None:
    """Return (check, note) of the first fault that makes an image row unusable."""
    name, height, width = row["file_name"], row["height"], row["width"]
    if not isinstance(name, str) or not name:
        return "wrong-type", f"'file_name' is not text but {_show(name)}"
    if not all(type(side) is int and side > 0 for side in (height, width)):
        note = f"{_show(height)} and {_show(width)}"
        return "wrong-type", f"'height' and 'width' are not positive integers but {note}"
    if height * width > MAX_PHOTO_PIXELS:
        return "frame-too-large", f"{width}x{height}"
    try:
        join_under(root, name)
    except PathError as error:
        return "bad-path", error.message
    return None


def _check_categories(document: dict[str, Any], rows: SoundRows, findings: Findings) -> None:
    if "categories" not in document and not document.get("annotations"):
        return
    listed = _iterate(document, "categories", findings)
    for position, row in _find_repeats(listed, "categories", "duplicate-category-id", findings):
        name = row["name"]
        if isinstance(name, str) and name.strip():
            rows.categories[row["id"]] = name.strip()
        else:
            note = f"'name' is not text but {_show(name)}"
            findings.add("wrong-type", _name_row("categories", position, row, note))
    rows.categories = dict(sorted(rows.categories.items()))
    counts = Counter(map(normalize_name, rows.categories.values()))
    for id_, name in rows.categories.items():
        if counts[normalize_name(name)] > 1:
            findings.add("duplicate-category-name", Example(f"category {id_}: {name!r}"))
    if not listed and document.get("categories") == [] and document.get("annotations"):
        findings.add("no-categories", Example("'categories' is empty"))
    _compare_with_competition(rows.categories, findings)
    _check_supercategories([row for _, row in listed], findings)


def _compare_with_competition(categories: dict[int, str], findings: Findings) -> None:
    """Report names and ids that are nearly, but not quite, the competition's."""
    renamed = find_renamed(categories)
    for id_, name in renamed.items():
        note = f"category {id_}: {categories[id_]!r}, usually {name!r}"
        findings.add("renamed-category", Example(note))
    for id_ in find_unknown(categories):
        if id_ not in renamed:
            findings.add("unknown-category", Example(f"category {id_}: {categories[id_]!r}"))
    moved = find_moved_ids(categories)
    if moved:
        id_, usual_id = next(iter(moved.items()))
        note = f"{categories[id_]!r} has id {id_}, usually {usual_id}; {len(moved)} moved"
        findings.add("renumbered-categories", Example(note))


def _check_supercategories(listed: list[dict[str, Any]], findings: Findings) -> None:
    for cycle in find_cycles(listed):
        findings.add("category-cycle", Example(" > ".join([*cycle, cycle[0]])))


def _check_annotations(document: dict[str, Any], rows: SoundRows, findings: Findings) -> None:
    listed = _iterate(document, "annotations", findings)
    _find_repeats(listed, "annotations", "duplicate-annotation-id", findings)
    known = {
        "image_id": ("dangling-image", _list_integers(document.get("images"), "id")),
        "category_id": ("dangling-category", _list_integers(document.get("categories"), "id")),
    }
    rows.labelled_ids = _list_integers(document["annotations"], "image_id")
    for position, row in listed:
        fault = _find_reference_fault(row, known)
        if fault:
            findings.add(fault[0], _name_row("annotations", position, row, fault[1]))
            continue
        photo = rows.photos.get(row["image_id"])
        if photo is None or row["category_id"] not in rows.categories:
            continue  # the image or category is at fault, and named already
        listed_object = ListedObject(position, row, photo, row["category_id"])
        rows.objects[photo.id].append(listed_object)
        missing = [key for key in _OPTIONAL if row.get(key) is None]
        if missing:
            findings.add("missing-optional-key", listed_object.describe(f"no {', '.join(missing)}"))


def _list_integers(value: object, key: str) -> frozenset[int]:
    """Return the integers under ``key`` in the rows of a list, whatever else may be in it."""
    rows = value if isinstance(value, list) else []
    values = [row.get(key) for row in rows if isinstance(row, dict)]
    return frozenset(v for v in values if type(v) is int)


def _find_reference_fault(
    row: dict[str, Any], known: dict[str, tuple[str, frozenset[int]]]
) -> tuple[str, str] | None:
    """Return (check, note) if an annotation points to nothing."""
    for key, (check, ids) in known.items():
        if type(row[key]) is not int:
            return "wrong-type", f"{key!r} is not an integer but {_show(row[key])}"
        if ids and row[key] not in ids:  # a list that is missing as a whole is named already
            return check, f"{key} {row[key]} is not listed"
    return None


def _show(value: object) -> str:
    """Return a value from a file, cut so that it fits a line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

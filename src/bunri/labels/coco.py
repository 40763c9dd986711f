"""COCO JSON to a labelled set: by id, never by list position; every fault at once.

Owns what a valid file is. Knows nothing of pixels; photos are only named, not opened.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from bunri.core.classes import ClassTable, normalize_name
from bunri.core.contracts import BACKGROUND_INDEX, MAX_PHOTO_PIXELS
from bunri.core.errors import AnnotationError, InputError, PathError, suggest
from bunri.core.files import is_folder, join_under
from bunri.core.waste_classes import BACKGROUND_NAMES, choose_class_table
from bunri.labels.document import read_document
from bunri.labels.pseudo import describes_pseudo_labels, read_teacher_photos
from bunri.labels.rasterize import MIN_POLYGON_POINTS
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons, RunLengths, SoftLabels
from bunri.labels.segmentations import parse_segmentation

IGNORED_KEY = "ignored"
"""Of a row of ``images``: run lengths of the pixels that are 255 in its mask."""
SOFT_KEY = "soft"
"""Of a row of ``images``: the file of its probabilities, and what that hashes to."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def read_coco(
    path: Path,
    *,
    image_root: Path | None = None,
    table: ClassTable | None = None,
    takes_labels: bool = True,
) -> LabelledSet:
    """Read a COCO JSON.

    Args:
        path: The JSON file.
        image_root: Where ``file_name`` starts; the JSON's own folder if not given.
        table: The class table that categories must fit by name, for example a model's;
            without it the file's own, see :func:`bunri.core.waste_classes.choose_class_table`.
        takes_labels: Without, only photos are read, whatever else is in the file.

    Raises:
        PathError: The file or the image root does not exist.
        AnnotationError: Not JSON, not COCO, or inconsistent; all faults are listed.
    """
    document = read_document(path)
    if not takes_labels:
        document = {key: document[key] for key in ("images", "licenses") if key in document}
    root = path.parent if image_root is None else image_root
    if not is_folder(root):
        raise PathError(f"The image folder {root} does not exist.", hint="Choose it with --images.")
    reader = _Reader()
    photos = reader.read_photos(document, root)
    categories = reader.read_categories(document)
    is_labelled = document.get("annotations") is not None
    annotations = reader.read_annotations(document, photos, categories) if is_labelled else {}
    if not reader.problems:
        try:
            table = table or choose_class_table(list(categories.values()) or ["Object"])
            return LabelledSet(
                source=path,
                image_root=root,
                photos=tuple(photos.values()),
                annotations=annotations,
                category_names=categories,
                table=table,
                is_labelled=is_labelled,
                licenses=_read_license_names(document),
                warnings=tuple(reader.warnings),
                index_of_category=map_categories(categories, table),
                ignored=reader.ignored,
                soft=reader.soft,
                is_pseudo=describes_pseudo_labels(document),
                teacher_photos=read_teacher_photos(document),
            )
        except InputError as error:
            reader.problems += [error.message, *error.problems]
    raise AnnotationError(
        f"{path} cannot be used; {len(reader.problems)} fault(s):", problems=reader.problems
    )


def require_labels(dataset: LabelledSet) -> LabelledSet:
    """Return ``dataset`` if it can be trained or scored on.

    Raises:
        AnnotationError: It has no photos, or no ``annotations`` key.
    """
    require_nonempty(dataset)
    if not dataset.is_labelled:
        raise AnnotationError(
            f"{dataset.source} has no 'annotations': it is a set without labels.",
            hint="Use a labelled file, such as train.json or val.json.",
        )
    return dataset


def require_truth(dataset: LabelledSet) -> LabelledSet:
    """Return ``dataset`` if its labels are not a model's.

    Raises:
        AnnotationError: They are pseudo-labels.
    """
    if dataset.is_pseudo:
        raise AnnotationError(
            f"{dataset.source} holds pseudo-labels: what models said, not what is true.",
            hint="A score on them says how alike two models are. To use them as a truth all the "
            f"same, name the file: --allow-pseudo {dataset.source}",
        )
    return dataset


def require_photos(dataset: LabelledSet) -> LabelledSet:
    """Return ``dataset`` if it has photos and all of them are on disk.

    Raises:
        AnnotationError: There are none, or some are missing; those are listed.
    """
    require_nonempty(dataset)
    missing = dataset.find_missing_photos()
    if missing:
        raise AnnotationError(
            f"{len(missing)} of {len(dataset.photos)} photos of {dataset.source} are missing:",
            problems=missing,
            hint=f"They were looked for in {dataset.image_root}; choose another folder with "
            "--images (--val-images for validation).",
        )
    return dataset


def require_nonempty(dataset: LabelledSet) -> LabelledSet:
    """Return ``dataset`` if it lists photos.

    Raises:
        AnnotationError: It has none.
    """
    if not dataset.photos:
        raise AnnotationError(f"{dataset.source} has no photos: its list 'images' is empty.")
    return dataset


def map_categories(categories: Mapping[int, str], table: ClassTable) -> dict[int, int]:
    """Return category id -> table index, by name.

    Raises:
        AnnotationError: The table lacks names; each is listed.
    """
    index_of = {normalize_name(name): index for index, name in enumerate(table.names)}
    index_of |= dict.fromkeys(BACKGROUND_NAMES, BACKGROUND_INDEX)
    missing = [name for name in categories.values() if normalize_name(name) not in index_of]
    if missing:
        raise AnnotationError(
            f"{len(missing)} categories are not in the class table:",
            problems=[f"category {name!r}:{suggest(name, table.names)}" for name in missing],
        )
    return {id_: index_of[normalize_name(name)] for id_, name in categories.items()}


def _read_license_names(document: dict[str, Any]) -> tuple[str, ...]:
    """Return the declared licence names; they are informative, so odd rows are passed over."""
    rows = document.get("licenses")
    names = (
        [row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    )
    return tuple(name for name in names if isinstance(name, str) and name)


def parse_photo(id_: int, root: Path, name: object, height_px: object, width_px: object) -> Photo:
    """Return the record of a photo as a file of labels states it.

    Args:
        id_: Its id.
        root: Where the name starts; it must not leave this folder.
        name: Should be a relative path.
        height_px: Should be a positive integer, as ``width_px``.
        width_px: See ``height_px``.

    Raises:
        AnnotationError: It is not so, or there are more pixels than bunri takes.
        PathError: The name leads out of ``root``.
    """
    if not isinstance(name, str) or not name:
        raise AnnotationError(f"'file_name' must be text, not {name!r}")
    join_under(root, name)
    if not (_is_int(height_px) and _is_int(width_px) and height_px > 0 and width_px > 0):
        raise AnnotationError(
            f"'height' and 'width' must be positive integers, not {height_px!r} and {width_px!r}"
        )
    if height_px * width_px > MAX_PHOTO_PIXELS:
        raise AnnotationError(f"{width_px}x{height_px} has more than {MAX_PHOTO_PIXELS} pixels")
    return Photo(id_, name, height_px, width_px)


def _is_int(value: object) -> TypeGuard[int]:
    return type(value) is int  # bool is an int to isinstance


def is_name(value: object) -> TypeGuard[str]:
    """Return whether ``value`` can name a class; JSON may hold half a character."""
    return isinstance(value, str) and bool(value.strip()) and not _HALF_CHARACTER.search(value)


class _Reader:
    """Collects faults while the three lists of a COCO file are read in order."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.ignored: dict[int, RunLengths] = {}
        self.soft: dict[int, SoftLabels] = {}
        self._declared: dict[str, Counter[int]] = defaultdict(Counter)  # list -> ids in it

    def _iterate(self, document: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
        """Return (where, row) for each row of a list that is an object with an integer id."""
        rows = document.get(key)
        if not isinstance(rows, list):
            self.problems.append(f"'{key}' must be a list")
            return []
        good = []
        for position, row in enumerate(rows):
            if isinstance(row, dict) and _is_int(row.get("id")):
                good.append((f"{key}[{position}] (id {row['id']})", row))
            else:
                self.problems.append(f"{key}[{position}]: must be an object with an integer 'id'")
        counts = self._declared[key]
        counts.update(row["id"] for _, row in good)
        doubles = [id_ for id_, count in counts.items() if count > 1]
        self.problems += [f"{key}: id {id_} is used {counts[id_]} times" for id_ in doubles]
        return good

    def read_photos(self, document: dict[str, Any], root: Path) -> dict[int, Photo]:
        photos = {}
        names: dict[str, str] = {}
        for where, row in self._iterate(document, "images"):
            try:
                photo = parse_photo(
                    row["id"], root, row.get("file_name"), row.get("height"), row.get("width")
                )
            except (AnnotationError, PathError) as error:
                self.problems.append(f"{where}: {error.message}")
                continue
            name = photo.file_name
            if name in names:
                self.problems.append(f"{where}: {name!r} is listed before, as {names[name]}")
            else:
                names[name] = where
                photos[photo.id] = photo
                self._read_ignored(where, row, photo)
                self._read_soft(where, row, photo)
        return photos

    def _read_ignored(self, where: str, row: dict[str, Any], photo: Photo) -> None:
        """Keep the run lengths of a photo's key ``ignored``, which is bunri's own."""
        if row.get(IGNORED_KEY) is None:
            return
        try:
            shape = parse_segmentation(row[IGNORED_KEY], photo.size_hw)
        except AnnotationError as error:
            self.problems.append(f"{where}: '{IGNORED_KEY}': {error.message}")
            return
        if isinstance(shape, RunLengths):
            self.ignored[photo.id] = shape
        else:
            self.problems.append(f"{where}: '{IGNORED_KEY}' must be run lengths")

    def _read_soft(self, where: str, row: dict[str, Any], photo: Photo) -> None:
        """Keep where a photo's probabilities are; its key ``soft`` is bunri's own."""
        value = row.get(SOFT_KEY)
        if value is None:
            return
        parts = value if isinstance(value, dict) else {}
        name, sha256 = parts.get("file"), parts.get("sha256")
        if isinstance(name, str) and isinstance(sha256, str):
            self.soft[photo.id] = SoftLabels(name, sha256)
        else:
            self.problems.append(f"{where}: '{SOFT_KEY}' must have the texts 'file' and 'sha256'")

    def read_categories(self, document: dict[str, Any]) -> dict[int, str]:
        if "categories" not in document and document.get("annotations") is None:
            return {}
        names: dict[int, str] = {}
        for where, row in self._iterate(document, "categories"):
            name = row.get("name")
            if not is_name(name):
                self.problems.append(f"{where}: 'name' must be text, not {name!r}")
            else:
                names[row["id"]] = name.strip()
        counts = Counter(normalize_name(name) for name in names.values())
        doubles = [name for name in names.values() if counts[normalize_name(name)] > 1]
        if doubles:
            self.problems.append(f"categories: names must be unique, case aside: {doubles}")
        return dict(sorted(names.items()))

    def read_annotations(
        self, document: dict[str, Any], photos: dict[int, Photo], categories: dict[int, str]
    ) -> dict[int, tuple[Annotation, ...]]:
        by_photo: dict[int, list[Annotation]] = defaultdict(list)
        for where, row in self._iterate(document, "annotations"):
            photo_id, category_id = row.get("image_id"), row.get("category_id")
            photo = photos.get(photo_id) if _is_int(photo_id) else None
            # An image or category that was refused above is there, and named already.
            if not _is_int(photo_id) or photo_id not in self._declared["images"]:
                self.problems.append(f"{where}: there is no image with id {photo_id!r}")
            if not _is_int(category_id) or category_id not in self._declared["categories"]:
                self.problems.append(f"{where}: there is no category with id {category_id!r}")
                continue
            if photo is None or category_id not in categories:
                continue
            try:
                shape = parse_segmentation(row.get("segmentation"), photo.size_hw)
            except AnnotationError as error:
                self.problems.append(f"{where}: {error.message}")
                continue
            if isinstance(shape, Polygons) and not _draws(shape):
                self.warnings.append(
                    f"{where}: a polygon with fewer than {MIN_POLYGON_POINTS} points draws nothing"
                )
            by_photo[photo.id].append(Annotation(row["id"], photo.id, category_id, shape))
        return {photo_id: tuple(rows) for photo_id, rows in by_photo.items()}


def _draws(polygons: Polygons) -> bool:
    parts = polygons.parts
    return bool(parts) and all(len(part) >= 2 * MIN_POLYGON_POINTS for part in parts)

"""COCO JSON to a labelled set: rows are found by id, never by list position; all faults at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bunri.core.classes import ClassTable, normalize_name
from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import AnnotationError, InputError, PathError, suggest
from bunri.core.files import is_folder
from bunri.core.waste_classes import BACKGROUND_NAMES, choose_class_table
from bunri.labels.coco_rows import CocoRows, read_rows
from bunri.labels.document import read_document
from bunri.labels.pseudo import describes_pseudo_labels, read_teacher_photos
from bunri.labels.rasterize import MIN_POLYGON_POINTS
from bunri.labels.records import Annotation, LabelledSet, Polygons


def read_coco(
    path: Path,
    *,
    image_root: Path | None = None,
    table: ClassTable | None = None,
    takes_labels: bool = True,
) -> LabelledSet:
    """Read a COCO JSON.

    Args:
        path: JSON file.
        image_root: Folder that ``file_name`` is relative to; by default the JSON's own.
        table: Class table that categories must fit by name, for example a model's; by default
            the file's own, see :func:`bunri.core.waste_classes.choose_class_table`.
        takes_labels: False reads the photos only.

    Raises:
        PathError, AnnotationError: A path does not exist, or the file is not COCO or
            inconsistent; all faults are listed.
    """
    document = read_document(path)
    if not takes_labels:
        document = {key: document[key] for key in ("images", "licenses") if key in document}
    root = find_image_root(path, image_root)
    problems: list[str] = []
    rows = read_rows(document, root, lambda _, example: problems.append(example.describe_row()))
    if not problems:
        try:
            return build_labelled_set(document, rows, path, root, table)
        except InputError as error:
            problems += [error.message, *error.problems]
    raise AnnotationError(f"{path} cannot be used; {len(problems)} fault(s):", problems=problems)


def find_image_root(path: Path, image_root: Path | None) -> Path:
    """Return the folder of a file's photos: ``image_root`` if given, else the file's own.

    Raises:
        PathError: It does not exist.
    """
    root = path.parent if image_root is None else image_root
    if not is_folder(root):
        raise PathError(f"The image folder {root} does not exist.", hint="Choose it with --images.")
    return root


def build_labelled_set(
    document: dict[str, Any], rows: CocoRows, path: Path, root: Path, table: ClassTable | None
) -> LabelledSet:
    """Return usable rows as a labelled set, without objects whose outline is at fault.

    Raises:
        InputError: The categories make no class table, or ``table`` lacks some of them.
    """
    table = table or choose_class_table(list(rows.categories.values()) or ["Object"])
    annotations = {
        photo_id: tuple(
            Annotation(item.row["id"], photo_id, item.category_id, item.segmentation)
            for item in objects
            if item.segmentation is not None
        )
        for photo_id, objects in rows.objects.items()
    }
    return LabelledSet(
        source=path,
        image_root=root,
        photos=tuple(rows.photos.values()),
        annotations=annotations,
        category_names=rows.categories,
        table=table,
        is_labelled=rows.is_labelled,
        licenses=_read_license_names(document),
        warnings=tuple(_list_warnings(rows)),
        index_of_category=map_categories(rows.categories, table),
        ignored=rows.ignored,
        soft=rows.soft,
        is_pseudo=describes_pseudo_labels(document),
        teacher_photos=read_teacher_photos(document),
    )


def _list_warnings(rows: CocoRows) -> Iterator[str]:
    note = f"a polygon with fewer than {MIN_POLYGON_POINTS} points draws nothing"
    for objects in rows.objects.values():
        for item in objects:
            shape = item.segmentation
            if isinstance(shape, Polygons) and (
                not shape.parts or any(len(part) < 2 * MIN_POLYGON_POINTS for part in shape.parts)
            ):
                yield item.describe(note).describe_row()


def require_labels(dataset: LabelledSet) -> LabelledSet:
    """Return ``dataset`` if it can be trained or scored on.

    Raises:
        AnnotationError: The set has no photos, or no ``annotations`` key.
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
        AnnotationError: The labels are pseudo-labels.
    """
    if dataset.is_pseudo:
        raise AnnotationError(
            f"{dataset.source} holds pseudo-labels: predictions of models, no ground truth.",
            hint="A score on them measures how alike two models are. To accept them as if they "
            f"were true, name the file: --allow-pseudo {dataset.source}",
        )
    return dataset


def require_photos(dataset: LabelledSet) -> LabelledSet:
    """Return ``dataset`` if it has photos and all of them are on disk.

    Raises:
        AnnotationError: The set has no photos, or some are missing; those are listed.
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
        AnnotationError: The set has no photos.
    """
    if not dataset.photos:
        raise AnnotationError(f"{dataset.source} has no photos: its list 'images' is empty.")
    return dataset


def map_categories(categories: Mapping[int, str], table: ClassTable) -> dict[int, int]:
    """Return category id -> table index, by name."""
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

"""Labelled sets with one class table: several files together, or data for a model."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bunri.core.classes import ClassTable
from bunri.core.errors import AnnotationError
from bunri.labels.coco import map_categories, read_coco
from bunri.labels.records import LabelledSet

Data = str | Path | LabelledSet
"""Path of a COCO file, or a set that was read from one."""


def pair_roots(
    files: Sequence[Path], roots: Sequence[Path], option: str
) -> list[tuple[Path, Path]]:
    """Return (annotation file, folder of its photos) for each file, by default its own folder.

    Raises:
        AnnotationError: The numbers of files and folders differ.
    """
    if roots and len(roots) != len(files):
        raise AnnotationError(
            f"{option} was given {len(roots)} time(s) for {len(files)} annotation file(s).",
            hint=f"Give {option} once for each file, in the same order, or not at all.",
        )
    return list(zip(files, roots or [file.parent for file in files], strict=True))


def read_together(sources: Iterable[tuple[Path, Path]]) -> list[LabelledSet]:
    """Read files that share one class table: that of the first one with labels.

    The others may lack classes of that table, but not have more.

    Raises:
        PathError, AnnotationError: A file cannot be used, or has categories beyond the table.
    """
    sets = [read_coco(file, image_root=root) for file, root in sources]
    first = next((dataset for dataset in sets if dataset.is_labelled), sets[0])
    return [_join_table(dataset, first) for dataset in sets]


def open_labels(data: Data, images: Path | None, table: ClassTable) -> LabelledSet:
    """Return labelled photos with the class table of a model.

    Raises:
        PathError, AnnotationError: The data cannot be used, or has categories beyond ``table``.
    """
    if not isinstance(data, LabelledSet):
        return read_coco(Path(data), image_root=images, table=table)
    return _share_table(data, table)


def _share_table(dataset: LabelledSet, table: ClassTable) -> LabelledSet:
    index_of = map_categories(dataset.category_names, table)
    return replace(dataset, table=table, index_of_category=index_of)


def _join_table(dataset: LabelledSet, first: LabelledSet) -> LabelledSet:
    try:
        return _share_table(dataset, first.table)
    except AnnotationError as error:
        raise AnnotationError(
            f"{dataset.source} does not fit the class table of {first.source}:",
            problems=error.problems,
            hint="Files that are given together share one class table: put the one with the "
            "most classes first, or give these two one by one.",
        ) from error

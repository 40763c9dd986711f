"""Conversion of label files, with the loss measured by reading the result back."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX
from bunri.core.errors import InputError, OutputError
from bunri.core.files import (
    is_file,
    is_folder,
    join_under,
    lock_folder,
    replace_atomically,
    replace_folder,
)
from bunri.core.progress import Progress, show_nothing
from bunri.formats.archive import open_source
from bunri.formats.base import Format, ReadOptions
from bunri.formats.naming import tidy_name
from bunri.formats.registry import detect_format, get_format
from bunri.formats.shapes import express_set
from bunri.formats.tables import read_class_table
from bunri.labels.coco import read_coco, require_labels, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule

_LOCK_NAME = ".lock"


@dataclass(frozen=True, slots=True)
class Written:
    """Summary of what was written."""

    num_photos: int
    num_objects_read: int
    num_objects: int
    """Objects in the result; one object may have become several."""
    num_cut_photos: int
    """Photos whose objects were cut to their visible pixels."""
    num_bytes: int
    """Size of the result without photos."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Difference between the masks of two sets."""

    num_pixels: int
    num_differing: int
    worst: tuple[tuple[str, int], ...]
    """Photos with differing pixels and their numbers, largest first."""

    @property
    def share(self) -> float:
        """Return the share of the pixels that differ, 0 to 1."""
        return self.num_differing / max(1, self.num_pixels)


@dataclass(frozen=True, slots=True)
class Conversion:
    """Outcome of a conversion, with the notes of the reader; the loss is None if not measured."""

    source_format: Format
    target_format: Format
    written: Written
    warnings: tuple[str, ...]
    loss: Loss | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        loss = self.loss and {
            "pixels": self.loss.num_pixels,
            "differing": self.loss.num_differing,
            "share": self.loss.share,
            "photos": [{"photo": name, "differing": count} for name, count in self.loss.worst],
        }
        return {**asdict(self.written), "warnings": list(self.warnings), "loss": loss}


def convert_files(
    source: Path,
    destination: Path,
    to: str,
    *,
    from_: str | None = None,
    images: Path | None = None,
    like: Path | None = None,
    classes: Path | None = None,
    overlap_rule: OverlapRule = "largest-first",
    copy_photos: bool = False,
    verify: bool = True,
    notify: Callable[[str], None] | None = None,
    progress: Progress = show_nothing,
) -> Conversion:
    """Convert labels to another format; without ``from_`` the format of ``source`` is detected.

    ``like`` is a COCO file whose classes, ids and photo names the source shares, ``classes`` a
    classes.json, or a CSV of name, r, g and b. ``notify`` receives a note on the format that was
    detected, before the file is read. Raises InputError, AnnotationError or OutputError.
    """
    target = get_format(to)
    known = get_format(from_) if from_ is not None else None
    options = ReadOptions(
        image_root=images,
        table=None if classes is None else read_class_table(classes),
        like=None if like is None else read_coco(like),
        progress=progress,
    )
    with open_source(source) as place:
        if known is None:
            known, reason = detect_format(place)
            if notify is not None:
                notify(f"{source} is read as {known.name} ({reason}).")
        dataset = known.read(place, options)
        written = write_labels(
            dataset, destination, target, overlap_rule, copy_photos=copy_photos, progress=progress
        )
        loss = None
        if verify:
            loss = measure_loss(dataset, destination, target, overlap_rule, progress=progress)
    return Conversion(known, target, written, tuple(dataset.warnings), loss)


def write_labels(
    dataset: LabelledSet,
    destination: Path,
    format_: Format,
    rule: OverlapRule,
    *,
    copy_photos: bool = False,
    progress: Progress = show_nothing,
) -> Written:
    """Write a labelled set to a new file or folder, all of it or nothing.

    Raises AnnotationError without labels, or photos to copy; InputError for names that the format
    cannot store; OutputError, or RunError if another process is writing there.
    """
    require_labels(dataset)
    if copy_photos:
        require_photos(dataset)
    with _open_destination(destination, format_) as target:
        expressed, num_cut = express_set(dataset, rule, format_, progress)
        if copy_photos:
            parent = target if format_.is_folder else target.parent
            _copy_photos(dataset, parent / format_.photo_folder, progress)
        format_.write(expressed, target, rule, progress)
    files = destination.rglob("*") if format_.is_folder else [destination]
    photos = {destination / format_.photo_folder / p.file_name for p in dataset.photos}
    return Written(
        num_photos=len(dataset.photos),
        num_objects_read=sum(map(len, dataset.annotations.values())),
        num_objects=sum(map(len, expressed.annotations.values())),
        num_cut_photos=num_cut,
        num_bytes=sum(f.stat().st_size for f in files if f not in photos and is_file(f)),
    )


@contextmanager
def _open_destination(destination: Path, format_: Format) -> Iterator[Path]:
    """Yield the path to write to; a folder takes its place at the end, if there was no error."""
    if not format_.is_folder:
        if destination.suffix.lower() != format_.suffix:
            raise InputError(
                f"{format_.title} is one file; its name must end with {format_.suffix}, "
                f"not {destination.name!r}."
            )
        if is_file(destination) or is_folder(destination):
            raise OutputError(f"{destination} exists already.", hint="Choose another name.")
        yield destination
        return
    if is_file(destination):
        raise OutputError(f"{destination} is a file; {format_.title} is a folder.")
    folder = destination.resolve()  # a folder beside "." cannot take its place
    was_there = is_folder(folder)
    _refuse_content(folder)
    with lock_folder(folder):
        _refuse_content(folder)  # again, because another process may have written it meanwhile
        try:
            with replace_folder(folder) as temporary:
                yield temporary
        except BaseException:
            if not was_there:
                (folder / _LOCK_NAME).unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()
            raise


def _refuse_content(folder: Path) -> None:
    if is_folder(folder) and any(path.name != _LOCK_NAME for path in folder.iterdir()):
        raise OutputError(f"{folder} is not empty.", hint="Choose another folder.")


def _copy_photos(dataset: LabelledSet, root: Path, progress: Progress) -> None:
    """Copy all photos to ``root``; existing files are never replaced."""
    targets = {photo.id: join_under(root, photo.file_name) for photo in dataset.photos}
    taken = [
        str(targets[photo.id])
        for photo in dataset.photos
        if is_file(targets[photo.id]) and not targets[photo.id].samefile(dataset.path_of(photo))
    ]
    if taken:
        raise OutputError(f"{len(taken)} photo(s) exist already:", problems=taken)
    with progress("Copying photos", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            if not is_file(targets[photo.id]):
                with replace_atomically(targets[photo.id]) as temporary:
                    shutil.copyfile(dataset.path_of(photo), temporary)
            advance()


def measure_loss(
    dataset: LabelledSet,
    destination: Path,
    format_: Format,
    rule: OverlapRule,
    *,
    progress: Progress = show_nothing,
) -> Loss:
    """Read a result back and count the pixels whose class differs from that in ``dataset``.

    The reader is given names and sizes of the photos, which some formats do not store, but not the
    classes, which are compared by name.
    """
    root = dataset.image_root if is_folder(dataset.image_root) else None
    options = ReadOptions(image_root=root, photos=dataset.photos, progress=progress)
    result = format_.read(destination, options)
    index_of = np.full(256, BACKGROUND_INDEX, np.uint8)
    index_of[IGNORE_INDEX] = IGNORE_INDEX
    for id_, name in result.category_names.items():
        index_of[result.index_of_category[id_]] = _find_index(dataset, name)
    photos = {tidy_name(photo.file_name): photo for photo in result.photos}
    differing: dict[str, int] = {}
    num_pixels = 0
    with progress("Comparing masks", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            mask = draw_mask(dataset, photo, rule)
            other = photos.get(tidy_name(photo.file_name))
            drawn = np.zeros_like(mask) if other is None else draw_mask(result, other, rule)
            num_pixels += mask.size
            count = int(np.count_nonzero(mask != index_of[drawn]))
            if count:
                differing[photo.file_name] = count
            advance()
    worst = sorted(differing.items(), key=lambda item: -item[1])
    return Loss(num_pixels, sum(differing.values()), tuple(worst))


def _find_index(dataset: LabelledSet, name: str) -> int:
    try:
        return dataset.table.index_of(name)
    except InputError:  # a class that the source lacks: all of its pixels differ
        return len(dataset.table)

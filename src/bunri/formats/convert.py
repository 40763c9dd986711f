"""Labels from one format to another, and what was lost on the way.

Owns the steps: read, reshape, write whole or not at all, read back, compare pixel by pixel.
Knows nothing of single formats.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, MaskArray
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
from bunri.formats.naming import tidy_name
from bunri.formats.reading import ReadOptions
from bunri.formats.registry import Format
from bunri.formats.shapes import express_set
from bunri.labels.coco import require_labels, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule

_LOCK_NAME = ".lock"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    num_photos: int
    num_objects_read: int
    num_objects: int
    """Objects that the result has; an object may have become several."""
    num_cut_photos: int
    """Photos whose objects were cut to what is visible of them."""
    num_bytes: int
    """Without photos."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How the masks of two sets differ."""

    num_pixels: int
    num_differing: int
    worst: tuple[tuple[str, int], ...]
    """Photos with differing pixels, and how many; most first."""

    @property
    def share(self) -> float:
        """Differing pixels of all."""
        return self.num_differing / max(1, self.num_pixels)


def write_labels(
    dataset: LabelledSet,
    destination: Path,
    format_: Format,
    rule: OverlapRule,
    *,
    copy_photos: bool = False,
    progress: Progress = show_nothing,
) -> Written:
    """Write a labelled set; all of it or nothing.

    Args:
        dataset: With labels.
        destination: A new file, or a folder that is new or empty, as the format is.
        format_: One of ``registry.FORMATS``.
        rule: Who owns a pixel that several objects claim.
        copy_photos: Also put the photos where the format expects them.
        progress: Shown.

    Raises:
        AnnotationError: The set has no labels, no photos, or not all photos are there to copy.
        InputError: The format cannot hold these names.
        OutputError: The destination is taken or cannot be written.
        RunError: Another process writes there.
    """
    require_labels(dataset)
    if copy_photos:
        require_photos(dataset)
    _check_destination(destination, format_)
    expressed, num_cut = _express(dataset, format_, rule, progress)
    if format_.is_folder:
        with _hold_folder(destination) as folder:
            format_.write(expressed, folder, rule, progress)
            num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if copy_photos:
                _copy_photos(dataset, folder / format_.photo_folder, progress)
    else:
        if copy_photos:
            _copy_photos(dataset, destination.parent / format_.photo_folder, progress)
        format_.write(expressed, destination, rule, progress)
        num_bytes = destination.stat().st_size
    return Written(
        num_photos=len(dataset.photos),
        num_objects_read=_count_objects(dataset),
        num_objects=_count_objects(expressed),
        num_cut_photos=num_cut,
        num_bytes=num_bytes,
    )


def _express(
    dataset: LabelledSet, format_: Format, rule: OverlapRule, progress: Progress
) -> tuple[LabelledSet, int]:
    """Return the set as the format can hold it, and in how many photos objects were cut."""
    if format_.reshape is None:
        return dataset, 0
    return express_set(
        dataset,
        rule,
        format_.reshape,
        progress,
        is_layered=format_.is_layered,
        keeps_background=format_.keeps_background,
    )


def _count_objects(dataset: LabelledSet) -> int:
    return sum(map(len, dataset.annotations.values()))


def _check_destination(destination: Path, format_: Format) -> None:
    """Refuse a destination that is of the wrong kind or taken, before any work is done."""
    if format_.is_folder:
        if is_file(destination):
            raise OutputError(f"{destination} is a file; {format_.title} is a folder.")
        if is_folder(destination):
            _refuse_content(destination)
    elif destination.suffix.lower() != format_.suffix:
        raise InputError(
            f"{format_.title} is one file; its name must end with {format_.suffix}, "
            f"not {destination.name!r}."
        )
    elif is_file(destination) or is_folder(destination):
        raise OutputError(f"{destination} exists already.", hint="Choose another name.")


def _refuse_content(folder: Path) -> None:
    if any(path.name != _LOCK_NAME for path in folder.iterdir()):
        raise OutputError(f"{folder} is not empty.", hint="Choose another folder.")


@contextmanager
def _hold_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of ``folder``, for one process at a time."""
    folder = folder.resolve()  # "." and ".." have no place beside them
    was_there = is_folder(folder)
    with lock_folder(folder):
        _refuse_content(folder)  # again: another process may have ended meanwhile
        try:
            with replace_folder(folder) as temporary:
                yield temporary
        except BaseException:
            if not was_there:
                (folder / _LOCK_NAME).unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()
            raise


def _copy_photos(dataset: LabelledSet, root: Path, progress: Progress) -> None:
    """Copy all photos below ``root``; one that is there already is never replaced."""
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
    """Read back what was written and count pixels whose class is another one.

    Names and sizes of photos are given to the reader, since some formats have none; classes are
    not, and are compared by name.

    Args:
        dataset: What was written.
        destination: Where to.
        format_: In which format.
        rule: Decides both masks.
        progress: Shown.

    Raises:
        InputError: The result cannot be read.
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
            count = _count_differing(mask, index_of[drawn])
            if count:
                differing[photo.file_name] = count
            advance()
    worst = sorted(differing.items(), key=lambda item: -item[1])
    return Loss(num_pixels, sum(differing.values()), tuple(worst))


def _find_index(dataset: LabelledSet, name: str) -> int:
    try:
        return dataset.table.index_of(name)
    except InputError:  # a class that the source lacks; its pixels would all differ
        return len(dataset.table)


def _count_differing(one: MaskArray, other: MaskArray) -> int:
    """Return the number of differing pixels; all of them if the sizes differ."""
    return int(np.count_nonzero(one != other)) if one.shape == other.shape else one.size

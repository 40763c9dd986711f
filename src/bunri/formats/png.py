"""One PNG per photo: class indices with a palette, or class colours.

Owns the folder layout: ``masks/NAME.png`` and ``classes.json``, which says what the values mean
and which photo each mask is about. Objects do not survive: a mask is read back as one object per
connected piece of a class.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, ImageArray, MaskArray
from bunri.core.errors import AnnotationError, InputError
from bunri.core.files import is_file, is_folder, join_under
from bunri.core.progress import Progress
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.formats.naming import cut_suffix, find_files, name_outputs
from bunri.formats.reading import PhotoFinder, ReadOptions, SetBuilder
from bunri.formats.tables import TABLE_NAME, parse_class_table, write_class_table
from bunri.images.photos import read_index_mask, read_photo
from bunri.labels.document import read_json
from bunri.labels.outlines import split_region
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule

MASKS_NAME, PHOTOS_NAME = "masks", "images"
_MAX_COLORS_NAMED = 10
_NO_CLASS = 256


def _write(
    encode: Callable[[MaskArray, ClassTable], Image.Image],
    dataset: LabelledSet,
    path: Path,
    rule: OverlapRule,
    progress: Progress,
) -> None:
    """Write masks and ``classes.json`` into the folder ``path``."""
    names = name_outputs(dataset.photos, ".png")
    with progress("Drawing masks", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            target = join_under(path / MASKS_NAME, names[photo.id])
            target.parent.mkdir(parents=True, exist_ok=True)
            encode(draw_mask(dataset, photo, rule), dataset.table).save(target)
            advance()
    photos = {names[photo.id]: photo.file_name for photo in dataset.photos}
    write_class_table(path / TABLE_NAME, dataset.table, photos=photos)


def _encode_indices(mask: MaskArray, table: ClassTable) -> Image.Image:
    picture = Image.fromarray(mask)
    picture.putpalette(table.palette_rgb.tobytes())
    return picture


def _encode_colors(mask: MaskArray, table: ClassTable) -> Image.Image:
    _check_colors(table)
    return _encode_indices(mask, table).convert("RGB")


def _check_colors(table: ClassTable) -> None:
    """Refuse colours that two classes share: nobody could tell these apart again.

    Raises:
        InputError: With the classes.
    """
    owner: dict[tuple[int, int, int], str] = {}
    problems = [
        f"{info.name!r} and {owner[info.color_rgb]!r} are both {info.color_rgb}"
        for info in table.classes
        if owner.setdefault(info.color_rgb, info.name) != info.name
    ]
    if problems:
        raise InputError("Classes must have different colours:", problems=problems)


def _read(
    decode: Callable[[Path, ClassTable], MaskArray], path: Path, options: ReadOptions
) -> LabelledSet:
    """Read a folder of masks; see :data:`write_index_pngs` for its layout.

    Without ``classes.json`` all PNGs below the folder are masks, of the competition's classes if
    nothing else is said.
    """
    if not is_folder(path):
        raise InputError(f"{path} must be a folder of PNGs, not a file.")
    notes = _read_notes(path)
    table = _choose_table(notes, path, options)
    root = path / MASKS_NAME if is_folder(path / MASKS_NAME) else path
    photo_root = options.image_root or path / PHOTOS_NAME
    image_root = photo_root if is_folder(photo_root) else path
    builder = SetBuilder(path, image_root, options)
    finder = PhotoFinder(photo_root, options)
    files = find_files(root, ".png")
    if not files:
        raise InputError(f"{root} has no PNG.")
    with options.progress("Reading masks", len(files)) as advance:
        for file in files:
            name = file.relative_to(root).as_posix()
            with builder.catch(name):
                mask = decode(file, table)
                _add_mask(mask, name, _name_photo(mask, name, notes, finder), builder, table)
            advance()
    return builder.build(table)


def _read_notes(path: Path) -> dict[str, Any]:
    file = path / TABLE_NAME
    notes = read_json(file, "class table") if is_file(file) else {}
    return notes if isinstance(notes, dict) else {"classes": notes}


def _choose_table(notes: dict[str, Any], path: Path, options: ReadOptions) -> ClassTable:
    if options.like is not None:
        return options.like.table
    if options.table is not None:
        return options.table
    return parse_class_table(notes, path / TABLE_NAME) if notes else COMPETITION_TABLE


def _name_photo(mask: MaskArray, name: str, notes: dict[str, Any], finder: PhotoFinder) -> str:
    """Return which photo a mask is about; one that cannot be found is called like the mask.

    Raises:
        AnnotationError: The photo has another size.
    """
    found = finder.find(cut_suffix(name))
    if found is None:
        stated = notes.get("photos")
        return str(stated.get(name, name)) if isinstance(stated, dict) else name
    file_name, size_hw = found
    if mask.shape != size_hw:
        raise AnnotationError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]}, the photo {file_name!r} is "
            f"{size_hw[1]}x{size_hw[0]} (width x height)"
        )
    return file_name


def _add_mask(
    mask: MaskArray, name: str, file_name: str, builder: SetBuilder, table: ClassTable
) -> None:
    photo = builder.add_photo(file_name, *mask.shape)
    counts = np.bincount(mask.ravel(), minlength=256)
    if counts[IGNORE_INDEX]:
        builder.leave_out("pixel to be ignored (now background)", int(counts[IGNORE_INDEX]))
    for index in np.flatnonzero(counts[: len(table)]).tolist():
        if index != BACKGROUND_INDEX:
            for piece in split_region(mask == index, 8):
                builder.add_object(name, photo, table.names[index], piece)


def _decode_indices(file: Path, table: ClassTable) -> MaskArray:
    mask = read_index_mask(file)
    counts = np.bincount(mask.ravel(), minlength=256)
    wrong = [i for i in np.flatnonzero(counts).tolist() if len(table) <= i != IGNORE_INDEX]
    if wrong:
        listed = ", ".join(f"{index} ({counts[index]} px)" for index in wrong)
        raise AnnotationError(f"values must be below {len(table)} or {IGNORE_INDEX}, not {listed}")
    return mask


def _decode_colors(file: Path, table: ClassTable) -> MaskArray:
    packed = _pack(read_photo(file))
    indices = _index_colors(table)[packed]
    unknown = indices == _NO_CLASS
    if unknown.any():
        colors, counts = np.unique(packed[unknown], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_MAX_COLORS_NAMED]
        shown = [_describe_color(int(colors[n]), int(counts[n]), table) for n in order]
        more = len(colors) - len(shown)
        raise AnnotationError(
            f"{len(colors)} colours are no class: {'; '.join(shown)}"
            + (f"; and {more} more" if more else "")
        )
    return indices.astype(np.uint8)


@lru_cache(maxsize=1)
def _index_colors(table: ClassTable) -> npt.NDArray[np.uint16]:
    """Return the class index of each of the 2^24 colours, or 256; white is to be ignored."""
    _check_colors(table)
    index_of = np.full(1 << 24, _NO_CLASS, np.uint16)
    palette = _pack(table.palette_rgb)
    index_of[palette[IGNORE_INDEX]] = IGNORE_INDEX  # if no class is white
    index_of[palette[: len(table)]] = np.arange(len(table))
    return index_of


def _pack(colors: ImageArray | npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Return RGB in the last axis as one number."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    packed: npt.NDArray[np.int32] = red << 16 | green << 8 | blue
    return packed


def _describe_color(color: int, count: int, table: ClassTable) -> str:
    rgb = (color >> 16, color >> 8 & 255, color & 255)
    nearest = min(
        table.classes,
        key=lambda info: sum((a - b) ** 2 for a, b in zip(info.color_rgb, rgb, strict=True)),
    )
    return f"{rgb} ({count} px; nearest: {nearest.name} {nearest.color_rgb})"


write_index_pngs = partial(_write, _encode_indices)
write_color_pngs = partial(_write, _encode_colors)
read_index_pngs = partial(_read, _decode_indices)
read_color_pngs = partial(_read, _decode_colors)

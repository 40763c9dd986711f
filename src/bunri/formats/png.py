"""One PNG per photo: class indices with a palette, or class colours.

Masks are ``masks/NAME.png``; ``classes.json`` holds the class table and the photo of each mask.
Objects are not stored: a mask is read back as one object per connected piece of a class.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt
from PIL import Image

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, MaskArray
from bunri.core.errors import AnnotationError, InputError
from bunri.core.files import is_file, is_folder
from bunri.core.progress import Progress
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.formats.base import Format, ReadOptions
from bunri.formats.naming import cut_suffix, find_files, write_per_photo
from bunri.formats.reading import SetBuilder
from bunri.formats.tables import TABLE_NAME, read_classes_file, write_classes_file
from bunri.images.photos import read_index_mask, read_photo
from bunri.labels.outlines import split_region
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet, Photo
from bunri.labels.rules import OverlapRule

MASKS_NAME, PHOTOS_NAME = "masks", "images"
_MAX_COLORS_NAMED = 10
_NO_CLASS = 256
_COLOR_TYPE = 25  # position of the byte for grey (0), palette (3), colours (2, 6) or grey + alpha

Decode = Callable[[Path], MaskArray]


def _write(
    encode: Callable[[MaskArray, ClassTable], Image.Image],
    dataset: LabelledSet,
    path: Path,
    rule: OverlapRule,
    progress: Progress,
) -> None:

    def write_mask(photo: Photo, target: Path) -> None:
        encode(draw_mask(dataset, photo, rule), dataset.table).save(target)

    names = write_per_photo(dataset.photos, path / MASKS_NAME, ".png", write_mask, progress)
    photos = {names[photo.id]: photo.file_name for photo in dataset.photos}
    write_classes_file(path / TABLE_NAME, dataset.table, photos)


def _encode_indices(mask: MaskArray, table: ClassTable) -> Image.Image:
    picture = Image.fromarray(mask)
    picture.putpalette(table.palette_rgb.tobytes())
    return picture


def _encode_colors(mask: MaskArray, table: ClassTable) -> Image.Image:
    _check_colors(table)
    return _encode_indices(mask, table).convert("RGB")


def _check_colors(table: ClassTable) -> None:
    """Raise InputError if two classes have the same colour."""
    owner: dict[tuple[int, int, int], str] = {}
    problems = [
        f"{info.name!r} and {owner[info.color_rgb]!r} are both {info.color_rgb}"
        for info in table.classes
        if owner.setdefault(info.color_rgb, info.name) != info.name
    ]
    if problems:
        raise InputError("Classes must have different colours:", problems=problems)


def _read(
    make_decoder: Callable[[ClassTable], Decode], path: Path, options: ReadOptions
) -> LabelledSet:
    """Read a folder of masks.

    Without ``masks/`` all PNGs below the folder are masks; without ``classes.json`` the classes
    are those of the competition.
    """
    if not is_folder(path):
        raise InputError(f"{path} must be a folder of PNGs, not a file.")
    stated, photos = COMPETITION_TABLE, dict[str, str]()
    if is_file(path / TABLE_NAME):
        stated, photos = read_classes_file(path / TABLE_NAME)
    table = options.chosen_table or stated
    root = path / MASKS_NAME if is_folder(path / MASKS_NAME) else path
    photo_root = options.image_root or path / PHOTOS_NAME
    image_root = photo_root if is_folder(photo_root) else path
    builder = SetBuilder(path, image_root, options, photo_root=photo_root)
    files = find_files(root, ".png")
    if not files:
        raise InputError(f"{root} has no PNG.")
    decode = make_decoder(table)

    def read(file: Path, name: str) -> None:
        mask = decode(file)
        photo = _find_photo(mask, name, photos, builder)
        _add_objects(mask, name, builder.add_photo(photo, *mask.shape), builder, table)

    builder.read_files(files, root, read)
    return builder.build(table)


def _find_photo(mask: MaskArray, name: str, photos: dict[str, str], builder: SetBuilder) -> str:
    """Return the name of a mask's photo; without such a photo, the name of the mask."""
    found = builder.find_photo(cut_suffix(name))
    if found is None:
        return photos.get(name, name)
    file_name, size_hw = found
    if mask.shape != size_hw:
        raise AnnotationError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]}, the photo {file_name!r} is "
            f"{size_hw[1]}x{size_hw[0]} (width x height)"
        )
    return file_name


def _add_objects(
    mask: MaskArray, name: str, photo: Photo, builder: SetBuilder, table: ClassTable
) -> None:
    counts = np.bincount(mask.ravel(), minlength=256)
    if counts[IGNORE_INDEX]:
        builder.leave_out("pixel to be ignored (now background)", int(counts[IGNORE_INDEX]))
    for index in np.flatnonzero(counts[: len(table)]).tolist():
        if index != BACKGROUND_INDEX:
            for piece in split_region(mask == index, 8):
                builder.add_object(name, photo, table.names[index], piece)


def _make_index_decoder(table: ClassTable) -> Decode:
    def decode(file: Path) -> MaskArray:
        mask = read_index_mask(file)
        counts = np.bincount(mask.ravel(), minlength=256)
        wrong = [i for i in np.flatnonzero(counts).tolist() if len(table) <= i != IGNORE_INDEX]
        if wrong:
            listed = ", ".join(f"{index} ({counts[index]} px)" for index in wrong)
            raise AnnotationError(
                f"values must be below {len(table)} or {IGNORE_INDEX}, not {listed}"
            )
        return mask

    return decode


def _make_color_decoder(table: ClassTable) -> Decode:
    _check_colors(table)
    # Class index of each of the 2^24 colours; white pixels are ignored if no class is white.
    index_of = np.full(1 << 24, _NO_CLASS, np.uint16)
    palette = _pack(table.palette_rgb)
    index_of[palette[IGNORE_INDEX]] = IGNORE_INDEX
    index_of[palette[: len(table)]] = np.arange(len(table))

    def decode(file: Path) -> MaskArray:
        packed = _pack(read_photo(file))
        indices = index_of[packed]
        unknown = packed[indices == _NO_CLASS]
        if unknown.size:
            raise AnnotationError(_describe_colors(unknown, table))
        return indices.astype(np.uint8)

    return decode


def _pack(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Return RGB in the last axis as one number."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    packed: npt.NDArray[np.int32] = red << 16 | green << 8 | blue
    return packed


def _describe_colors(packed: npt.NDArray[np.int32], table: ClassTable) -> str:
    """Return a message about pixels whose colours are not those of a class."""
    colors, counts = np.unique(packed, return_counts=True)
    shown = []
    for place in np.argsort(-counts, kind="stable")[:_MAX_COLORS_NAMED]:
        color = int(colors[place])
        rgb = np.array([color >> 16, color >> 8 & 255, color & 255])
        nearest = min(table.classes, key=lambda info: int(((info.color_rgb - rgb) ** 2).sum()))
        shown.append(
            f"{tuple(rgb.tolist())} ({counts[place]} px; nearest: {nearest.name} "
            f"{nearest.color_rgb})"
        )
    more = len(colors) - len(shown)
    return f"{len(colors)} colours are no class: {'; '.join(shown)}" + (
        f"; and {more} more" if more else ""
    )


def _recognize(color_types: tuple[int, ...], reason: str, path: PurePath, head: bytes) -> str:
    is_png = head.startswith(b"\x89PNG") and len(head) > _COLOR_TYPE
    is_mask = path.parts[0] != PHOTOS_NAME and is_png and head[_COLOR_TYPE] in color_types
    return reason if is_mask else ""


INDEX_PNG = Format(
    "png", "PNG of class indices", "",
    partial(_read, _make_index_decoder), partial(_write, _encode_indices),
    file_suffixes=(".png",), recognize=partial(_recognize, (0, 3), "grey or palette"),
    photo_folder=PHOTOS_NAME,
)  # fmt: skip
COLOR_PNG = Format(
    "color-png", "PNG of class colours", "",
    partial(_read, _make_color_decoder), partial(_write, _encode_colors),
    file_suffixes=(".png",), recognize=partial(_recognize, (2, 4, 6), "colours"),
    photo_folder=PHOTOS_NAME,
)  # fmt: skip

"""All formats by name, and which one a file or folder is.

Owns the list and what each format needs. Knows nothing of how they work.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bunri.core.errors import InputError, suggest
from bunri.core.files import is_file, is_folder
from bunri.core.progress import Progress
from bunri.formats import coco, cvat, label_studio, labelme, png, shapes, yolo
from bunri.formats.naming import find_files
from bunri.formats.reading import ReadOptions
from bunri.formats.tables import TABLE_NAME
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule

_PEEK_BYTES = 2**16
_PNG_COLOR_TYPE = 25  # this byte of a PNG says grey, palette or colours


@dataclass(frozen=True, slots=True)
class Format:
    """How labels are kept by some tool.

    Attributes:
        name: What ``--to`` and ``--from`` take.
        title: For people.
        suffix: Of the one file it is; empty for a folder.
        read: Is given a file or folder.
        write: Is given a set of shapes that the format holds, and an empty folder or a new file.
        reshape: Makes such shapes; None if the format keeps masks only.
        photo_folder: Where photos belong, below the folder or beside the file.
        is_layered: Whether later objects lie on top of earlier ones.
        keeps_background: Whether objects may be of the background class.
        needs_photos: Whether its tool cannot do without photos in their place.
    """

    name: str
    title: str
    suffix: str
    read: Callable[[Path, ReadOptions], LabelledSet]
    write: Callable[[LabelledSet, Path, OverlapRule, Progress], None]
    reshape: shapes.Reshape | None
    photo_folder: str = ""
    is_layered: bool = True
    keeps_background: bool = True
    needs_photos: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of files."""
        return not self.suffix


_ALL = (
    Format("coco", "COCO, polygons", ".json", coco.read_coco_set, coco.write_coco_set,
           shapes.to_polygons, is_layered=False),
    Format("coco-rle", "COCO, run lengths", ".json", coco.read_coco_set, coco.write_coco_set,
           shapes.to_run_lengths, is_layered=False),
    Format("png", "PNG of class indices", "", png.read_index_pngs, png.write_index_pngs,
           None, png.PHOTOS_NAME),
    Format("color-png", "PNG of class colours", "", png.read_color_pngs, png.write_color_pngs,
           None, png.PHOTOS_NAME),
    Format("yolo", "YOLO segmentation", "", yolo.read_yolo, yolo.write_yolo,
           shapes.to_single_polygons, yolo.PHOTOS_NAME, is_layered=False, keeps_background=False,
           needs_photos=True),
    Format("labelme", "LabelMe", "", labelme.read_labelme, labelme.write_labelme,
           shapes.to_inset_polygons, needs_photos=True),
    Format("cvat", "CVAT for images 1.1", ".xml", cvat.read_cvat, cvat.write_cvat,
           shapes.to_polygons_or_masks, cvat.PHOTOS_NAME),
    Format("label-studio", "Label Studio JSON", ".json", label_studio.read_label_studio,
           label_studio.write_label_studio, shapes.to_polygon_or_mask),
)  # fmt: skip
FORMATS = {format_.name: format_ for format_ in _ALL}


def get_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        InputError: There is no such format; the nearest names are listed.
    """
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}.{suggest(name, FORMATS)}")
    return FORMATS[name]


def detect_format(path: Path) -> tuple[Format, str]:
    """Return the format of a file or an unpacked folder, and what told so.

    Raises:
        InputError: It is none that bunri knows.
    """
    found = _detect_folder(path) if is_folder(path) else _detect_file(path)
    if found is None:
        raise InputError(
            f"{path} is in no format that bunri knows.",
            hint=f"Name it with --from; known are {', '.join(FORMATS)}.",
        )
    return FORMATS[found[0]], found[1]


def _detect_folder(path: Path) -> tuple[str, str] | None:
    for file in find_files(path, ".txt"):
        if yolo.LABELS_NAME in file.relative_to(path).parts[:-1]:
            return "yolo", f"{file.relative_to(path)}"
    for file in find_files(path, ".xml", ".json"):
        found = None if file.name == TABLE_NAME else _detect_file(file)
        if found is not None:
            return found[0], f"{file.relative_to(path)}: {found[1]}"
    masks = path / png.MASKS_NAME
    for file in find_files(masks if is_folder(masks) else path, ".png"):
        with file.open("rb") as stream:
            header = stream.read(_PNG_COLOR_TYPE + 1)
        if header.startswith(b"\x89PNG") and len(header) > _PNG_COLOR_TYPE:
            has_indices = header[_PNG_COLOR_TYPE] in (0, 3)  # grey or palette
            kind = "values" if has_indices else "colours"
            return "png" if has_indices else "color-png", f"{file.relative_to(path)} has {kind}"
    return None


def _detect_file(path: Path) -> tuple[str, str] | None:
    if not is_file(path):
        return None
    with path.open("rb") as file:
        start = file.read(_PEEK_BYTES).decode("utf-8-sig", "replace").lstrip()
    if start.startswith("<"):
        return ("cvat", "<annotations>") if re.search(r"<annotations[\s>]", start) else None
    if start.startswith("["):
        return "label-studio", "a list of tasks"
    if start.startswith("{"):
        is_labelme = re.search(r'"shapes"\s*:\s*\[', start)
        return ("labelme", "'shapes'") if is_labelme else ("coco", "a JSON object")
    return None

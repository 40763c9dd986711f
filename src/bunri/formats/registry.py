"""The list of label formats, and the detection of a file's or folder's format."""

from pathlib import Path

from bunri.core.errors import InputError, suggest
from bunri.core.files import is_file, is_folder
from bunri.formats import coco, cvat, label_studio, labelme, png, yolo
from bunri.formats.base import Format
from bunri.formats.naming import find_files

_HEAD_BYTES = 2**16

# In the order in which they are tried on a file. Formats of .png files are the last, because
# these may be photos of any other format.
FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        yolo.YOLO,
        cvat.CVAT,
        label_studio.LABEL_STUDIO,
        labelme.LABELME,
        coco.COCO,
        coco.COCO_RLE,
        png.INDEX_PNG,
        png.COLOR_PNG,
    )
}


def get_format(name: str) -> Format:
    """Return a format by its name; raise InputError with the nearest names if there is none."""
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}.{suggest(name, sorted(FORMATS))}")
    return FORMATS[name]


def detect_format(path: Path) -> tuple[Format, str]:
    """Return the format of a file or folder and what shows it; raise InputError if none."""
    if is_file(path):
        found = _recognize(path, Path(path.name))
        if found is not None:
            return found
    if is_folder(path):
        suffixes = list(dict.fromkeys(s for f in FORMATS.values() for s in f.file_suffixes))
        files = find_files(path, *suffixes)
        for file in sorted(files, key=lambda file: suffixes.index(file.suffix.lower())):
            relative = file.relative_to(path)
            found = _recognize(file, relative)
            if found is not None:
                return found[0], f"{relative}: {found[1]}"
    raise InputError(
        f"{path} is in no format that bunri knows.",
        hint=f"Name its format with --from: {', '.join(sorted(FORMATS))}.",
    )


def _recognize(file: Path, relative: Path) -> tuple[Format, str] | None:
    with file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    for format_ in FORMATS.values():
        reason = format_.recognize(relative, head)
        if reason:
            return format_, reason
    return None

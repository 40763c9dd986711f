"""From a photo's name to the names of files about it, and back.

Owns how output files are called and how photos are found again. Knows no label format.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from bunri.core.errors import InputError, PathError
from bunri.core.files import is_file, is_folder
from bunri.images.photos import PHOTO_SUFFIXES
from bunri.labels.records import Photo


def tidy_name(file_name: str) -> str:
    """Return a photo's relative path in one spelling: slashes, no ``./``."""
    return PurePosixPath(file_name.replace("\\", "/")).as_posix()


def cut_suffix(file_name: str) -> str:
    """Return a photo's relative path, tidy and without the suffix."""
    return PurePosixPath(tidy_name(file_name)).with_suffix("").as_posix()


def name_outputs(photos: Sequence[Photo], suffix: str) -> dict[int, str]:
    """Return photo id -> relative path of a file about it, which keeps the photo's folders.

    Args:
        photos: Of one set.
        suffix: Of the file, with its dot.

    Raises:
        InputError: Two photos would get the same file, such as a.jpg and a.png.
    """
    taken: dict[str, str] = {}
    problems = []
    for photo in photos:
        first = taken.setdefault(cut_suffix(photo.file_name), photo.file_name)
        if first is not photo.file_name:
            name = f"{cut_suffix(first)}{suffix}"
            problems.append(f"{first!r} and {photo.file_name!r} would both be {name!r}")
    if problems:
        raise InputError(
            "This format has one file per photo, named after it; some would collide:",
            problems=problems,
            hint="Rename these photos, or choose a format with one file for all.",
        )
    return {photo.id: f"{cut_suffix(photo.file_name)}{suffix}" for photo in photos}


def refuse_unprintable(names: Iterable[str], format_name: str) -> None:
    """Refuse names with control characters or line breaks, which a format cannot hold.

    Raises:
        InputError: With all of them.
    """
    problems = [f"{name!r}" for name in names if not name.isprintable()]
    if problems:
        raise InputError(
            f"{format_name} cannot hold names with control characters:", problems=problems
        )


def list_photos(root: Path) -> dict[str, list[str]]:
    """Return relative path without suffix -> relative paths, of all photos below a folder."""
    found = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and is_file(path):
            name = path.relative_to(root).as_posix()
            found[cut_suffix(name)].append(name)
    return found


def find_files(root: Path, *suffixes: str) -> list[Path]:
    """Return all files below a folder whose name ends so, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and is_file(path)
    )


def find_single_file(path: Path, suffix: str, usual_name: str = "") -> Path:
    """Return ``path``, or the one file with ``suffix`` below it if it is a folder.

    Args:
        path: A file or a folder.
        suffix: With its dot.
        usual_name: How the file is called by custom; it is taken if several are there.

    Raises:
        PathError: There is none, or there are several.
    """
    if not is_folder(path):
        return path
    files = find_files(path, suffix)
    usual = [file for file in files if file.name == usual_name]
    if len(usual) == 1:
        return usual[0]
    if len(files) != 1:
        raise PathError(
            f"{path} has {len(files)} files that end with {suffix}; there should be one.",
            problems=[file.relative_to(path).as_posix() for file in files],
            hint="Give the file itself." if files else "",
        )
    return files[0]

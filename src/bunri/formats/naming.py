"""Names of files that belong to photos, and the search for files and photos in folders."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bunri.core.errors import InputError, PathError
from bunri.core.files import is_file, is_folder, join_under
from bunri.core.progress import Progress
from bunri.images.photos import PHOTO_SUFFIXES
from bunri.labels.records import Photo


def tidy_name(file_name: str) -> str:
    """Return a photo's relative path with forward slashes and without ``./``."""
    return PurePosixPath(file_name.replace("\\", "/")).as_posix()


def cut_suffix(file_name: str) -> str:
    """Return a photo's tidy relative path without its suffix."""
    return PurePosixPath(tidy_name(file_name)).with_suffix("").as_posix()


def write_per_photo(
    photos: Sequence[Photo],
    root: Path,
    suffix: str,
    write: Callable[[Photo, Path], None],
    progress: Progress,
    locate: Callable[[str], str] = str,
) -> dict[int, str]:
    """Write one file per photo, named after it, and return photo id -> name.

    ``locate`` returns a file's path below ``root`` from its name, which keeps the photo's folders.
    Raises InputError if two photos, such as a.jpg and a.png, would have the same file.
    """
    names = {photo.id: f"{cut_suffix(photo.file_name)}{suffix}" for photo in photos}
    _refuse_equal(photos, names)
    with progress("Writing labels", len(photos)) as advance:
        for photo in photos:
            target = join_under(root, locate(names[photo.id]))
            target.parent.mkdir(parents=True, exist_ok=True)
            write(photo, target)
            advance()
    return names


def _refuse_equal(photos: Sequence[Photo], names: Mapping[int, str]) -> None:
    taken: dict[str, str] = {}
    problems = [
        f"{taken[names[photo.id]]!r} and {photo.file_name!r} would both be {names[photo.id]!r}"
        for photo in photos
        if taken.setdefault(names[photo.id], photo.file_name) is not photo.file_name
    ]
    if problems:
        raise InputError(
            "This format has one file per photo, named after it; some names would collide:",
            problems=problems,
            hint="Rename these photos, or choose a format with one file for all.",
        )


def refuse_unprintable(names: Iterable[str], format_name: str) -> None:
    """Raise InputError if names have control characters, which some formats cannot hold."""
    problems = [f"{name!r}" for name in names if not name.isprintable()]
    if problems:
        raise InputError(
            f"{format_name} cannot hold names with control characters:", problems=problems
        )


def list_photos(root: Path) -> dict[str, list[str]]:
    """Return relative path without suffix -> relative paths, for all photos below a folder."""
    found = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and is_file(path):
            name = path.relative_to(root).as_posix()
            found[cut_suffix(name)].append(name)
    return found


def find_files(root: Path, *suffixes: str) -> list[Path]:
    """Return all files below a folder with one of the suffixes, sorted, without hidden ones."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and is_file(path)
    )


def find_single_file(path: Path, suffix: str, usual_name: str = "") -> Path:
    """Return ``path``, or if it is a folder the one file with ``suffix`` below it."""
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

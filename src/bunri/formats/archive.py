"""Safe unpacking of the ZIP files that annotation tools export.

Names may lead elsewhere and contents may be huge, so both are checked before anything is written.
The temporary folder is always removed.
"""

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bunri.core.errors import InputError, OutputError, PathError, summarize
from bunri.core.files import is_file, is_folder, join_under

MAX_ENTRIES = 65_535
MAX_UNPACKED_BYTES = 16 * 2**30
MAX_EXPANSION = 200
"""Ratio of unpacked to packed bytes; labels reach 10 to 20, a ZIP bomb 1,000."""
_FREE_BYTES = 64 * 2**20  # expansion does not matter below this
_CLUTTER = ("__MACOSX", ".DS_Store")


@contextmanager
def open_source(path: Path) -> Iterator[Path]:
    """Yield ``path``, or a temporary folder with the content of a ZIP file; raise BunriErrors."""
    if is_folder(path):
        yield path
        return
    if not is_file(path):
        raise PathError(f"{path} does not exist.")
    try:
        with path.open("rb") as file:
            is_archive = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror}.") from error
    if is_archive:
        with TemporaryDirectory(prefix="bunri-") as name:
            folder = Path(name)
            _unpack(path, folder)
            while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
                folder = inside[0]
            yield folder
    elif path.suffix.lower() == ".zip":
        raise InputError(f"{path} is not a ZIP archive, though its name ends with .zip.")
    else:
        yield path


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive, path)
            targets = _choose_targets(archive, path, folder)
            for target, info in targets.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except OSError as error:
        raise OutputError(f"{path} cannot be unpacked: {error.strerror}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} cannot be unpacked: {summarize(error)}.") from error


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive by the sizes in its index; zipfile never reads more than these."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise InputError(f"{path} has {len(infos)} entries; the limit is {MAX_ENTRIES}.")
    num_bytes = sum(info.file_size for info in infos)
    limit = min(max(_FREE_BYTES, MAX_EXPANSION * path.stat().st_size), MAX_UNPACKED_BYTES)
    if num_bytes > limit:
        raise InputError(
            f"{path} unpacks to {num_bytes} bytes; the limit for its size is {limit}.",
            hint="If you trust the archive, unpack it and give the folder.",
        )


def _choose_targets(
    archive: zipfile.ZipFile, path: Path, folder: Path
) -> dict[Path, zipfile.ZipInfo]:
    """Return target -> entry for all files; refuse names that leave the folder or repeat."""
    targets: dict[Path, zipfile.ZipInfo] = {}
    problems = []
    for info in archive.infolist():
        name = _decode_name(info)
        if info.is_dir() or any(part in _CLUTTER for part in name.split("/")):
            continue
        try:
            if targets.setdefault(join_under(folder, name), info) is not info:
                problems.append(f"{name!r} is in it more than once")
        except PathError as error:
            problems.append(error.message.replace(str(folder), "the archive"))
    if problems:
        raise InputError(f"{path} is not an archive that bunri unpacks:", problems=problems)
    return targets


def _decode_name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name; many tools write UTF-8 without setting its flag."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename

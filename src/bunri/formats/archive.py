"""Safe unpacking of the ZIP files that annotation tools export.

Nothing in an archive is trusted: names may lead elsewhere and headers may state any size. Bytes
are therefore counted as they are unpacked, and the temporary folder is always removed.
"""

import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bunri.core.contracts import MAX_JSON_BYTES
from bunri.core.errors import InputError, OutputError, PathError, summarize
from bunri.core.files import is_file, is_folder, join_under

MAX_ENTRIES = 65_535
MAX_ENTRY_BYTES = MAX_JSON_BYTES
MAX_UNPACKED_BYTES = 16 * 2**30
MAX_EXPANSION = 200
"""Ratio of unpacked to packed bytes; labels reach 10 to 20, a ZIP bomb 1,000."""
_FREE_BYTES = 64 * 2**20  # expansion does not matter below this
_BLOCK_BYTES = 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others cannot be read block by block
_CLUTTER = ("__MACOSX", ".DS_Store")


@contextmanager
def open_source(path: Path) -> Iterator[Path]:
    """Yield ``path`` itself, or a temporary folder with the content of a ZIP file.

    Raises:
        PathError: There is no such file or folder.
        InputError: The archive is damaged, too large, or has entries that are not safe.
        OutputError: The disk is full.
    """
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
    max_bytes = max(_FREE_BYTES, MAX_EXPANSION * path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _choose_entries(archive, path, folder)
            _copy_entries(archive, entries, path, min(max_bytes, MAX_UNPACKED_BYTES))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise InputError(f"{path} is a damaged archive: {summarize(error)}.") from error


def _choose_entries(
    archive: zipfile.ZipFile, path: Path, folder: Path
) -> list[tuple[zipfile.ZipInfo, Path]]:
    """Return the files in an archive with their targets; refuse it if any entry is not safe."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise InputError(f"{path} has {len(infos)} entries; the limit is {MAX_ENTRIES}.")
    entries, problems = [], []
    for info in infos:
        name = _decode_name(info)
        if info.is_dir() or any(part in _CLUTTER for part in name.split("/")):
            continue
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            problems.append(f"{name!r} is a link or device, not a file")
        elif info.flag_bits & 1:
            problems.append(f"{name!r} is encrypted")
        elif info.compress_type not in _METHODS:
            problems.append(f"{name!r} is packed in a way other than deflate")
        else:
            try:
                entries.append((info, join_under(folder, name)))
            except PathError as error:
                problems.append(error.message.replace(str(folder), "the archive"))
    counts = Counter(target for _, target in entries)
    doubles = [str(target.relative_to(folder)) for target, count in counts.items() if count > 1]
    problems += [f"{name!r} is in it more than once" for name in doubles]
    if problems:
        raise InputError(f"{path} is not an archive that bunri unpacks:", problems=problems)
    return entries


def _decode_name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name; many tools write UTF-8 without setting its flag."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _copy_entries(
    archive: zipfile.ZipFile,
    entries: list[tuple[zipfile.ZipInfo, Path]],
    path: Path,
    max_bytes: int,
) -> None:
    num_bytes = 0
    for info, target in entries:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as packed, target.open("wb") as file:
                while block := packed.read(_BLOCK_BYTES):
                    num_bytes += len(block)
                    file.write(block)
                    if num_bytes > max_bytes:
                        raise _refuse_size(path, "all", max_bytes)
                    if file.tell() > MAX_ENTRY_BYTES:
                        raise _refuse_size(path, repr(info.filename), MAX_ENTRY_BYTES)
        except OSError as error:
            raise OutputError(f"{info.filename!r} cannot be unpacked: {error.strerror}.") from error


def _refuse_size(path: Path, what: str, limit: int) -> InputError:
    return InputError(
        f"{path} unpacks to too much: {what} has more than {limit} bytes.",
        hint="If you trust the archive, unpack it and give the folder.",
    )

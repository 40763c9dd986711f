"""What annotation tools export as a ZIP, unpacked where it can do no harm.

Owns what an archive may hold and how large it may become. Knows no label format.

Nothing in an archive is trusted: names may lead elsewhere, headers may state any size. Sizes
are therefore counted while bytes come out, and the folder they go to is always removed.
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
"""Also the most that an archive without the 64-bit extension can hold."""
MAX_INDEX_BYTES = 64 * 2**20
MAX_ENTRY_BYTES = MAX_JSON_BYTES
MAX_UNPACKED_BYTES = 16 * 2**30
MAX_EXPANSION = 200
"""Labels shrink to a tenth or twentieth; a bomb to a thousandth."""
_FREE_BYTES = 64 * 2**20  # below this, expansion does not matter
_BLOCK_BYTES = 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others cannot be read block by block
_CLUTTER = ("__MACOSX", ".DS_Store")


@contextmanager
def open_source(path: Path) -> Iterator[Path]:
    """Give ``path`` itself, or the folder with the content of a ZIP; removed afterwards.

    Raises:
        PathError: There is no such file or folder.
        InputError: An archive that is damaged, too large, or not what it should be.
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
        with TemporaryDirectory(prefix="bunri-") as folder:
            _unpack(path, Path(folder))
            yield _skip_single_folders(Path(folder))
    elif path.suffix.lower() == ".zip":
        raise InputError(f"{path} is not a ZIP archive, though its name ends with .zip.")
    else:
        yield path


def _skip_single_folders(folder: Path) -> Path:
    """Return the first folder below which there is more than one folder alone."""
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        folder = inside[0]
    return folder


def _unpack(path: Path, folder: Path) -> None:
    _check_index(path)
    max_bytes = max(_FREE_BYTES, MAX_EXPANSION * path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _choose_entries(archive, path, folder)
            _copy_entries(archive, entries, path, min(max_bytes, MAX_UNPACKED_BYTES))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise InputError(f"{path} is a damaged archive: {summarize(error)}.") from error


def _check_index(path: Path) -> None:
    """Refuse an index too large to be read at once."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2**16 - 22))  # the last record, with the longest possible comment
        tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    index_bytes = int.from_bytes(tail[place + 12 : place + 16], "little")
    is_extended = tail[max(0, place - 20) : place].startswith(b"PK\x06\x07")
    if place >= 0 and (is_extended or index_bytes > MAX_INDEX_BYTES):
        raise InputError(
            f"{path} is an archive of more than {MAX_ENTRIES} files or 4 GiB.",
            hint="Unpack it and give the folder.",
        )


def _choose_entries(
    archive: zipfile.ZipFile, path: Path, folder: Path
) -> list[tuple[zipfile.ZipInfo, Path]]:
    """Return the files in an archive and where they go; refuse it if any entry is odd."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise InputError(f"{path} has {len(infos)} entries; the limit is {MAX_ENTRIES}.")
    entries, problems = [], []
    for info in infos:
        name = _decode_name(info)
        if info.is_dir() or any(part in _CLUTTER for part in name.split("/")):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
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
    problems += [f"{name!r} is there more than once" for name in doubles]
    if problems:
        raise InputError(f"{path} is not an archive that bunri unpacks:", problems=problems)
    return entries


def _decode_name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name; many tools write UTF-8 without saying so."""
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
    left_bytes = max_bytes
    for info, target in entries:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as packed, target.open("wb") as file:
                left_here_bytes = MAX_ENTRY_BYTES
                while block := packed.read(_BLOCK_BYTES):
                    left_bytes -= len(block)
                    left_here_bytes -= len(block)
                    if left_here_bytes < 0 or left_bytes < 0:
                        what = repr(info.filename) if left_here_bytes < 0 else "all"
                        limit = MAX_ENTRY_BYTES if left_here_bytes < 0 else max_bytes
                        raise InputError(
                            f"{path} unpacks to too much: {what} has more than {limit} bytes.",
                            hint="If it is no trap, unpack it and give the folder.",
                        )
                    file.write(block)
        except OSError as error:
            raise OutputError(f"{info.filename!r} cannot be unpacked: {error.strerror}.") from error

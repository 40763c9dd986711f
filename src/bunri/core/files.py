"""Atomic writes, locks on folders, and paths that stay under their root."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from bunri.core.errors import OutputError, PathError, RunError, summarize

_DRIVE = re.compile(r"^[A-Za-z]:")
_PARTIAL = ".partial-"  # begins the name of every file that is still being written


@contextmanager
def replace_atomically(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``.

    The content is flushed to the disk before the rename, so that after a crash there is
    either the old file or the new one, whole. On any error the old file stays as it was.

    Args:
        path: The file to write; missing folders are created.
        durable: Flush to the disk. Without it writing is faster and a power cut may leave a
            damaged file, which suits caches whose readers notice.

    Raises:
        OutputError: The disk is full, the folder cannot be written, or the like.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _create_partial(path)
        yield temporary
        if durable:
            _flush_to_disk(temporary)
        temporary.replace(path)
        if durable:
            _flush_to_disk(path.parent)
    except OSError as error:
        raise OutputError(_explain_os_error(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise an error if a file cannot be written, before work is spent on it; changes nothing.

    Raises:
        OutputError: A folder has this name, or its parent folder cannot be written.
    """
    folder = next(p for p in path.absolute().parents if os.path.lexists(p))
    reason = None
    if is_folder(path):
        reason = errno.EISDIR
    elif not is_folder(folder):
        reason = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        reason = errno.EACCES
    if reason is not None:
        error = OSError(reason, os.strerror(reason))
        raise OutputError(_explain_os_error(path, error))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        OutputError: It cannot be written; the old file is intact.
    """
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically; see :func:`write_bytes`."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Write a JSON file atomically, indented, Korean readable; NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is not UTF-8 holds lone surrogates; these become JSON's own \uXXXX.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it replaces ``path``.

    A folder cannot be replaced in one step: a process killed between the two renames leaves
    nothing at ``path``, and the next call puts the old folder back.

    Raises:
        OutputError: It cannot be written; the old folder is intact.
    """
    temporary = path.with_name(f".{path.name}.new")
    retired = path.with_name(f".{path.name}.old")
    try:
        _settle_folder(path, temporary, retired)  # what a killed process left behind
        if path.is_file():
            raise NotADirectoryError(errno.ENOTDIR, "a file has this name", str(path))
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.replace(retired)
        temporary.replace(path)
        _flush_to_disk(path.parent)
    except OSError as error:
        raise OutputError(_explain_os_error(path, error)) from error
    finally:
        _settle_folder(path, temporary, retired)


def _settle_folder(path: Path, temporary: Path, retired: Path) -> None:
    """Keep one whole folder at ``path``: put the old one back if the new one did not arrive."""
    if retired.exists() and not path.exists():
        retired.replace(path)
    shutil.rmtree(temporary, ignore_errors=True)
    if retired.is_symlink():
        retired.unlink()  # what it pointed to is not ours
    shutil.rmtree(retired, ignore_errors=True)


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _create_partial(path: Path) -> Path:
    """Create an empty file beside ``path`` under a name of its own.

    The permissions are those of any new file: the system applies the umask, which a process can
    only read by setting it, and that would be seen by all of its threads.
    """
    # The suffix stays last: Pillow and numpy choose the format by it.
    name = f"{_PARTIAL}{path.stem[:40]}-{secrets.token_hex(8)}{path.suffix}"
    partial = path.with_name(name)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return partial


def _explain_os_error(path: Path, error: OSError) -> str:
    reasons = {
        errno.EEXIST: "a file is where a folder is needed; choose another folder",
        errno.ENOSPC: "the disk is full; free some space and run the command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
        errno.EACCES: "no permission; choose another folder",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.EISDIR: "a folder has this name; choose another name",
        errno.ENOTDIR: "a file is where a folder is needed; choose another folder",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return f"Cannot write {path}: {reason}. Nothing was changed."


def join_under(root: Path, relative: str) -> Path:
    """Return ``root / relative`` for a path from a data file, which must stay under ``root``.

    Backslashes count as slashes, since annotations made on Windows carry them.

    Args:
        root: The folder that paths must stay under.
        relative: A relative path from a data file; need not exist.

    Raises:
        PathError: The path is empty, absolute, has a drive, ``..`` or a NUL, or leads
            outside of ``root`` through a symbolic link.
    """
    slashed = relative.replace("\\", "/")
    parts = PurePosixPath(slashed).parts
    if not parts or "\0" in slashed:
        raise PathError(f"{relative!r} is not a file path.")
    if slashed.startswith("/") or _DRIVE.match(slashed):
        raise PathError(f"{relative!r} is absolute; paths must be relative to {root}.")
    if ".." in parts:
        raise PathError(f"{relative!r} contains '..'; paths must stay under {root}.")
    path = root.joinpath(*parts)
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        # A name too long, one that no file system can store, or a loop of links.
        raise PathError(f"{relative!r} cannot be followed: {summarize(error)}.") from error
    if not inside:
        raise PathError(f"{relative!r} leads out of {root} through a symbolic link.")
    return path


def is_file(path: Path) -> bool:
    """Return whether a file exists; False also for a path that no file can have.

    ``Path.is_file`` raises for a name that is too long or a folder that may not be entered.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Return whether a folder exists; see :func:`is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for one process; the lock dies with the process.

    Half-written files of killed processes are removed, because the holder of the lock is the
    only writer.

    Raises:
        RunError: Another process holds it.
        OutputError: The folder cannot be made or written.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(
            f"{folder} is in use by another bunri process.",
            hint="Wait for it to end, or choose another folder.",
        ) from error
    except OSError as error:
        raise OutputError(_explain_os_error(folder, error)) from error
    try:
        for leftover in folder.rglob(f"{_PARTIAL}*"):
            with suppress(OSError):
                leftover.unlink()
        yield
    finally:
        lock.release()


def measure_peak_memory_bytes() -> int | None:
    """Return the peak memory of this process in bytes; None where the system has no figure."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def find_cache_folder() -> Path:
    """Return the folder for derived files: ``$BUNRI_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("BUNRI_CACHE")
    return Path(chosen) if chosen else user_cache_path("bunri")

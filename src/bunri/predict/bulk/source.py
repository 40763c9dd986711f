"""Photos of a bulk prediction: from a folder, a list file, or a Parquet of URIs."""

import hashlib
import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.contracts import MAX_PHOTO_BYTES, ImageArray
from bunri.core.errors import ImageError, InputError, MissingExtraError, PathError, summarize
from bunri.core.files import is_file, is_folder
from bunri.images.photos import decode_photo, read_photo
from bunri.predict.outputs import find_photos

URI_COLUMNS = ("uri", "path", "photo")
"""Columns of a Parquet that may hold its photos; the first one present is used."""


@dataclass(frozen=True, slots=True)
class BulkPhoto:
    """One photo to predict.

    Attributes:
        uri: Absolute path, or URI such as ``s3://bucket/a.jpg``, as in the results.
        mask_name: Name of its mask below ``masks``, without a suffix.
    """

    uri: str
    mask_name: str


def find_bulk_photos(source: Path, output_folder: Path) -> list[BulkPhoto]:
    """Return the photos that SOURCE stands for, in a fixed order.

    A folder is searched through all its levels, and masks keep their paths. A list file (``.txt``)
    holds one path or URI per line, a Parquet (``.parquet``) one per row; their masks are named by
    a hash of it, spread over 256 folders.
    """
    if is_folder(source):
        tasks = find_photos([source], output_folder)
        return [BulkPhoto(str(task.photo.absolute()), task.name) for task in tasks]
    if not is_file(source):
        raise PathError(f"{source} does not exist.")
    readers = {".txt": _read_list, ".parquet": _read_parquet}
    read = readers.get(source.suffix.lower())
    if read is None:
        raise InputError(
            f"{source} is no folder, no list of photos (.txt) and no Parquet (.parquet).",
            hint="For single photos leave out --engine ray.",
        )
    # The list is the user's own, as arguments are, so its paths may lead anywhere.
    folder = source.absolute().parent
    uris = [text if "://" in text else str(folder / text) for text in read(source)]
    if not uris:
        raise PathError(f"{source} lists no photo.")
    doubles = sorted(uri for uri, count in Counter(uris).items() if count > 1)
    if doubles:
        raise InputError(
            f"{source} lists photos more than once:", problems=[repr(uri) for uri in doubles]
        )
    digests = [hashlib.sha256(uri.encode("utf-8", "surrogateescape")).hexdigest() for uri in uris]
    return [BulkPhoto(uri, f"{d[:2]}/{d[:32]}") for uri, d in zip(uris, digests, strict=True)]


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {summarize(error)}.") from error
    return [line.strip() for line in lines if line.strip()]


def _read_parquet(path: Path) -> list[str]:
    parquet = import_extra("pyarrow.parquet")
    arrow = import_extra("pyarrow")
    try:
        columns = parquet.read_schema(path).names
        column = next((name for name in URI_COLUMNS if name in columns), None)
        if column is None:
            raise InputError(
                f"{path} has none of the columns {', '.join(URI_COLUMNS)}; "
                f"it has {', '.join(map(repr, columns))}."
            )
        values: Sequence[Any] = parquet.read_table(path, columns=[column])[column].to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet: {summarize(error)}.") from error
    wrong = [row for row, value in enumerate(values) if not isinstance(value, str) or not value]
    if wrong:
        raise InputError(
            f"{path}: column {column!r} must hold text in each row; row {wrong[0]} holds "
            f"{values[wrong[0]]!r}, and {len(wrong)} row(s) in all are wrong."
        )
    return list(values)


def read_uri(uri: str) -> ImageArray:
    """Decode a photo from a path, or from a URI of any file system that pyarrow knows.

    Returns:
        uint8 (H, W, 3) RGB, upright.
    """
    if "://" not in uri:
        return read_photo(Path(uri))
    arrow, files = import_extra("pyarrow"), import_extra("pyarrow.fs")
    try:
        system, path = files.FileSystem.from_uri(uri)
        with system.open_input_stream(path) as stream:
            content: bytes = stream.read(MAX_PHOTO_BYTES + 1)
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise ImageError(f"{uri} cannot be read: {summarize(error)}.") from error
    if len(content) > MAX_PHOTO_BYTES:
        raise ImageError(f"{uri} has more than {MAX_PHOTO_BYTES} bytes.")
    return decode_photo(content, name=uri)


def import_extra(module: str) -> Any:  # noqa: ANN401 (a module without types)
    """Return a module that the extra ``[ray]`` installs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"Bulk prediction needs {module.partition('.')[0]}, which is not installed.",
            hint='Install it with: pip install "bunri[ray]"',
        ) from error

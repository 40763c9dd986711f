"""submission.csv as a stream of rows: written whole or not at all, read in flat memory."""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from bunri.core.contracts import MaskArray
from bunri.core.errors import OutputError, PathError, SubmissionError
from bunri.core.files import replace_atomically
from bunri.submission.format import (
    HEADER,
    MAX_ID_BYTES,
    NUM_PIXELS,
    QUOTED_FIELD,
    Fault,
    encode_row,
    is_text,
    parse_row,
    show,
)

MAX_LINE_BYTES = 2**20
"""A valid row has at most 267 kB: an id and 65,536 values of three digits and a space."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DATA_ROW = re.compile(rb"(?:%b|[^,]*),\d+ \d" % QUOTED_FIELD.pattern)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the file; ``cut`` is the end of what can be read. The mask is uint8 (256, 256)."""

    number: int
    kind: Literal["header", "data", "blank", "cut"]
    faults: Sequence[Fault] = ()
    image_id: str | None = None
    mask: MaskArray | None = None


def write_submission(
    path: Path, rows: Iterable[tuple[str, MaskArray]], num_classes: int = 12
) -> int:
    """Write a submission.csv, whole or not at all, and return the number of rows.

    Masks are uint8 (256, 256), see :func:`shrink_mask`, and only one is in memory. A name that ends
    in ``.gz`` is packed; the same rows give the same bytes either way. Raises SubmissionError if a
    mask or id does not fit, OutputError, and exceptions of ``rows`` unchanged.
    """
    seen: set[str] = set()
    failures: list[OSError] = []

    def carry() -> Iterator[tuple[str, MaskArray]]:
        try:
            yield from rows
        except OSError as error:
            failures.append(error)
            raise

    try:
        with replace_atomically(path) as temporary, _open_output(temporary, path) as file:
            file.write(f"{HEADER}\n".encode())
            for row, (image_id, mask) in enumerate(carry(), start=1):
                file.write(encode_row(image_id, mask, row, num_classes))
                if image_id in seen:
                    message = f"{show(image_id)} came before; each photo has one row."
                    raise SubmissionError(str(Fault(row, "image_id", message)))
                seen.add(image_id)
            if not seen:
                raise SubmissionError(f"There are no rows to write to {path}.")
    except OutputError as error:
        if error.__cause__ not in failures:
            raise
    else:
        return len(seen)
    raise failures[0]  # not the fault of the file that is written


@contextmanager
def _open_output(temporary: Path, path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with temporary.open("wb") as raw:
        if not _is_packed(path):
            yield raw
            return
        # Neither a name nor a time goes into the file: the same rows, the same bytes.
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
            yield packed


def read_submission(path: Path, num_classes: int = 12) -> Iterator[tuple[str, MaskArray]]:
    """Yield id and mask, uint8 (256, 256), of each row; raise SubmissionError at a fault."""
    for row in scan_rows(path, num_classes):
        if row.faults:
            raise SubmissionError(
                f"{path}: {row.faults[0]}.", hint="bunri check-submission lists all faults at once."
            )
        if row.image_id is not None and row.mask is not None:
            yield row.image_id, row.mask


def scan_rows(path: Path, num_classes: int) -> Iterator[Row]:
    """Yield the rows with all faults, the header as row 0; raise PathError if reading fails."""
    with _open_input(path) as file:
        scanner = _Scanner(file, num_classes)
        try:
            yield from scanner.scan()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            message = f"the gzip data end early or are damaged ({error}); copy the file again"
            yield scanner.cut(message)
        except OSError as error:
            raise PathError(f"Cannot read {path}: {error.strerror or error}.") from error


class _Scanner:
    """Walks the lines of one file; ``number`` is the row that comes next."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, num_classes: int) -> None:
        self._file = file
        self._num_classes = num_classes
        self._row_of_id: dict[str, int] = {}
        self._has_reported_line_end = False
        self.number = 0

    def scan(self) -> Iterator[Row]:
        line = _read_record(self._file)
        header = self._scan_header(line)
        yield header
        if header.kind == "cut":
            return
        self.number = 1
        if not _DATA_ROW.match(line):
            line = _read_record(self._file)
        while line:
            yield self._scan_line(line)
            line = _read_record(self._file)
        if self.number == 1:
            yield self.cut("there are no rows after the header; the rule is one row per photo")

    def cut(self, message: str) -> Row:
        fault = Fault(self.number, "image_id" if self.number else "header", message)
        return Row(self.number, "cut", [fault])

    def _scan_header(self, line: bytes) -> Row:
        if not line:
            return self.cut(f"the file is empty; the rule is the header {HEADER} and the rows")
        if line.startswith(b"\x1f\x8b"):
            return self.cut("the file is gzip data; its name must end in .gz")
        if len(line) >= MAX_LINE_BYTES or not is_text(line):
            return self.cut(f"{show(line)} is not UTF-8 text in lines; this is no CSV file")
        if _DATA_ROW.match(line):
            message = f"there is none; the rule is that the file starts with {HEADER}"
            return Row(0, "header", [Fault(0, "header", message)])
        body, faults = self._take_line_end(line, 0, "header")
        if body.startswith(_BYTE_ORDER_MARK):
            body = body.removeprefix(_BYTE_ORDER_MARK)
            message = "the file starts with a byte order mark; save it as UTF-8 without BOM"
            faults.append(Fault(0, "header", message))
        if body != HEADER.encode():
            message = f"it is {show(body)}; the rule is {HEADER}"
            faults.append(Fault(0, "header", message))
        return Row(0, "header", faults)

    def _scan_line(self, line: bytes) -> Row:
        number = self.number
        if line.isspace():
            message = "there is a blank line before this row; take it out"
            return Row(number, "blank", [Fault(number, "image_id", message)])
        self.number += 1
        if len(line) >= MAX_LINE_BYTES:
            message = f"the line has {MAX_LINE_BYTES:,} bytes or more; a right one is far shorter"
            return Row(number, "data", [Fault(number, "PredictionString", message)])
        body, faults = self._take_line_end(line, number, "PredictionString")
        image_id, mask, more = parse_row(body, number, self._num_classes)
        faults += more
        if image_id is not None:
            earlier = self._row_of_id.get(image_id)
            if earlier is not None:
                message = f"{show(image_id)} stands in row {earlier:,} already"
                faults.append(Fault(number, "image_id", message))
            elif len(body) > NUM_PIXELS:
                # A shorter line holds no mask; leaving it out keeps memory small for any file.
                self._row_of_id[image_id] = number
        return Row(number, "data", faults, image_id, mask)

    def _take_line_end(
        self, line: bytes, row: int, column: Literal["header", "PredictionString"]
    ) -> tuple[bytes, list[Fault]]:
        if not line.endswith(b"\r\n"):
            return line.removesuffix(b"\n"), []
        if self._has_reported_line_end:
            return line[:-2], []
        self._has_reported_line_end = True
        message = r"the line ends in \r\n, as on Windows; save the file with \n line ends"
        return line[:-2], [Fault(row, column, message)]


def _read_record(file: IO[bytes] | gzip.GzipFile) -> bytes:
    """Return the next row with its line end, at most MAX_LINE_BYTES of each line; b"" at the end.

    An id in quotes may hold line feeds, so that a row may span lines.
    """
    line = part = file.readline(MAX_LINE_BYTES)
    while (
        line.startswith(b'"')
        and len(line) <= MAX_ID_BYTES
        and part.endswith(b"\n")
        and QUOTED_FIELD.match(line) is None
    ):
        part = file.readline(MAX_LINE_BYTES)
        line += part
    while len(line) >= MAX_LINE_BYTES and part and not part.endswith(b"\n"):
        part = file.readline(MAX_LINE_BYTES)
    return line


def _open_input(path: Path) -> IO[bytes] | gzip.GzipFile:
    try:
        return gzip.open(path) if _is_packed(path) else path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise PathError(f"Cannot open {path}: {getattr(error, 'strerror', error)}.") from error


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"

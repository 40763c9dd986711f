"""Every fault of a submission.csv at once, and whether it has the right photos in order.

Owns the comparison with the expected ids and the counting. Knows nothing of bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bunri.submission.format import Fault, show
from bunri.submission.stream import Row, scan_rows


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """What was found in a submission.csv.

    Attributes:
        num_rows: Data rows in the file; the header and blank lines are none.
        faults: The first faults: row by row, then the order of the ids, then missing ids.
        num_faults: All faults found, those not in ``faults`` included.
    """

    num_rows: int
    faults: tuple[Fault, ...]
    num_faults: int

    @property
    def ok(self) -> bool:
        """Whether the file can be handed in."""
        return self.num_faults == 0


def check_submission(
    path: Path, expected_ids: Sequence[str] | None, num_classes: int = 12, max_faults: int = 10
) -> SubmissionCheck:
    """Find what is wrong with a submission.csv, plain or packed (``.gz``).

    All rows are read, whatever is found, in memory that does not grow with them. A row gives
    at most one fault for its id, and of spaces, values and number of pixels one each, the
    first. Windows line ends are a fault, told once: the notebook wrote line feeds. Rows in
    another order are one fault, at the first row out of place. Where the file breaks off
    (no text, damaged gzip data, no rows) ids that are missing are not listed.

    Args:
        path: The file.
        expected_ids: Every ``file_name`` of test.json in order, or None to leave out this part.
        num_classes: Classes of the table, background included; at most 255.
        max_faults: How many faults to keep; all are counted.

    Raises:
        PathError: The file cannot be opened or read. No content ever raises.
    """
    log = _FaultLog(max_faults)
    comparison = None if expected_ids is None else _IdComparison(expected_ids)
    num_rows = 0
    is_whole = True
    for row in scan_rows(path, num_classes):
        log.add(row.faults)
        is_whole = row.kind != "cut"
        if row.kind != "data":
            continue
        num_rows += 1
        if comparison is not None:
            log.add(comparison.add_row(row))
    if comparison is not None and is_whole:
        log.add(comparison.finish())
    return SubmissionCheck(num_rows, tuple(log.shown), log.count)


class _FaultLog:
    """Keeps the first faults and counts them all."""

    def __init__(self, max_shown: int) -> None:
        self._max_shown = max_shown
        self.shown: list[Fault] = []
        self.count = 0

    def add(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self.count += 1
            if len(self.shown) < self._max_shown:
                self.shown.append(fault)


class _IdComparison:
    """Compares the ids of the rows, as they come, with those expected."""

    def __init__(self, expected_ids: Sequence[str]) -> None:
        self._expected = expected_ids
        self._index_of = {image_id: index for index, image_id in enumerate(expected_ids)}
        self._row_of_index: dict[int, int] = {}
        self._unnamed_rows: set[int] = set()

    def add_row(self, row: Row) -> Iterator[Fault]:
        """Note one row; give a fault if its id is not expected."""
        index = None if row.image_id is None else self._index_of.get(row.image_id)
        if index is not None:
            self._row_of_index.setdefault(index, row.number)
            return
        is_inside = row.number <= len(self._expected)
        if is_inside:
            self._unnamed_rows.add(row.number)
        if row.image_id is not None:
            message = f"{show(row.image_id)} is none of the {len(self._expected):,} expected ids"
            if is_inside:
                message += f"; this row is for {show(self._expected[row.number - 1])}"
            yield Fault(row.number, "image_id", None, message)

    def finish(self) -> Iterator[Fault]:
        """Give the faults that only the whole file shows."""
        found = list(self._row_of_index)
        moved = [pair for pair in zip(found, sorted(found), strict=True) if pair[0] != pair[1]]
        if moved:
            here, due = moved[0]
            message = (
                f"{show(self._expected[here])} stands where {show(self._expected[due])} belongs; "
                f"the rule is the order of test.json, and {len(moved):,} rows are out of place"
            )
            yield Fault(self._row_of_index[here], "image_id", None, message)
        for index, image_id in enumerate(self._expected):
            # An unknown or unreadable id in this row has its own fault already.
            if self._index_of[image_id] not in self._row_of_index and (
                index + 1 not in self._unnamed_rows
            ):
                yield Fault(index + 1, "image_id", None, f"{show(image_id)} has no row")

"""All faults of a submission.csv, and the comparison of its ids with those of test.json."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bunri.submission.format import Fault, show
from bunri.submission.stream import Row, scan_rows


@dataclass(frozen=True, slots=True)
class SubmissionCheck:
    """Result of :func:`check_submission`."""

    num_rows: int
    """Number of data rows, without the header and blank lines."""
    faults: tuple[Fault, ...]
    """First faults: row by row, then the order of the ids, then missing ids."""
    num_faults: int
    """Number of faults, those not in ``faults`` included."""

    @property
    def ok(self) -> bool:
        """Return whether the file has no fault."""
        return self.num_faults == 0


def check_submission(
    path: Path, expected_ids: Sequence[str] | None, num_classes: int = 12, max_faults: int = 10
) -> SubmissionCheck:
    """Check a submission.csv, plain or packed (``.gz``), and return its faults.

    All rows are read in memory that does not grow with them. A row has at most one fault of its
    id, and one each of spaces, values and number of pixels. Windows line ends are one fault of
    the whole file. Rows in another order are one fault, at the first row out of place. Missing
    ids are not listed if the file breaks off (no text, damaged gzip data, no rows). Without
    ``expected_ids``, every ``file_name`` of test.json in order, ids are not checked.

    Raises PathError if the file cannot be opened or read. No content of a file raises.
    """
    comparison = None if expected_ids is None else _IdComparison(expected_ids)
    num_rows = num_faults = 0
    shown: list[Fault] = []

    def add(faults: Sequence[Fault]) -> None:
        nonlocal num_faults
        num_faults += len(faults)
        shown.extend(faults[: max_faults - len(shown)])

    is_whole = True
    for row in scan_rows(path, num_classes):
        add(row.faults)
        is_whole = row.kind != "cut"
        if row.kind == "data":
            num_rows += 1
            if comparison is not None:
                add(list(comparison.add_row(row)))
    if comparison is not None and is_whole:
        add(list(comparison.finish()))
    return SubmissionCheck(num_rows, tuple(shown), num_faults)


class _IdComparison:
    """Compares the ids of the rows, as they come, with those expected."""

    def __init__(self, expected_ids: Sequence[str]) -> None:
        self._expected = expected_ids
        self._index_of = {image_id: index for index, image_id in enumerate(expected_ids)}
        self._row_of_index: dict[int, int] = {}
        self._unnamed_rows: set[int] = set()

    def add_row(self, row: Row) -> Iterator[Fault]:
        """Count one row; yield a fault if its id is not expected."""
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
            yield Fault(row.number, "image_id", message)

    def finish(self) -> Iterator[Fault]:
        """Yield the faults of the order and of missing ids."""
        found = list(self._row_of_index)
        moved = [pair for pair in zip(found, sorted(found), strict=True) if pair[0] != pair[1]]
        if moved:
            here, due = moved[0]
            message = (
                f"{show(self._expected[here])} stands where {show(self._expected[due])} belongs; "
                f"the rule is the order of test.json, and {len(moved):,} rows are out of place"
            )
            yield Fault(self._row_of_index[here], "image_id", message)
        for index, image_id in enumerate(self._expected):
            # An unknown or unreadable id in this row has its own fault already.
            if self._index_of[image_id] not in self._row_of_index and (
                index + 1 not in self._unnamed_rows
            ):
                yield Fault(index + 1, "image_id", f"{show(image_id)} has no row")

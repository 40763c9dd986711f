"""Record of one change by a repair, for the log beside the repaired file."""

from dataclasses import dataclass
from typing import Self

from bunri.labels.document import dump_json


@dataclass(frozen=True, slots=True)
class Change:
    """One change by a repair.

    Attributes:
        check: Name of the check that failed.
        where: List and position in the *original* file.
        action: Description of the change.
        before: Old value as JSON, cut to 200 characters.
        after: New value, likewise.
    """

    check: str
    where: str
    action: str
    before: str = ""
    after: str = ""

    @classmethod
    def describe(cls, check: str, row: tuple[str, int], action: str, *values: object) -> Self:
        """Return the change of a row; ``values`` are the old and the new one, or none."""
        return cls(check, f"{row[0]}[{row[1]}]", action, *map(_show, values))


def _show(value: object) -> str:
    text = dump_json(value)
    return text if len(text) <= 200 else f"{text[:197]}..."

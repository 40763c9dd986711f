"""What a repair did: one record per change, for the log beside the repaired file.

Owns the record. Knows nothing of the repairs themselves.
"""

from dataclasses import asdict, dataclass
from typing import Self

from bunri.labels.document import dump_json

_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a repair did.

    Attributes:
        check: The finding behind it.
        where: List and position in the *original* file.
        action: What was done.
        before: The value as it was, as JSON, cut to 200 characters.
        after: The value as it is now.
    """

    check: str
    where: str
    action: str
    before: str = ""
    after: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the change as plain values."""
        return asdict(self)

    @classmethod
    def describe(cls, check: str, row: tuple[str, int], action: str, *values: object) -> Self:
        """Return the change of a row; ``values`` are the old and the new one, if worth saying."""
        return cls(check, f"{row[0]}[{row[1]}]", action, *map(_show, values))


def _show(value: object) -> str:
    text = dump_json(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."

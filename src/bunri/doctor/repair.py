"""A repaired copy of a COCO file, and the log beside it.

Owns the rounds of repair. What is done about each finding stands in :mod:`bunri.doctor.surgery`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.files import write_text
from bunri.doctor.changes import Change
from bunri.doctor.doctor import CocoFile, Doctor
from bunri.doctor.findings import Diagnosis
from bunri.doctor.surgery import repair_document
from bunri.labels.document import dump_json, write_document

_MAX_ROUNDS = 4
"""One fault can hide another, that can hide a third; each round takes a layer off."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A repaired copy on disk.

    Attributes:
        path: The copy.
        log: One JSON line per change.
        changes: The same.
        left: What is still found in the copy.
    """

    path: Path
    log: Path
    changes: tuple[Change, ...]
    left: Diagnosis

    def to_json(self) -> dict[str, Any]:
        """Return the repair as plain values."""
        return {
            "file": str(self.path),
            "log": str(self.log),
            "num_changes": len(self.changes),
            "left": self.left.to_json(),
        }


def repair_file(
    doctor: Doctor, file: CocoFile, diagnosis: Diagnosis, against: CocoFile | None, path: Path
) -> Repair:
    """Write a repaired copy and its log; look at it again, since one fault can hide another.

    Args:
        doctor: Who made the diagnosis.
        file: What was looked at.
        diagnosis: What was found.
        against: The other split of the diagnosis.
        path: Where the copy shall be.

    Raises:
        OutputError: It cannot be written.
    """
    changes: list[Change] = []
    for _ in range(_MAX_ROUNDS):
        document, made = repair_document(file, diagnosis)
        if not made:
            break
        changes += made
        file = CocoFile(document, file.path, file.image_root)
        diagnosis = doctor.examine(file, against)
    log = path.with_name(f"{path.stem}.changes.jsonl")
    write_text(log, "".join(f"{dump_json(c.to_json())}\n" for c in changes))
    write_document(path, file.document)
    return Repair(path, log, tuple(changes), diagnosis)

"""Check of a data set: ``check_dataset`` examines a COCO file and can write a repaired copy."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError
from bunri.core.files import is_file, write_text
from bunri.core.progress import Progress, show_nothing
from bunri.doctor.category_repairs import Change
from bunri.doctor.examination import CocoFile, Depth, Doctor, read_coco_file
from bunri.doctor.findings import Diagnosis
from bunri.doctor.model_checks import ProbsModel
from bunri.doctor.surgery import repair_document
from bunri.labels.document import dump_json, write_document

_MAX_ROUNDS = 4
"""One fault can hide another, which can hide a third; each round removes a layer."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A repaired copy of a file.

    Attributes:
        log: File with one JSON line per change.
        left: Diagnosis of the copy.
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


@dataclass(frozen=True, slots=True)
class CheckedDataset:
    """Result of :func:`check_dataset`: the file's diagnosis, and the repair if there was one."""

    diagnosis: Diagnosis
    repair: Repair | None

    @property
    def has_errors(self) -> bool:
        """Whether the repaired copy, or without a repair the file, has faults that stop bunri."""
        return (self.repair.left if self.repair else self.diagnosis).has_errors


def check_dataset(
    data: Path,
    images: Path | None = None,
    *,
    against: Path | None = None,
    against_images: Path | None = None,
    depth: Depth = "pixels",
    model: ProbsModel | None = None,
    fix: Path | None = None,
    progress: Progress = show_nothing,
) -> CheckedDataset:
    """Check a COCO file and its photos: labels, photos, copies, leaks between splits.

    Args:
        data: COCO file; it is never changed.
        images: Folder of its photos; by default that of the file.
        against: COCO file of another split, which should share no photo.
        against_images: Folder of the photos of ``against``; by default that of the file.
        depth: "json" reads the JSON only, "headers" also the photos' first bytes, "pixels"
            decodes every photo, which is needed to find copies and leaks.
        model: Model to search for suspicious labels with; needs ``depth`` "pixels".
        fix: Path of a repaired copy to write; a log with one JSON line per change is written
            beside it, as ``<name>.changes.jsonl``.
        progress: Progress display.

    Raises:
        InputError, OutputError: The files or the options cannot be used.
    """
    if fix is not None and (fix.resolve() == data.resolve() or is_file(fix)):
        raise InputError(
            f"--fix: {fix} exists; nothing is overwritten.",
            hint="Give the repaired copy a new name.",
        )
    if model is not None and depth != "pixels":
        raise InputError("--model needs decoded photos; leave out --no-decode and --no-photos.")
    doctor = Doctor(depth, progress, model)
    file = read_coco_file(data, images)
    other = None if against is None else read_coco_file(against, against_images)
    diagnosis = doctor.examine(file, other)
    repair = None if fix is None else repair_file(doctor, file, diagnosis, other, fix)
    return CheckedDataset(diagnosis, repair)


def repair_file(
    doctor: Doctor, file: CocoFile, diagnosis: Diagnosis, against: CocoFile | None, path: Path
) -> Repair:
    """Write a repaired copy of an examined file to ``path``, and its log; examine the copy."""
    changes: list[Change] = []
    for _ in range(_MAX_ROUNDS):
        document, made = repair_document(file, diagnosis)
        if not made:
            break
        changes += made
        file = CocoFile(document, file.path, file.image_root)
        diagnosis = doctor.examine(file, against)
    log = path.with_name(f"{path.stem}.changes.jsonl")
    write_text(log, "".join(f"{dump_json(asdict(c))}\n" for c in changes))
    write_document(path, file.document)
    return Repair(path, log, tuple(changes), diagnosis)

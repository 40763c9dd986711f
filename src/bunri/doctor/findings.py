"""What the doctor has found, in the order of its checks.

Owns the record of findings. Knows nothing of how they are found or shown.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from bunri.doctor.checks import CHECK_OF, CHECKS, Check, Need


@dataclass(frozen=True, slots=True)
class Example:
    """One place where a fault is.

    Attributes:
        note: What exactly, with the value.
        file: File name of the photo, where one is concerned.
        photo_id: Its id in the JSON.
        annotation_id: Id of the object.
        row: Name of the JSON's list and position in it; None for a fault of the whole file.
        other_file: The second photo, of a fault that takes two.
    """

    note: str
    file: str = ""
    photo_id: int | None = None
    annotation_id: int | None = None
    row: tuple[str, int] | None = None
    other_file: str = ""

    def __str__(self) -> str:
        where = [self.file] if self.file else []
        if self.annotation_id is not None:
            where.append(f"annotation {self.annotation_id}")
        elif self.photo_id is not None:
            where.append(f"image {self.photo_id}")
        elif self.row and not self.file:
            where.append(f"{self.row[0]}[{self.row[1]}]")
        return f"{', '.join(where)}: {self.note}" if where else self.note

    def to_json(self) -> dict[str, Any]:
        """Return the example as plain values."""
        row = f"{self.row[0]}[{self.row[1]}]" if self.row else None
        values = {
            "file": self.file or None,
            "image_id": self.photo_id,
            "annotation_id": self.annotation_id,
            "row": row,
            "other_file": self.other_file or None,
            "note": self.note,
        }
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Finding:
    """All places of one fault."""

    check: Check
    examples: tuple[Example, ...]

    @property
    def count(self) -> int:
        """How many places there are."""
        return len(self.examples)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        check = self.check
        return {
            "check": check.name,
            "severity": check.severity,
            "count": self.count,
            "title": check.title,
            "effect": check.effect,
            "advice": check.advice,
            "repair": check.repair or None,
            "examples": [example.to_json() for example in self.examples],
        }


@dataclass(slots=True)
class Findings:
    """Collects faults while the doctor works."""

    _examples: dict[str, list[Example]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, example: Example) -> None:
        """Note one place of the fault called ``name``."""
        self._examples[CHECK_OF[name].name].append(example)

    def list_findings(self) -> tuple[Finding, ...]:
        """Return what was found, in the order of ``CHECKS``."""
        return tuple(
            Finding(check, tuple(self._examples[check.name]))
            for check in CHECKS
            if self._examples.get(check.name)
        )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one visit to the doctor.

    Attributes:
        findings: In the order of ``CHECKS``.
        num_photos: Photos that the file lists.
        num_annotations: Objects that it lists.
        done: What the doctor had at hand; checks that need more were not made.
        summary: Figures worth knowing, such as the share of pixels that an overlap rule decides.
    """

    findings: tuple[Finding, ...]
    num_photos: int
    num_annotations: int
    done: frozenset[Need]
    summary: dict[str, float]

    def count(self, severity: str) -> int:
        """Return how many kinds of fault of this severity were found."""
        return sum(finding.check.severity == severity for finding in self.findings)

    @property
    def has_errors(self) -> bool:
        """Whether anything was found that must be put right."""
        return self.count("error") > 0

    @property
    def skipped(self) -> tuple[Check, ...]:
        """The checks that were not made for the lack of something."""
        return tuple(check for check in CHECKS if check.need not in self.done)

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as plain values."""
        return {
            "ok": not self.has_errors,
            "photos": self.num_photos,
            "annotations": self.num_annotations,
            "checks_made": len(CHECKS) - len(self.skipped),
            "checks_skipped": [check.name for check in self.skipped],
            "summary": self.summary,
            "findings": [finding.to_json() for finding in self.findings],
        }

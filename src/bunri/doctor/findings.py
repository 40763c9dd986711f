"""Records of what the doctor finds, in the order of its checks."""

from dataclasses import dataclass
from typing import Any

from bunri.doctor.checks import CHECK_OF, CHECKS, Check, Need
from bunri.labels.coco_rows import Example


@dataclass(frozen=True, slots=True)
class Finding:
    """All places where one check fails."""

    check: Check
    examples: tuple[Example, ...]

    @property
    def count(self) -> int:
        """Number of places."""
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


class Findings:
    """Collects faults during an examination."""

    def __init__(self) -> None:
        self._examples: dict[str, list[Example]] = {check.name: [] for check in CHECKS}

    def add(self, name: str, example: Example) -> None:
        """Add a place where the check ``name`` fails."""
        self._examples[name].append(example)

    def list_findings(self) -> tuple[Finding, ...]:
        """Return the findings in the order of ``CHECKS``."""
        return tuple(
            Finding(CHECK_OF[name], tuple(examples))
            for name, examples in self._examples.items()
            if examples
        )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Result of an examination.

    Attributes:
        done: Sources that were available; checks that need others were skipped.
        summary: ``contested_pixel_share``, the share of pixels that objects of different classes
            cover; empty for a file without labels.
    """

    findings: tuple[Finding, ...]
    num_photos: int
    num_annotations: int
    done: frozenset[Need]
    summary: dict[str, float]

    def count(self, severity: str) -> int:
        """Return the number of checks of a severity that failed."""
        return sum(finding.check.severity == severity for finding in self.findings)

    @property
    def has_errors(self) -> bool:
        """Whether a check of severity ``error`` failed."""
        return self.count("error") > 0

    @property
    def skipped(self) -> tuple[Check, ...]:
        """Checks whose sources were not available."""
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

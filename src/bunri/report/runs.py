"""A page, or a wrap-up, about several evaluated runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bunri.core.progress import Progress, show_nothing
from bunri.doctor.doctor import check_dataset
from bunri.report.pages.experiments import write_experiments_page
from bunri.report.records import DataFile, read_records
from bunri.report.wrapup.files import check_wrapup_folder, write_wrapup
from bunri.scores.comparison import Comparison, check_no_repeats, line_up_results


@dataclass(frozen=True, slots=True)
class RunsReport:
    """Scores of all runs on their common photos; the reason why a wrap-up has no PDF, if so."""

    comparison: Comparison
    why_no_pdf: str = ""


def report_runs(
    runs: Sequence[str],
    out: Path,
    *,
    wrap_up: bool = False,
    batch_size: int = 16,
    progress: Progress = show_nothing,
) -> RunsReport:
    """Write a page that compares evaluated runs with the first, or the folder of a wrap-up.

    Raises:
        PathError: A run holds no evaluation.
        InputError: A run is given twice, or a file in it is damaged.
        OutputError: A file cannot be written.
    """
    check_no_repeats(runs)
    if wrap_up:
        check_wrapup_folder(out)
    records = read_records(runs)
    comparison = line_up_results({record.name: record.result for record in records}, batch_size)
    if not wrap_up:
        write_experiments_page(out, records, comparison)
        return RunsReport(comparison)
    diagnose = partial(_diagnose, progress=progress)
    return RunsReport(comparison, write_wrapup(out, records, comparison, diagnose))


def _diagnose(file: DataFile, progress: Progress) -> list[tuple[str, int]]:
    """Return the doctor's errors and warnings about the JSON alone, errors first."""
    checked = check_dataset(file.annotations, file.images, depth="json", progress=progress)
    return [
        (finding.check.name, finding.count)
        for severity in ("error", "warning")
        for finding in checked.diagnosis.findings
        if finding.check.severity == severity
    ]

"""``bunri report``: evaluated runs as a page to compare them, or as a wrap-up."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bunri.cli.console import print_line, print_note, show_progress
from bunri.cli.options import BatchSize, check_page, require_plotly
from bunri.core.errors import InputError

if TYPE_CHECKING:
    from bunri.report.records import DataFile, RunRecord
    from bunri.scores.comparison import Comparison


def run_report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Runs that were evaluated, or evaluation folders; the first is what the others "
            "are measured by.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="PATH", help="The page; with --wrap-up a folder.")
    ],
    wrap_up: Annotated[
        bool,
        typer.Option(
            "--wrap-up",
            help="Write a wrap-up instead: goal, data, experiments, what helped, mistakes, "
            "regrets, how to reproduce; as HTML, Markdown and, with Chromium, PDF.",
        ),
    ] = False,
    batch_size: BatchSize = 16,
) -> None:
    """Tell what came out of several runs, in English and Korean, on pages that need no network.

    Everything is read from what training and bunri evaluate kept; nothing is predicted again.
    Scores are on the photos that all runs were evaluated on.

    Example: [bold]bunri report runs/first runs/second --out experiments.html[/bold]
    """
    require_plotly("bunri report")
    from bunri.report.records import read_records
    from bunri.report.wrapup.files import check_wrapup_folder
    from bunri.scores.comparison import line_up_results

    doubles = sorted({run for run in runs if runs.count(run) > 1})
    if doubles:
        raise InputError(f"Given more than once: {', '.join(doubles)}.")
    if wrap_up:
        check_wrapup_folder(out)
    else:
        check_page(out, "--out")
    records = read_records(runs)
    results = {record.name: record.result for record in records}
    comparison = line_up_results(results, batch_size)
    print_line(f"{len(comparison.photos)} photos that all have")
    for run, left_out in zip(comparison.runs, comparison.left_out, strict=True):
        if left_out:
            print_line(f"  left out of {run.name}: {left_out} photos that others lack")
    if wrap_up:
        _write_wrapup(out, records, comparison)
        return
    from bunri.report.pages.experiments import write_experiments_page

    write_experiments_page(out, records, comparison)
    print_line(f"Page: {out}")


def _write_wrapup(folder: Path, records: "Sequence[RunRecord]", comparison: "Comparison") -> None:
    from bunri.report.wrapup.files import PAGE_NAME, write_wrapup

    why_not = write_wrapup(folder, records, comparison, _diagnose)
    print_line(f"Wrap-up: {folder / PAGE_NAME}, and as Markdown{'' if why_not else ' and PDF'}")
    if why_not:
        print_note(
            f"No PDF: {why_not}. Open {folder / PAGE_NAME} in a browser and print it to a file."
        )


def _diagnose(file: "DataFile") -> list[tuple[str, int]]:
    """Return what the doctor finds in the JSON alone, errors first; notes are left out."""
    from bunri.doctor.doctor import check_dataset

    checked = check_dataset(file.annotations, file.images, depth="json", progress=show_progress)
    return [
        (finding.check.name, finding.count)
        for severity in ("error", "warning")
        for finding in checked.diagnosis.findings
        if finding.check.severity == severity
    ]

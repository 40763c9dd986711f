"""``bunri report``: evaluated runs as a page to compare them, or as a wrap-up."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli.console import print_line, print_note, show_progress
from bunri.cli.options import BatchSize, check_page, require_plotly
from bunri.cli.score_display import print_left_out


def run_report(
    runs: Annotated[
        list[str],
        Argument(
            metavar="RUN...",
            help="Runs that were evaluated, or evaluation folders; the first is the baseline.",
        ),
    ],
    out: Annotated[
        Path, Option("--out", metavar="PATH", help="The page; with --wrap-up a folder.")
    ],
    wrap_up: Annotated[
        bool,
        Option(
            "--wrap-up",
            help="Write a wrap-up instead: goal, data, experiments, what helped, mistakes, "
            "lessons, how to reproduce; as HTML, Markdown and, with Chromium, PDF.",
        ),
    ] = False,
    batch_size: BatchSize = 16,
) -> None:
    """Write a page, or a wrap-up, about several evaluated runs.

    In English and Korean, for reading without a network. Everything is read from the files of
    training and bunri evaluate; nothing is predicted again. Scores are on the photos that all
    runs were evaluated on.

    Example: [bold]bunri report runs/first runs/second --out experiments.html[/bold]
    """
    require_plotly("bunri report")
    if not wrap_up:
        check_page(out, "--out")
    from bunri.report.runs import report_runs  # imports plotly

    report = report_runs(runs, out, wrap_up=wrap_up, batch_size=batch_size, progress=show_progress)
    print_left_out(report.comparison)
    if not wrap_up:
        print_line(f"Page: {out}")
        return
    from bunri.report.wrapup.files import PAGE_NAME

    page = out / PAGE_NAME
    print_line(f"Wrap-up: {page}, and as Markdown{'' if report.why_no_pdf else ' and PDF'}")
    if report.why_no_pdf:
        print_note(f"No PDF: {report.why_no_pdf}. Open {page} in a browser and print it to a file.")

"""``bunri check-submission``: the faults of a submission.csv."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bunri.cli.console import print_json, print_line
from bunri.cli.options import AsJson
from bunri.labels.coco import read_coco
from bunri.submission.check import SubmissionCheck, check_submission


def run_check_submission(
    submission: Annotated[
        Path, Argument(metavar="SUBMISSION.csv", help="Plain or compressed (.csv.gz).")
    ],
    data: Annotated[
        Path | None,
        Argument(metavar="TEST.json", help="COCO file whose photos must have a row each."),
    ] = None,
    num_classes: Annotated[
        int, Option(min=2, max=255, help="Number of classes, background included.")
    ] = 12,
    as_json: AsJson = False,
) -> None:
    """Check a submission.csv: header, rows, ids, lengths, values.

    Ends with 0 if it is valid, else with 1 and the row and column of the first ten faults.

    Example: [bold]bunri check-submission submission.csv data/test.json[/bold]
    """
    ids = None if data is None else [photo.file_name for photo in read_coco(data).photos]
    check = check_submission(submission, ids, num_classes)
    if as_json:
        print_json(_describe(check))
    elif check.ok:
        compared = "" if ids is None else f", the photos of {data} in order"
        print_line(f"{submission} is valid: {check.num_rows} rows{compared}.")
    else:
        for fault in check.faults:
            print_line(str(fault))
        more = check.num_faults - len(check.faults)
        shown = f", {more} not shown" if more > 0 else ""
        print_line(f"{submission}: {check.num_faults} fault(s){shown}")
    if not check.ok:
        raise typer.Exit(1)


def _describe(check: SubmissionCheck) -> dict[str, object]:
    faults = [
        {"row": f.row, "column": f.column, "pixel": f.value_position, "message": f.message}
        for f in check.faults
    ]
    counts = {"ok": check.ok, "rows": check.num_rows, "num_faults": check.num_faults}
    return {**counts, "faults": faults}

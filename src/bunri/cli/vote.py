"""``bunri vote``: one submission.csv out of several."""

from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import print_line, print_note
from bunri.core.errors import InputError


def run_vote(
    submissions: Annotated[
        list[Path], typer.Argument(metavar="A.csv B.csv...", help="Plain or packed (.csv.gz).")
    ],
    path: Annotated[
        Path, typer.Option("--out", metavar="CSV", help="Plain, or packed if it ends in .gz.")
    ] = Path("voted.csv"),
    weights: Annotated[
        str,
        typer.Option(metavar="N,N,...", help="What each file's vote counts; 1 each if left out."),
    ] = "",
    priority: Annotated[
        str,
        typer.Option(
            metavar="CLASS,...",
            help="Names or indices of classes that win ties, first one first. The others follow, "
            "the rarest in the first file first.",
        ),
    ] = "",
    num_classes: Annotated[
        int, typer.Option(min=2, max=255, help="Values must be below this.")
    ] = 12,
) -> None:
    """Let submissions vote on every pixel, and write what most of them say.

    Rows are matched by photo, whatever their order; files about different photos are refused.
    The order of the first file is kept.

    Example: [bold]bunri vote a.csv b.csv c.csv --weights 2,1,1 --out voted.csv[/bold]
    """
    from bunri.core.files import check_writable
    from bunri.submission import (
        complete_priority,
        parse_priority,
        parse_weights,
        vote_submissions,
        write_submission,
    )

    if len(submissions) < 2:
        raise InputError("A vote needs at least two submissions.")
    whole_weights = parse_weights(weights, len(submissions))
    first = parse_priority(priority, num_classes)
    check_writable(path)
    print_note(f"Voting: {len(submissions)} files")
    order = complete_priority(first, submissions[0], num_classes)
    rows = vote_submissions(submissions, whole_weights, order, num_classes)
    num_rows = write_submission(path, rows, num_classes)
    print_line(f"{path}: {num_rows} rows")

"""``bunri vote``: one submission.csv out of several."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli.console import print_line
from bunri.submission.vote import vote_files


def run_vote(
    submissions: Annotated[
        list[Path], Argument(metavar="A.csv B.csv...", help="Plain or compressed (.csv.gz).")
    ],
    path: Annotated[
        Path, Option("--out", metavar="CSV", help="Compressed if it ends in .gz.")
    ] = Path("voted.csv"),
    weights: Annotated[
        str, Option(metavar="N,N,...", help="Weight of each file's vote; 1 each by default.")
    ] = "",
    priority: Annotated[
        str,
        Option(
            metavar="CLASS,...",
            help="Names or indices of classes that win ties, first one first. The others follow, "
            "the rarest in the first file first.",
        ),
    ] = "",
    num_classes: Annotated[
        int, Option(min=2, max=255, help="Number of classes, background included.")
    ] = 12,
) -> None:
    """Combine submissions by a vote on every pixel.

    Rows are matched by photo, whatever their order; files about different photos are refused.
    The order of the first file is kept.

    Example: [bold]bunri vote a.csv b.csv c.csv --weights 2,1,1 --out voted.csv[/bold]
    """
    num_rows = vote_files(
        submissions, path, weights=weights, priority=priority, num_classes=num_classes
    )
    print_line(f"{path}: {num_rows} rows")

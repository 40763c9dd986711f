"""``bunri submit``: a submission.csv for the photos of test.json."""

import shlex
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli import options
from bunri.cli.console import print_line, show_progress
from bunri.predict.submissions import submit


def run_submit(
    models: options.Models,
    data: Annotated[Path, Argument(metavar="TEST.json", help="COCO file; needs no labels.")],
    path: Annotated[
        Path, Option("--out", metavar="CSV", help="Compressed if it ends in .gz.")
    ] = Path("submission.csv"),
    images: options.Images = None,
    weights: options.Weights = None,
    combine: options.CombineName = None,
    tta: options.Tta = None,
    tiles: options.Tiles = None,
    changes: options.Changes = None,
    is_plain: options.Plain = False,
) -> None:
    """Predict every photo of test.json and write the competition's submission.csv.

    Example: [bold]bunri submit runs/first data/test.json --out submission.csv[/bold]
    """
    choices = options.make_choices(weights, combine, tta, tiles, changes, is_plain=is_plain)
    num_rows = submit(models, data, path, images=images, choices=choices, progress=show_progress)
    print_line(f"{path}: {num_rows} rows")
    print_line(f"Next: {shlex.join(['bunri', 'check-submission', str(path), str(data)])}")

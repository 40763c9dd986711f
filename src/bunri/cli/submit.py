"""``bunri submit``: a submission.csv for the photos of test.json."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import print_line, show_progress
from bunri.cli.options import Images, Models
from bunri.cli.prediction import Changes, CombineName, Plain, Tiles, Tta, Weights, make_choices
from bunri.predict.submissions import submit


def run_submit(
    models: Models,
    data: Annotated[Path, typer.Argument(metavar="TEST.json", help="COCO file; needs no labels.")],
    path: Annotated[
        Path, typer.Option("--out", metavar="CSV", help="Compressed if it ends in .gz.")
    ] = Path("submission.csv"),
    images: Images = None,
    weights: Weights = None,
    combine: CombineName = None,
    tta: Tta = None,
    tiles: Tiles = None,
    changes: Changes = None,
    is_plain: Plain = False,
) -> None:
    """Predict every photo of test.json and write the competition's submission.csv.

    Example: [bold]bunri submit runs/first data/test.json --out submission.csv[/bold]
    """
    choices = make_choices(weights, combine, tta, tiles, changes, is_plain=is_plain)
    num_rows = submit(models, data, path, images=images, choices=choices, progress=show_progress)
    print_line(f"{path}: {num_rows} rows")
    print_line(f"Next: {shlex.join(['bunri', 'check-submission', str(path), str(data)])}")

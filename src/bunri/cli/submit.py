"""``bunri submit``: a submission.csv for the photos of test.json."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import print_line, show_progress
from bunri.cli.options import Images
from bunri.cli.prediction import (
    Changes,
    CombineName,
    Models,
    Plain,
    PredictionChoices,
    Tiles,
    Tta,
    Weights,
    load_chosen,
)


def run_submit(
    models: Models,
    data: Annotated[Path, typer.Argument(metavar="TEST.json", help="COCO file; needs no labels.")],
    path: Annotated[
        Path, typer.Option("--out", metavar="CSV", help="Plain, or packed if it ends in .gz.")
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
    from bunri.evaluation import predict_submission
    from bunri.labels.coco import read_coco, require_photos
    from bunri.submission import write_submission

    choices = PredictionChoices(weights, combine, tta, tiles, changes, is_plain)
    predictor = load_chosen(models, choices)
    dataset = require_photos(read_coco(data, image_root=images, table=predictor.table))
    with show_progress("Predicting photos", len(dataset.photos)) as advance:
        rows = predict_submission(predictor, dataset, advance)
        num_rows = write_submission(path, rows, len(predictor.table))
    print_line(f"{path}: {num_rows} rows")
    print_line(f"Next: {shlex.join(['bunri', 'check-submission', str(path), str(data)])}")

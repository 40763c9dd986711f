"""``bunri predict``: masks and overlays for photos."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from bunri.cli import options
from bunri.cli.console import print_json, print_line, print_note, show_progress
from bunri.core.errors import InputError
from bunri.predict.bulk.job import FAILED_NAME, make_job, run_bulk_job
from bunri.predict.choices import PredictionChoices, split_arguments
from bunri.predict.coco_output import Shape
from bunri.predict.to_folder import FolderOutput, predict_to_folder


def run_predict(
    arguments: Annotated[
        list[str],
        Argument(
            metavar="MODEL... PHOTOS...",
            help="One or several models, then photos or folders of photos. Without a model, the "
            "one that ships with bunri predicts.",
        ),
    ],
    folder: Annotated[Path, Option("--out", metavar="DIR", help="Output folder.")] = Path("out"),
    coco: Annotated[Path | None, Option(metavar="JSON", help="Also write a COCO file.")] = None,
    coco_shape: Annotated[
        Shape, Option(help="Shape of the objects in the COCO file.")
    ] = "polygons",
    keeps_colors: Annotated[
        bool, Option("--colors", help="Also write colors/NAME.png, the mask as RGB.")
    ] = False,
    keeps_probs: Annotated[
        bool, Option("--probs", help="Also write probs/NAME.png: classes one below the other.")
    ] = False,
    weights: options.Weights = None,
    combine: options.CombineName = None,
    tta: options.Tta = None,
    tiles: options.Tiles = None,
    changes: options.Changes = None,
    is_plain: options.Plain = False,
    as_json: options.AsJson = False,
    engine: Annotated[
        Literal["local", "ray"],
        Option(
            help="ray is for very many photos: PHOTOS is then one folder, list (.txt) or Parquet "
            "(.parquet) of paths or URIs, and the same command continues where it stopped."
        ),
    ] = "local",
    address: Annotated[
        str | None, Option(metavar="ADDRESS", help="A Ray cluster; by default Ray is started here.")
    ] = None,
    num_workers: Annotated[
        int | None, Option("--workers", min=1, help="Processes that predict, with ray.")
    ] = None,
) -> None:
    """Predict photos: a mask, an overlay with legend, and the area of each class.

    Writes masks/NAME.png (values are class indices, colours the palette), overlays/NAME.jpg,
    predictions.json and composition.csv. A photo that cannot be used is listed there with the
    reason; the others are predicted all the same, and the command ends with 2.

    Example: [bold]bunri predict runs/first photo.jpg more_photos/ --out out[/bold]
    """
    choices = options.make_choices(weights, combine, tta, tiles, changes, is_plain=is_plain)
    output = FolderOutput(coco, coco_shape, keeps_colors, keeps_probs)
    if engine == "ray":
        if choices != PredictionChoices() or output != FolderOutput():
            raise InputError(
                "--engine ray predicts one model with its stored settings, and writes only masks "
                "and rows.",
                hint="Leave out the other options; bunri tune stores settings with the model.",
            )
        _predict_on_ray(arguments, folder, address, num_workers, as_json=as_json)
        return
    if address is not None or num_workers is not None:
        raise InputError("--address and --workers are for --engine ray.")
    models, photos = split_arguments(arguments)
    if len(photos) == len(arguments):
        print_note(f"Predicting with {models[0]}, the model that ships with bunri.")
    report = predict_to_folder(
        models, photos, folder, choices=choices, output=output, progress=show_progress
    )
    failures = [row for row in report["photos"] if "error" in row]
    if as_json:
        print_json(report)
    else:
        _print_rows(report["photos"], folder)
    for row in failures:
        print_note(f"Error: {row['error']}")
    if failures:
        raise typer.Exit(2)


def _print_rows(rows: list[dict[str, Any]], folder: Path) -> None:
    predicted = [row for row in rows if "error" not in row]
    for row in predicted:
        areas = [f"{c['name']} {100 * c['share']:.1f} %" for c in row["classes"] if c["index"]]
        print_line(f"{row['photo']}: {', '.join(areas) or 'background only'}")
    if predicted:
        print_line(f"Results: {folder}/predictions.json, {folder}/masks, {folder}/overlays")


def _predict_on_ray(
    arguments: list[str],
    folder: Path,
    address: str | None,
    num_workers: int | None,
    *,
    as_json: bool,
) -> None:
    """Predict one source with workers on Ray; end with 2 if photos failed."""
    model, *sources = arguments
    if len(sources) != 1:
        raise InputError(
            f"--engine ray takes one SOURCE, not {len(sources)}: a folder, a list (.txt) or a "
            "Parquet (.parquet)."
        )
    job = make_job(model, Path(sources[0]), folder)
    options.require_torch("This model")
    result = run_bulk_job(job, address=address, num_workers=num_workers, progress=show_progress)
    if as_json:
        failed = [{"photo": uri, "reason": why} for uri, why in result.failures]
        counts = {"photos": result.num_photos, "predicted": result.num_predicted}
        print_json({**counts, "failed": failed})
    else:
        print_line(
            f"{result.num_photos} photos: {result.num_predicted} predicted now, "
            f"{len(result.failures)} failed in all"
        )
        print_line(f"Results: {folder}/rows, {folder}/masks")
    for _, reason in result.failures[:20]:
        print_note(f"Error: {reason}")
    if result.failures:
        print_note(f"{len(result.failures)} photo(s) failed: {folder / FAILED_NAME}")
        raise typer.Exit(2)

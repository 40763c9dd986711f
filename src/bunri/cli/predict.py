"""``bunri predict``: masks and overlays for photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bunri.cli.console import print_json, print_line, print_note, show_progress
from bunri.cli.options import AsJson
from bunri.cli.prediction import (
    Changes,
    CombineName,
    Plain,
    PredictionChoices,
    Tiles,
    Tta,
    Weights,
    load_chosen,
    split_models,
)
from bunri.core.errors import InputError, suggest

if TYPE_CHECKING:
    from bunri.predict.coco_output import CocoCollector
    from bunri.predict.outputs import Prediction
    from bunri.predict.predictor import AnyPredictor


def run_predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... PHOTOS...",
            help="One or several run or bundle folders, then photos or folders of photos.",
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where results are written.")
    ] = Path("out"),
    coco: Annotated[
        Path | None, typer.Option("--coco", metavar="JSON", help="Also write a COCO file.")
    ] = None,
    coco_shape: Annotated[
        str, typer.Option("--coco-shape", metavar="SHAPE", help="polygons or rle.")
    ] = "polygons",
    keeps_colors: Annotated[
        bool, typer.Option("--colors", help="Also write colors/NAME.png, RGB.")
    ] = False,
    keeps_probs: Annotated[
        bool,
        typer.Option("--probs", help="Also write probs/NAME.png: classes one below the other."),
    ] = False,
    weights: Weights = None,
    combine: CombineName = None,
    tta: Tta = None,
    tiles: Tiles = None,
    changes: Changes = None,
    is_plain: Plain = False,
    as_json: AsJson = False,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="local, or ray for very many photos: PHOTOS is then one folder, list (.txt) or "
            "Parquet (.parquet) of paths or URIs, and the same command goes on where it ended.",
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A Ray cluster; without it Ray is started here."),
    ] = None,
    num_workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that predict, with ray.")
    ] = None,
) -> None:
    """Say what each photo shows: a mask, an overlay with legend, and the area of each class.

    Writes masks/NAME.png (values are class indices, colours the palette), overlays/NAME.jpg,
    predictions.json and composition.csv. A photo that cannot be used is listed there with the
    reason; the others are done all the same, and the command ends with 2.

    Example: [bold]bunri predict runs/first photo.jpg more_photos/ --out out[/bold]
    """
    from bunri.cli.bulk import check_engine, run_bulk

    choices = PredictionChoices(weights, combine, tta, tiles, changes, is_plain)
    check_engine(engine, address, num_workers)
    if engine == "ray":
        is_bare = choices == PredictionChoices() and not (coco or keeps_colors or keeps_probs)
        run_bulk(arguments, folder, address, num_workers, is_bare=is_bare, as_json=as_json)
        return
    from bunri.core.files import check_writable, write_json
    from bunri.predict.coco_output import CocoCollector
    from bunri.predict.outputs import (
        COMPOSITION_NAME,
        find_photos,
        write_composition,
        write_prediction,
    )
    from bunri.predict.stream import predict_photos

    models, photos = split_models(arguments)
    shape = _parse_shape(coco_shape)
    tasks = find_photos(photos, folder)
    for path in (folder / "predictions.json", *([coco] if coco else [])):
        check_writable(path)
    predictor = load_chosen(models, choices)
    collector = CocoCollector(predictor.table, shape) if coco else None

    def write(prediction: "Prediction") -> dict[str, Any]:
        if collector is not None:
            collector.add(prediction)
        return write_prediction(folder, prediction, predictor.table, keeps_colors=keeps_colors)

    rows: list[dict[str, Any]] = []
    with show_progress("Predicting photos", len(tasks)) as advance:
        for row in predict_photos(predictor, tasks, write, keeps_probs=keeps_probs):
            rows.append(row)
            advance()
    failures = [row for row in rows if "error" in row]
    report = _describe(models, predictor, rows)
    if len(failures) < len(rows):
        write_json(folder / "predictions.json", report)
        write_composition(folder / COMPOSITION_NAME, rows, predictor.table)
        _write_coco(collector, coco, models)
    if as_json:
        print_json(report)
    else:
        _print_rows(rows, folder)
    for row in failures:
        print_note(f"Error: {row['error']}")
    if failures:
        raise typer.Exit(2)


def _parse_shape(name: str) -> Any:  # noqa: ANN401 (a Shape, whose module is not loaded here)
    from bunri.predict.coco_output import SHAPES

    if name not in SHAPES:
        raise InputError(f"--coco-shape: there is no {name!r}.{suggest(name, SHAPES)}")
    return name


def _describe(
    models: list[str], predictor: "AnyPredictor", rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return ``predictions.json``; models and settings stand there only where there are any."""
    changed = predictor.settings.model_dump(mode="json", exclude_defaults=True)
    return {
        "model": models[0],
        **({"models": models} if len(models) > 1 else {}),
        **({"settings": changed} if changed else {}),
        "classes": predictor.table.to_json(),
        "photos": rows,
    }


def _write_coco(collector: "CocoCollector | None", path: Path | None, models: list[str]) -> None:
    from bunri.predict.ensemble import list_members

    if collector is not None and path is not None:
        collector.write(path, list_members(models))


def _print_rows(rows: list[dict[str, Any]], folder: Path) -> None:
    for row in rows:
        if "error" not in row:
            areas = [f"{c['name']} {100 * c['share']:.1f} %" for c in row["classes"] if c["index"]]
            print_line(f"{row['photo']}: {', '.join(areas) or 'background only'}")
    if any("error" not in row for row in rows):
        print_line(f"Results: {folder}/predictions.json, {folder}/masks, {folder}/overlays")

"""``bunri predict``: masks and overlays for photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bunri.cli.console import print_json, print_line, print_note, show_progress
from bunri.cli.options import AsJson, Model

if TYPE_CHECKING:
    from bunri.predict.outputs import PhotoTask
    from bunri.predict.predictor import Predictor


def run_predict(
    model: Model,
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTOS...", help="Photos, or folders of photos.")
    ],
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where results are written.")
    ] = Path("out"),
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

    Writes masks/NAME.png (values are class indices, colours the palette), overlays/NAME.jpg and
    predictions.json. A photo that cannot be read is listed there with the reason; the others
    are done all the same, and the command ends with 2.

    Example: [bold]bunri predict runs/first photo.jpg more_photos/ --out out[/bold]
    """
    from bunri.cli.bulk import check_engine, run_bulk

    check_engine(engine, address, num_workers)
    if engine == "ray":
        run_bulk(model, photos, folder, address, num_workers, as_json=as_json)
        return
    from bunri.files import write_json
    from bunri.predict.outputs import find_photos
    from bunri.predict.predictor import load_predictor

    tasks = find_photos(photos, folder)
    predictor = load_predictor(model)
    rows: list[dict[str, Any]] = []
    with show_progress("Predicting photos", len(tasks)) as advance:
        for task in tasks:
            rows.append(_predict_one(predictor, task, folder))
            advance()
    failures = [row for row in rows if "error" in row]
    report = {"model": model, "classes": predictor.table.to_json(), "photos": rows}
    if len(failures) < len(rows):
        write_json(folder / "predictions.json", report)
    if as_json:
        print_json(report)
    else:
        _print_rows(rows, folder)
    for row in failures:
        print_note(f"Error: {row['error']}")
    if failures:
        raise typer.Exit(2)


def _predict_one(predictor: "Predictor", task: "PhotoTask", folder: Path) -> dict[str, Any]:
    from bunri.contracts import ImageError
    from bunri.images import read_photo
    from bunri.predict.outputs import write_prediction

    try:
        image = read_photo(task.photo)
    except ImageError as error:
        return {"photo": str(task.photo), "error": error.message}
    mask = predictor.predict_mask(image)
    return write_prediction(folder, task, image, mask, predictor.table)


def _print_rows(rows: list[dict[str, Any]], folder: Path) -> None:
    for row in rows:
        if "error" not in row:
            areas = [f"{c['name']} {100 * c['share']:.1f} %" for c in row["classes"] if c["index"]]
            print_line(f"{row['photo']}: {', '.join(areas) or 'background only'}")
    if any("error" not in row for row in rows):
        print_line(f"Results: {folder}/predictions.json, {folder}/masks, {folder}/overlays")

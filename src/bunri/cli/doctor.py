"""``bunri doctor``: faults of a data set, and their effect on training."""

from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import print_json, show_progress
from bunri.cli.diagnosis_display import print_checks, print_diagnosis, print_repair
from bunri.cli.options import AsJson, Images
from bunri.core.errors import InputError
from bunri.doctor.doctor import check_dataset
from bunri.doctor.examination import Depth
from bunri.predict.predictor import load_predictor


def _list_checks(wanted: bool) -> None:
    if wanted:
        print_checks()
        raise typer.Exit


def run_doctor(
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="COCO file to check.")],
    images: Images = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="OTHER.json", help="Another split; it should share no photo."),
    ] = None,
    against_images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photos of --against, if not beside it.")
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(metavar="OUT.json", help="Write a repaired copy, and a log beside it."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Also report labels that this model contradicts."),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Decode every photo, or headers only.")
    ] = True,
    photos: Annotated[
        bool, typer.Option("--photos/--no-photos", help="Read the photos, or the JSON alone.")
    ] = True,
    num_examples: Annotated[
        int, typer.Option("--examples", min=1, metavar="N", help="Examples to show of each fault.")
    ] = 3,
    as_json: AsJson = False,
    _: Annotated[
        bool,
        typer.Option(
            "--list", is_eager=True, callback=_list_checks, help="Print all checks and exit."
        ),
    ] = False,
) -> None:
    """Find what is wrong with a data set: labels, photos, copies, leaks between splits.

    Ends with 1 if there are errors: faults that stop training or make a score untrue.
    The file itself is never changed; [bold]--fix[/bold] writes a copy and a log of every change.

    Example: [bold]bunri doctor data/train.json --against data/val.json[/bold]
    """
    depth: Depth = "json" if not photos else "pixels" if decode else "headers"
    if model is not None and depth != "pixels":  # before the model is loaded
        raise InputError("--model needs decoded photos; leave out --no-decode and --no-photos.")
    checked = check_dataset(
        data,
        images,
        against=against,
        against_images=against_images,
        depth=depth,
        model=None if model is None else load_predictor(model),
        fix=fix,
        progress=show_progress,
    )
    diagnosis, repair = checked.diagnosis, checked.repair
    if as_json:
        report = {"data": str(data), **diagnosis.to_json()}
        print_json(report | ({"fix": repair.to_json()} if repair else {}))
    else:
        print_diagnosis(diagnosis, str(data), num_examples)
        if repair:
            print_repair(repair)
    if checked.has_errors:
        raise typer.Exit(1)

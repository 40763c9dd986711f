"""``bunri doctor``: what is wrong with this data, and what would it do to training?"""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bunri.cli.console import print_json, show_progress
from bunri.cli.options import AsJson, Images

if TYPE_CHECKING:
    from bunri.doctor.doctor import Depth, Doctor


def _list_checks(wanted: bool) -> None:
    if wanted:
        from bunri.cli.diagnosis_display import print_checks

        print_checks()
        raise typer.Exit


def run_doctor(
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="COCO file to look at.")],
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
        typer.Option(metavar="MODEL", help="Also look for labels that this model contradicts."),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Decode every photo, or headers only.")
    ] = True,
    photos: Annotated[
        bool, typer.Option("--photos/--no-photos", help="Look at photos, or at the JSON alone.")
    ] = True,
    num_examples: Annotated[
        int, typer.Option("--examples", min=1, metavar="N", help="Examples to show of each.")
    ] = 3,
    as_json: AsJson = False,
    _: Annotated[
        bool,
        typer.Option("--list", is_eager=True, callback=_list_checks, help="Print all checks, end."),
    ] = False,
) -> None:
    """Find what is wrong with a data set: labels, photos, copies, leaks between splits.

    Ends with 1 if there are errors: things that stop training or make a score untrue.
    The file itself is never changed; [bold]--fix[/bold] writes a copy and a log of every change.

    Example: [bold]bunri doctor data/train.json --against data/val.json[/bold]
    """
    from bunri.cli.diagnosis_display import print_diagnosis, print_repair
    from bunri.doctor.doctor import read_coco_file
    from bunri.doctor.repair import repair_file

    _check_options(data, fix, model, decode=decode and photos)
    depth: Depth = "json" if not photos else "pixels" if decode else "headers"
    doctor = _make_doctor(depth, model)
    file = read_coco_file(data, images)
    other = None if against is None else read_coco_file(against, against_images)
    gc.freeze()  # the documents stay until the end; collecting would walk them again and again
    diagnosis = doctor.examine(file, other)
    repair = None if fix is None else repair_file(doctor, file, diagnosis, other, fix)
    if as_json:
        report = {"data": str(data), **diagnosis.to_json()}
        print_json(report | ({"fix": repair.to_json()} if repair else {}))
    else:
        print_diagnosis(diagnosis, str(data), num_examples)
        if repair:
            print_repair(repair)
    if (repair.left if repair else diagnosis).has_errors:
        raise typer.Exit(1)


def _check_options(data: Path, fix: Path | None, model: str | None, *, decode: bool) -> None:
    from bunri.core.errors import InputError
    from bunri.core.files import is_file

    if fix is not None and (fix.resolve() == data.resolve() or is_file(fix)):
        raise InputError(
            f"--fix: {fix} exists; nothing is overwritten.",
            hint="Give the repaired copy a new name.",
        )
    if model is not None and not decode:
        raise InputError("--model looks at pixels; leave out --no-decode and --no-photos.")


def _make_doctor(depth: "Depth", model: str | None) -> "Doctor":
    from bunri.doctor.doctor import Doctor

    if model is None:
        return Doctor(depth, show_progress)
    from bunri.predict.predictor import load_predictor

    predictor = load_predictor(model)
    return Doctor(depth, show_progress, predictor.predict_probs, predictor.table)

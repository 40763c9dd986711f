"""``bunri export``: a trained model as one ONNX file that needs no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from bunri.cli import options
from bunri.cli.console import (
    clean,
    make_table,
    out,
    print_error,
    print_json,
    print_line,
    print_warnings,
    show_progress,
)
from bunri.cli.score_display import format_score
from bunri.core.errors import InputError, ModelError
from bunri.images.frames import MAX_FRAME_PX, MIN_FRAME_PX

if TYPE_CHECKING:
    from bunri.exporting.parity import ParityReport


def run_export(
    model: options.Model,
    folder: Annotated[Path, Option("--out", metavar="DIR", help="The new bundle; must not exist.")],
    is_int8: Annotated[
        bool, Option("--int8", help="8-bit integers: a quarter of the size, and faster.")
    ] = False,
    calibration: Annotated[
        Path | None,
        Option(
            metavar="JSON",
            help="Photos that int8 is fitted to, at least 16; a COCO file, labels are not used.",
        ),
    ] = None,
    val: Annotated[
        Path | None,
        Option(
            metavar="JSON", help="Labelled photos to compare on, and to score the written file on."
        ),
    ] = None,
    images: options.Images = None,
    overlap_rule: options.Rule = "largest-first",
    has_probs: Annotated[
        bool, Option("--probs", help="The graph also gives probabilities, at the photo's size.")
    ] = False,
    frame_px: Annotated[
        int | None,
        Option(
            metavar="PX",
            min=MIN_FRAME_PX,
            max=MAX_FRAME_PX,
            help="Longer side of a photo in the network's frame, instead of the model's own: "
            "smaller is faster and less accurate. Use --val to measure the loss.",
        ),
    ] = None,
    notes: Annotated[
        Path | None,
        Option(
            metavar="FILE.md", help="Text for the model card: intended use, weaknesses, thanks."
        ),
    ] = None,
    as_json: options.AsJson = False,
    allow_pseudo: options.AllowPseudo = None,
    allow_trained: options.AllowTrained = None,
) -> None:
    """Write a trained model as one ONNX file, from photo to classes.

    Resizing, normalisation and the way back are in the file: ONNX Runtime, OpenVINO and browsers
    need nothing else. The folder is a MODEL for every command of bunri, without torch. A report
    beside the file compares it with torch. A file that misses its bound is not written, and the
    command ends with 1. The bounds: 99.9 % of pixels equal in float32; with --int8 at most 0.5
    points of mIoU lost on --val, or without --val 97 % of pixels equal.

    Example: [bold]bunri export runs/first --out first-int8 --int8 --calibration data/train.json
    --val data/val.json[/bold]
    """
    options.require_torch("Exporting")
    if is_int8 and calibration is None:
        raise InputError(
            "--int8 needs photos that ranges are fitted to.",
            hint="Name some it was trained on: --calibration data/train.json",
        )
    if calibration is not None and not is_int8:
        raise InputError("--calibration is only for int8.", hint="Add --int8.")
    from bunri.exporting.bundle import export_bundle  # imports torch

    export = export_bundle(
        model,
        folder,
        calibration=calibration,
        val=val,
        images=images,
        overlap_rule=overlap_rule,
        has_probs=has_probs,
        frame_px=frame_px,
        notes="" if notes is None else _read_notes(notes),
        allow_pseudo=val is not None and options.is_allowed(allow_pseudo, val, "--allow-pseudo"),
        allow_trained=val is not None and options.is_allowed(allow_trained, val, "--allow-trained"),
        progress=show_progress,
    )
    print_warnings(export.warnings)
    report = export.report
    if as_json:
        print_json({"written": None if report.faults else str(folder), **report.to_json()})
    else:
        _print_report(report)
    if report.faults:
        print_error(ModelError(f"{folder} is not written:", problems=report.faults))
        raise typer.Exit(1)
    if not as_json:
        print_line(f"{folder}: predict with it: bunri predict {folder} photo.jpg")


def _read_notes(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"--notes: {path} cannot be read as text: {error}.") from error


def _print_report(report: "ParityReport") -> None:
    print_line(f"Against torch in float32 on {report.num_photos} photos ({report.photos}):")
    table = make_table("run by", "numbers", numbers=("equal pixels", "mIoU", "ms"))
    for row in report.rows:
        table.add_row(
            clean(row.name),
            row.precision,
            f"{100 * row.equal:.3f} %",
            "-" if row.miou is None else format_score(row.miou),
            f"{row.latency_ms:.0f}",
        )
    out.print(table)

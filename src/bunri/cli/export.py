"""``bunri export``: a trained model as one ONNX file that needs no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bunri.cli.console import format_score, out, print_error, print_json, print_line, show_progress
from bunri.cli.options import DEFAULT_RULE, AsJson, Images, Model, Rule, parse_rule, require_torch
from bunri.cli.truth import AllowPseudo, AllowTrained, refuse_learned_photos, refuse_pseudo_labels
from bunri.core.errors import InputError, ModelError, OutputError, drop_controls
from bunri.images.frames import MAX_FRAME_PX, MIN_FRAME_PX

if TYPE_CHECKING:
    from bunri.export.parity import ParityReport
    from bunri.labels.records import LabelledSet
    from bunri.model.info import BundleInfo


def run_export(
    model: Model,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The new bundle; must not exist.")
    ],
    is_int8: Annotated[
        bool, typer.Option("--int8", help="8-bit integers: a quarter of the size, and faster.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="JSON",
            help="Photos that int8 is fitted to, at least 16; a COCO file, labels are not used.",
        ),
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option(
            "--val",
            metavar="JSON",
            help="Labelled photos to compare on, and to score the written file on.",
        ),
    ] = None,
    images: Images = None,
    overlap_rule: Rule = DEFAULT_RULE,
    has_probs: Annotated[
        bool,
        typer.Option("--probs", help="The graph also gives probabilities, at the photo's size."),
    ] = False,
    frame_px: Annotated[
        int | None,
        typer.Option(
            "--frame-px",
            metavar="PX",
            min=MIN_FRAME_PX,
            max=MAX_FRAME_PX,
            help="Longer side of a photo as the network sees it, instead of the model's own: "
            "smaller is faster and sees less.",
        ),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(
            "--notes",
            metavar="FILE.md",
            help="What only people know, for the model card: intended use, weaknesses, thanks.",
        ),
    ] = None,
    as_json: AsJson = False,
    allow_pseudo: AllowPseudo = None,
    allow_trained: AllowTrained = None,
) -> None:
    """Write a trained model as one ONNX file, from photos to classes.

    Resizing, normalisation and the way back are in the file: ONNX Runtime, OpenVINO and browsers
    need nothing else. The folder is a MODEL for every command of bunri, without torch. Beside it
    stands how it compares with torch; a file that misses its bound is not written, and the
    command ends with 1. The bounds: 99.9 % of pixels equal in float32; with --int8 at most 0.5
    points of mIoU lost on --val, or without it 97 % of pixels equal.

    Example: [bold]bunri export runs/first --out first-int8 --int8 --calibration data/train.json
    --val data/val.json[/bold]
    """
    require_torch("Exporting")
    rule = parse_rule(overlap_rule)
    _check_options(folder, calibration, is_int8=is_int8)
    text = "" if notes is None else _read_notes(notes)
    from bunri.export.export import ExportRequest, check_request, export_model
    from bunri.labels.coco import read_coco, require_photos
    from bunri.model.lookup import open_model

    stored = open_model(model)
    fitted = None
    if calibration is not None:
        fitted = require_photos(read_coco(calibration, image_root=images, table=stored.info.table))
    measured = None
    if val is not None:
        measured = read_coco(val, image_root=images, table=stored.info.table)
    request = ExportRequest(stored, fitted, measured, rule, has_probs, frame_px, text)
    check_request(request)
    if measured is not None:
        _check_truth(stored.info, model, measured, allow_pseudo, allow_trained)
    report = export_model(request, folder, show_progress)
    if as_json:
        print_json({"written": None if report.faults else str(folder), **report.to_json()})
    else:
        _print_report(report)
    if report.faults:
        error = ModelError(f"{folder} is not written:", problems=report.faults)
        print_error(error)
        raise typer.Exit(1)
    if not as_json:
        print_line(f"{folder}: predict with it: bunri predict {folder} photo.jpg")


def _check_options(folder: Path, calibration: Path | None, *, is_int8: bool) -> None:
    """Refuse options that do not fit, and a place that is taken.

    Raises:
        InputError: ``--int8`` and ``--calibration`` do not come together.
        OutputError: The folder exists, or cannot be made.
    """
    from bunri.core.files import check_writable
    from bunri.model.bundle import INFO_NAME

    if is_int8 and calibration is None:
        raise InputError(
            "--int8 needs photos that ranges are fitted to.",
            hint="Name some it was trained on: --calibration data/train.json",
        )
    if calibration is not None and not is_int8:
        raise InputError("--calibration is for int8 alone.", hint="Add --int8.")
    if folder.exists() or folder.is_symlink():
        raise OutputError(f"{folder} exists already.", hint="Choose another folder with --out.")
    check_writable(folder / INFO_NAME)


def _read_notes(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"--notes: {path} cannot be read as text: {error}.") from error


def _check_truth(
    info: "BundleInfo",
    model: str,
    dataset: "LabelledSet",
    allow_pseudo: list[Path] | None,
    allow_trained: list[Path] | None,
) -> None:
    """Refuse labels that a score may not be made on; see ``cli.truth``."""
    from bunri.labels.coco import require_labels, require_photos

    require_photos(require_labels(dataset))
    refuse_pseudo_labels(dataset, allow_pseudo)
    refuse_learned_photos(info, model, dataset, allow_trained)


def _print_report(report: "ParityReport") -> None:
    print_line(f"Against torch in float32 on {report.num_photos} photos ({report.photos}):")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run by", overflow="fold")
    table.add_column("numbers")
    for name in ("equal pixels", "mIoU", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            escape(drop_controls(row.name)),
            row.precision,
            f"{100 * row.equal:.3f} %",
            "-" if row.miou is None else format_score(row.miou),
            f"{row.latency_ms:.0f}",
        )
    out.print(table)

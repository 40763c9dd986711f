"""``bunri convert``: labels from one format to another, with the loss measured."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bunri.cli.console import print_json, print_line, print_note, show_progress
from bunri.cli.options import AsJson, Images, Rule

if TYPE_CHECKING:
    from bunri.formats.base import ReadOptions
    from bunri.formats.convert import Loss

_NAMES = "coco, coco-rle, png, color-png, yolo, labelme, cvat, label-studio"
_MAX_PHOTOS_SHOWN = 5
_MAX_WARNINGS_SHOWN = 10


def run_convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A file, a folder or a .zip.")],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A new file, or a new or empty folder.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=f"One of {_NAMES}.")],
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="What SRC is; found out if not given."),
    ] = None,
    images: Images = None,
    overlap_rule: Rule = "largest-first",
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="OTHER.json",
            help="A COCO file whose classes, ids and photo names SRC shares.",
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            "--classes", metavar="FILE", help="A classes.json, or a CSV of name, r, g and b."
        ),
    ] = None,
    copy_photos: Annotated[
        bool, typer.Option("--copy-photos", help="Also put photos where the format wants them.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="End with 1 if any pixel differs after reading back.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Read the result back and compare masks.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Convert labels, and say how many pixels differ when the result is read back.

    Objects that a format cannot hold are reshaped so that masks stay the same.

    Example: [bold]bunri convert data/train.json yolo --to yolo --copy-photos[/bold]
    """
    from bunri.core.errors import InputError
    from bunri.formats.archive import open_source
    from bunri.formats.convert import measure_loss, write_labels
    from bunri.formats.registry import detect_format, get_format

    rule, target = overlap_rule, get_format(to)
    if exact and not verify:
        raise InputError("--exact needs the comparison that --no-verify leaves out.")
    options = _build_options(images, like, classes)
    known = get_format(from_) if from_ is not None else None
    with open_source(source) as place:
        if known is None:
            known, reason = detect_format(place)
            print_note(f"{source} is read as {known.name} ({reason}).")
        dataset = known.read(place, options)
        written = write_labels(
            dataset, destination, target, rule, copy_photos=copy_photos, progress=show_progress
        )
        loss = None
        if verify:
            loss = measure_loss(dataset, destination, target, rule, progress=show_progress)
    report: dict[str, Any] = {
        "source": str(source),
        "from": known.name,
        "destination": str(destination),
        "to": target.name,
        "overlap_rule": rule,
        **asdict(written),
        "warnings": list(dataset.warnings),
        "loss": None if loss is None else _describe_loss(loss),
    }
    if as_json:
        print_json(report)
    else:
        _print_report(report, loss)
        if target.needs_photos and not copy_photos:
            where = f"in {target.photo_folder}/" if target.photo_folder else "beside the labels"
            print_line(f"{target.title} needs the photos {where}; --copy-photos puts them there.")
    if exact and loss is not None and loss.num_differing:
        raise typer.Exit(1)


def _build_options(images: Path | None, like: Path | None, classes: Path | None) -> "ReadOptions":
    from bunri.formats.base import ReadOptions
    from bunri.formats.tables import read_class_table
    from bunri.labels.coco import read_coco

    return ReadOptions(
        image_root=images,
        table=None if classes is None else read_class_table(classes),
        like=None if like is None else read_coco(like),
        progress=show_progress,
    )


def _describe_loss(loss: "Loss") -> dict[str, Any]:
    return {
        "pixels": loss.num_pixels,
        "differing": loss.num_differing,
        "share": loss.share,
        "photos": [{"photo": name, "differing": count} for name, count in loss.worst],
    }


def _print_report(report: dict[str, Any], loss: "Loss | None") -> None:
    for warning in report["warnings"][:_MAX_WARNINGS_SHOWN]:
        print_note(f"Note: {warning}")
    more = len(report["warnings"]) - _MAX_WARNINGS_SHOWN
    if more > 0:
        print_note(f"Note: ... and {more} more")
    read, written = report["num_objects_read"], report["num_objects"]
    objects = f"{read} objects" if read == written else f"{read} objects as {written}"
    print_line(
        f"{report['destination']}: {report['num_photos']} photos, {objects}, "
        f"{report['num_bytes']} bytes "
        f"({report['to']})"
    )
    if report["num_cut_photos"]:
        print_line(
            f"In {report['num_cut_photos']} photos overlapping objects were cut to what is "
            "visible of them."
        )
    if loss is None:
        print_line("Not compared.")
    elif not loss.num_differing:
        print_line(f"Exact: read back, 0 of {loss.num_pixels} pixels differ.")
    else:
        print_line(
            f"Loss: read back, {loss.num_differing} of {loss.num_pixels} pixels differ "
            f"({100 * loss.share:.4f} %), in {len(loss.worst)} photos."
        )
        for name, count in loss.worst[:_MAX_PHOTOS_SHOWN]:
            print_line(f"  {name}: {count}")

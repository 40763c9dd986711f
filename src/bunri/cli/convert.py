"""``bunri convert``: labels from one format to another, with the loss measured."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bunri.cli.console import print_json, print_line, print_note, show_progress
from bunri.cli.options import AsJson, Images, Rule
from bunri.core.errors import InputError
from bunri.formats.convert import Conversion, convert_files
from bunri.formats.registry import FORMATS

_MAX_PHOTOS_SHOWN = 5
_MAX_WARNINGS_SHOWN = 10


def run_convert(
    source: Annotated[Path, Argument(metavar="SRC", help="A file, a folder or a .zip.")],
    destination: Annotated[
        Path, Argument(metavar="DST", help="A new file, or a new or empty folder.")
    ],
    to: Annotated[str, Option("--to", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")],
    from_: Annotated[
        str | None, Option("--from", metavar="FORMAT", help="Format of SRC; detected by default.")
    ] = None,
    images: Images = None,
    overlap_rule: Rule = "largest-first",
    like: Annotated[
        Path | None,
        Option(
            metavar="OTHER.json", help="COCO file whose classes, ids and photo names SRC shares."
        ),
    ] = None,
    classes: Annotated[
        Path | None, Option(metavar="FILE", help="A classes.json, or a CSV of name, r, g and b.")
    ] = None,
    copy_photos: Annotated[
        bool, Option("--copy-photos", help="Also copy photos to where DST expects them.")
    ] = False,
    exact: Annotated[
        bool, Option("--exact", help="End with 1 if any pixel differs after reading back.")
    ] = False,
    verify: Annotated[
        bool, Option("--verify/--no-verify", help="Read the result back and compare masks.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Convert labels, and count the pixels that differ when they are read back.

    Objects that a format cannot hold are reshaped so that masks stay the same.

    Example: [bold]bunri convert data/train.json yolo --to yolo --copy-photos[/bold]
    """
    if exact and not verify:
        raise InputError("--exact needs the comparison that --no-verify leaves out.")
    done = convert_files(
        source,
        destination,
        to,
        from_=from_,
        images=images,
        like=like,
        classes=classes,
        overlap_rule=overlap_rule,
        copy_photos=copy_photos,
        verify=verify,
        notify=print_note,
        progress=show_progress,
    )
    if as_json:
        facts = {"source": str(source), "from": done.source_format.name}
        facts |= {"destination": str(destination), "to": to, "overlap_rule": overlap_rule}
        print_json(facts | done.to_json())
    else:
        _print_conversion(done, destination)
        target = done.target_format
        if target.needs_photos and not copy_photos:
            where = f"in {target.photo_folder}/" if target.photo_folder else "beside the labels"
            print_line(f"{target.title} needs the photos {where}; --copy-photos puts them there.")
    if exact and done.loss is not None and done.loss.num_differing:
        raise typer.Exit(1)


def _print_conversion(done: Conversion, destination: Path) -> None:
    for warning in done.warnings[:_MAX_WARNINGS_SHOWN]:
        print_note(f"Note: {warning}")
    more = len(done.warnings) - _MAX_WARNINGS_SHOWN
    if more > 0:
        print_note(f"Note: ... and {more} more")
    written, loss = done.written, done.loss
    objects = f"{written.num_objects_read} objects"
    if written.num_objects != written.num_objects_read:
        objects += f" as {written.num_objects}"
    print_line(
        f"{destination}: {written.num_photos} photos, {objects}, {written.num_bytes} bytes "
        f"({done.target_format.name})"
    )
    if written.num_cut_photos:
        print_line(
            f"In {written.num_cut_photos} photos overlapping objects were cut to their visible "
            "parts."
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

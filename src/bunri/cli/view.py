"""``bunri view``: two submissions, and where they differ, as a page."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli.console import print_line, show_progress
from bunri.cli.options import Images
from bunri.core.errors import InputError
from bunri.core.files import check_writable
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.coco import read_coco
from bunri.report.pages.submissions import write_submissions_page
from bunri.submission.difference import compare_submissions


def run_view(
    first: Annotated[
        Path, Argument(metavar="A.csv", help="A submission, plain or compressed (.csv.gz).")
    ],
    second: Annotated[Path, Argument(metavar="B.csv", help="The other submission.")],
    data: Annotated[
        Path | None,
        Argument(metavar="TEST.json", help="COCO file of the photos, to show them, too."),
    ] = None,
    path: Annotated[Path, Option("--out", metavar="HTML", help="The page.")] = Path(
        "submissions.html"
    ),
    images: Images = None,
    max_photos: Annotated[int, Option(min=1, max=1000, help="Photos to show at most.")] = 100,
) -> None:
    """Show two submissions and where they differ, as a page.

    The photos that differ most come first. Rows are matched by photo, whatever their order. The
    page is one file of at most 15 MB that opens without a network. Classes are those of TEST.json,
    or of the competition without it.

    Example: [bold]bunri view first.csv second.csv data/test.json --out submissions.html[/bold]
    """
    if images is not None and data is None:
        raise InputError("--images is the folder of the photos of TEST.json; there is none.")
    check_writable(path)
    dataset = None if data is None else read_coco(data, image_root=images)
    table = COMPETITION_TABLE if dataset is None else dataset.table
    difference = compare_submissions(first, second, len(table), max_photos)
    with show_progress("Drawing photos", len(difference.photos)) as advance:
        num_shown = write_submissions_page(
            path, (str(first), str(second)), difference, table, dataset, advance
        )
    num_different = difference.num_photos - difference.num_equal
    print_line(
        f"{path}: {num_different} of {difference.num_photos} photos differ, {num_shown} shown"
    )

"""``bunri stats``: what is in a data set, as figures and as a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bunri.cli.console import out, print_json, print_line, show_progress
from bunri.cli.options import AsJson, Rule, check_not_replacing, check_page, require_plotly
from bunri.core.errors import drop_controls

if TYPE_CHECKING:
    from bunri.labels.records import LabelledSet
    from bunri.labels.rules import OverlapRule
    from bunri.stats.statistics import LabelStatistics, SetStatistics


def run_stats(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA.json...", help="COCO files; those with labels share classes."),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Photos of each file, in order, if not beside it."),
    ] = None,
    page: Annotated[
        Path, typer.Option("--out", metavar="PAGE.html", help="Where the page is written.")
    ] = Path("stats.html"),
    overlap_rule: Rule = "largest-first",
    num_samples: Annotated[
        int, typer.Option("--samples", min=0, max=300, help="Photos in the page's gallery.")
    ] = 24,
    no_photos: Annotated[
        bool, typer.Option("--no-photos", help="Count labels only; open no photo.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is in a data set: classes, objects, sizes, places, colours, sample photos.

    Several files are shown side by side. Writes one page that opens without a network, in
    English and Korean, and the same figures as JSON beside it.

    Example: [bold]bunri stats data/train.json data/val.json --out stats.html[/bold]
    """
    require_plotly("bunri stats")
    from bunri.core.files import write_json
    from bunri.labels.coco import require_nonempty, require_photos
    from bunri.labels.sources import pair_roots, read_together
    from bunri.report.pages.stats import prepare_samples, write_stats_page
    from bunri.stats.gallery import choose_photos
    from bunri.stats.statistics_json import describe_statistics

    rule = overlap_rule
    figures_path = _name_figures(page, data)
    sets = read_together(pair_roots(data, images or [], "--images"))
    for dataset in sets:
        (require_nonempty if no_photos else require_photos)(dataset)
    statistics = _collect(sets, rule, opens_photos=not no_photos)
    choices = choose_photos(statistics, 0 if no_photos else num_samples)
    with show_progress("Preparing sample photos", len(choices)) as advance:
        samples = prepare_samples(choices, rule, advance)
    figures = describe_statistics(statistics, rule)
    write_stats_page(page, statistics, samples, rule, figures_path.name)
    write_json(figures_path, figures)
    if as_json:
        print_json(figures)
        return
    for one in statistics:
        _print_set(one)
    print_line(f"Page: {page}   Figures: {figures_path}")


def _name_figures(page: Path, data: Sequence[Path]) -> Path:
    """Return the JSON file beside the page, sure that neither is one of the annotation files.

    Raises:
        InputError: ``page`` is no name for a page, or one of the two would replace the data.
        OutputError: It cannot be written there.
    """
    from bunri.core.files import check_writable

    check_page(page, "--out", data)
    # "train.html" beside train.json must not replace the labels.
    stem = page.stem if page.stem.endswith("stats") else f"{page.stem}-stats"
    figures = page.with_name(f"{stem}.json")
    check_not_replacing(figures, f"--out {page}", data)
    check_writable(figures)
    return figures


def _collect(
    sets: "Sequence[LabelledSet]", rule: "OverlapRule", *, opens_photos: bool
) -> "list[SetStatistics]":
    from bunri.stats.statistics import collect_statistics, name_sets

    total = sum(len(dataset.photos) for dataset in sets)
    with show_progress("Counting photos", total) as advance:
        return [
            collect_statistics(dataset, name, rule, opens_photos=opens_photos, advance=advance)
            for dataset, name in zip(sets, name_sets(sets), strict=True)
        ]


def _print_set(figures: "SetStatistics") -> None:
    """Print the facts of one set, and a row for each class."""
    sizes = ", ".join(
        f"{width}x{height} ({photos})" for (width, height), photos in figures.sizes[:3]
    )
    more = len(figures.sizes) - 3
    print_line(
        f"{figures.name}: {figures.num_photos} photos; {sizes}"
        + (f" and {more} more sizes" if more > 0 else "")
    )
    if figures.color is not None:
        for what, values in (("mean", figures.color.mean_rgb), ("std", figures.color.std_rgb)):
            print_line(f"  color {what:4}  {' '.join(f'{value:.4f}' for value in values)}")
    if figures.labels is None:
        print_line("  no labels")
    else:
        _print_classes(figures, figures.labels)
    print_line("")


def _print_classes(figures: "SetStatistics", labels: "LabelStatistics") -> None:
    rows = Table("class", "photos", "objects", "pixels", "median px", box=None, pad_edge=False)
    for column in rows.columns[1:]:
        column.justify = "right"
    for info, one in zip(figures.table.classes, labels.classes, strict=True):
        rows.add_row(
            escape(drop_controls(info.name)),
            str(one.photos),
            str(one.objects),
            f"{100 * one.pixel_share:.2f} %",
            f"{one.area.quantiles_px[3]:.0f}" if one.area else "-",
        )
    out.print(rows)

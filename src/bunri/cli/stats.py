"""``bunri stats``: the contents of a data set, as figures and as a page."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli import options
from bunri.cli.console import clean, make_table, out, print_json, print_line, show_progress
from bunri.stats.statistics import LabelStatistics, SetStatistics


def run_stats(
    data: Annotated[
        list[Path],
        Argument(metavar="DATA.json...", help="COCO files; those with labels share classes."),
    ],
    images: Annotated[
        list[Path] | None,
        Option(metavar="DIR", help="Photos of each file, in order, if not beside it."),
    ] = None,
    page: Annotated[Path, Option("--out", metavar="PAGE.html", help="The page.")] = Path(
        "stats.html"
    ),
    overlap_rule: options.Rule = "largest-first",
    num_samples: Annotated[
        int, Option("--samples", min=0, max=300, help="Photos in the page's gallery.")
    ] = 24,
    no_photos: Annotated[
        bool, Option("--no-photos", help="Count labels only; open no photo.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Describe a data set: classes, objects, sizes, places, colours, sample photos.

    Several files are shown side by side. Writes one page that opens without a network, in
    English and Korean, and the same figures as JSON beside it.

    Example: [bold]bunri stats data/train.json data/val.json --out stats.html[/bold]
    """
    options.require_plotly("bunri stats")
    options.check_page(page, "--out", data)
    from bunri.report.data_sets import report_stats  # imports plotly

    report = report_stats(
        data,
        page,
        images=images or (),
        overlap_rule=overlap_rule,
        num_samples=num_samples,
        opens_photos=not no_photos,
        progress=show_progress,
    )
    if as_json:
        print_json(report.figures)
        return
    for one in report.sets:
        _print_set(one)
    print_line(f"Page: {page}   Figures: {report.figures_path}")


def _print_set(figures: SetStatistics) -> None:
    """Print the facts of one set, and a row for each class."""
    sizes = ", ".join(f"{width}x{height} ({n})" for (width, height), n in figures.sizes[:3])
    more = len(figures.sizes) - 3
    sizes += f" and {more} more sizes" if more > 0 else ""
    print_line(f"{figures.name}: {figures.num_photos} photos; {sizes}")
    if figures.color is not None:
        for what, values in (("mean", figures.color.mean_rgb), ("std", figures.color.std_rgb)):
            print_line(f"  color {what:4}  {' '.join(f'{value:.4f}' for value in values)}")
    if figures.labels is None:
        print_line("  no labels")
    else:
        _print_classes(figures, figures.labels)
    print_line("")


def _print_classes(figures: SetStatistics, labels: LabelStatistics) -> None:
    rows = make_table("class", numbers=("photos", "objects", "pixels", "median px"))
    for info, one in zip(figures.table.classes, labels.classes, strict=True):
        rows.add_row(
            clean(info.name),
            str(one.photos),
            str(one.objects),
            f"{100 * one.pixel_share:.2f} %",
            f"{one.area.quantiles_px[3]:.0f}" if one.area else "-",
        )
    out.print(rows)

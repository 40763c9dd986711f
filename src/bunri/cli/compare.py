"""``bunri compare``: which of several models is better, and whether that is more than chance."""

from collections.abc import Callable
from typing import Annotated, Literal

from typer import Argument, Option

from bunri.cli.console import clean, make_table, out, print_json, print_line
from bunri.cli.options import AsJson, BatchSize
from bunri.cli.score_display import format_difference, format_interval, format_score, print_left_out
from bunri.core.classes import ClassTable
from bunri.scores.comparison import ComparedRun, ComparedScores, Comparison, compare_runs
from bunri.scores.intervals import Difference, ScoreDifferences
from bunri.scores.metrics import list_scores, put_last

SortKey = Literal["global", "per-image", "time", "size", "memory", "name"]
_SORT_VALUES: dict[SortKey, Callable[[ComparedRun], float | str]] = {
    "global": lambda run: put_last(-run.sheet.global_miou),
    "per-image": lambda run: put_last(-run.sheet.per_image_miou),
    "time": lambda run: put_last(run.cost.get("photo_s")),
    "size": lambda run: put_last(run.cost.get("file_bytes")),
    "memory": lambda run: put_last(run.cost.get("peak_memory_bytes")),
    "name": lambda run: run.name,
}


def run_compare(
    runs: Annotated[
        list[str],
        Argument(
            metavar="RUN RUN...",
            help="Evaluation folders, or runs that were evaluated; the first is the baseline.",
        ),
    ],
    sort: Annotated[SortKey | None, Option(help="Order of the rows; as given by default.")] = None,
    batch_size: BatchSize = 16,
    as_json: AsJson = False,
) -> None:
    """Compare evaluated models on the photos that they have in common.

    Every difference has a 95 % interval, from the same draws of photos for both models, and is
    called better or worse only if the interval excludes 0. It is about these models, not about
    training again: two seeds of one recipe may really differ. Masks are compared at the photos'
    own size, and where 256 is written at the submission's 256 x 256.

    Example: [bold]bunri compare runs/first runs/second[/bold]
    """
    comparison = compare_runs(runs, batch_size)
    if as_json:
        print_json(comparison.to_json())
        return
    _print_runs(comparison, sort)
    first, *others = comparison.runs
    for other in others:
        _print_difference(first, other, comparison.table)


def _print_runs(comparison: Comparison, sort: SortKey | None) -> None:
    print_left_out(comparison)
    for run in comparison.runs:
        if run.combine:
            members = ", ".join(f"{one.model} x {one.weight:g}" for one in run.models)
            print_line(f"  {run.name} is an ensemble ({run.combine}): {members}")
    rows = make_table(
        "run", numbers=("global", "95 %", "per-image", "s/photo", "values", "MB", "peak MB")
    )
    runs = sorted(comparison.runs, key=_SORT_VALUES[sort]) if sort else comparison.runs
    for run in runs:
        rows.add_row(
            clean(run.name),
            format_score(run.sheet.global_miou),
            format_interval(run.intervals.overall["global_miou"], digits=3),
            format_score(run.sheet.per_image_miou),
            _format_cost(run, "photo_s", 1, "{:.3f}"),
            _format_cost(run, "parameters", 1, "{:,.0f}"),
            _format_cost(run, "file_bytes", 1e6, "{:.1f}"),
            _format_cost(run, "peak_memory_bytes", 1e6, "{:.0f}"),
        )
    out.print(rows)


def _format_cost(run: ComparedRun, key: str, unit: float, form: str) -> str:
    value = run.cost.get(key)
    return "-" if value is None else form.format(value / unit)


def _print_difference(first: ComparedRun, other: ComparedRun, table: ClassTable) -> None:
    differences, small = other.own.differences, other.small.differences
    if differences is None or small is None:
        return
    print_line(f"\n{other.name} against {first.name}")
    rows = make_table("", numbers=("first", "this", "difference", "95 %"))
    rows.add_column("verdict", no_wrap=True)
    for score in list_scores("set", "photos"):
        rows.add_row(score.label, *_list_overall(first.own, other.own, differences, score.key))
    for label, key in (("global, 256", "global_miou"), ("per-image, 256", "per_image_miou")):
        rows.add_row(label, *_list_overall(first.small, other.small, small, key))
    columns = (table.names, first.sheet.classes, other.sheet.classes, differences.classes["iou"])
    for name, old, new, difference in zip(*columns, strict=True):
        rows.add_row(f"{clean(name)} IoU", *_list_cells(old.iou, new.iou, difference))
    out.print(rows)
    for key, (was, now) in other.settings.items():
        print_line(f"  {key}: {was} -> {now}")


def _list_overall(
    first: ComparedScores, other: ComparedScores, differences: ScoreDifferences, key: str
) -> list[str]:
    old, new = first.sheet.overall[key], other.sheet.overall[key]
    return _list_cells(old, new, differences.overall[key])


def _list_cells(old: float, new: float, difference: Difference) -> list[str]:
    cells = format_difference(difference, "+.4f")
    return [format_score(old), format_score(new), *cells, difference.verdict]

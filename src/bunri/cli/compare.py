"""``bunri compare``: which of several models is better, and whether that is more than chance."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bunri.cli.console import format_interval, format_score, out, print_json, print_line
from bunri.cli.options import AsJson, BatchSize
from bunri.core.errors import InputError, drop_controls, suggest
from bunri.scores.metrics import put_last

if TYPE_CHECKING:
    from bunri.core.classes import ClassTable
    from bunri.scores.comparison import ComparedRun, ComparedScores, Comparison
    from bunri.scores.intervals import Difference, ScoreDifferences

SORT_KEYS: "dict[str, Callable[[ComparedRun], float | str]]" = {
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
        typer.Argument(
            metavar="RUN RUN...",
            help="Evaluation folders, or runs that were evaluated; the first is what the others "
            "are measured by.",
        ),
    ],
    sort: Annotated[
        str, typer.Option(metavar="KEY", help=f"Order of the rows: {', '.join(SORT_KEYS)}.")
    ] = "",
    batch_size: BatchSize = 16,
    as_json: AsJson = False,
) -> None:
    """Compare evaluated models on the photos that all of them have seen.

    Every difference comes with a 95 % interval, from the same draws of photos for both models,
    and is called better or worse only if that interval leaves out 0. It is about these models,
    not about training again: two seeds of one recipe may really differ. Masks are compared at the
    photos' own size, and where 256 is said at the submission's 256 x 256.

    Example: [bold]bunri compare runs/first runs/second[/bold]
    """
    from bunri.scores.comparison import compare_results
    from bunri.scores.result_files import find_result, read_result

    if sort and sort not in SORT_KEYS:
        raise InputError(f"--sort: there is no key {sort!r}.{suggest(sort, SORT_KEYS)}")
    doubles = sorted({run for run in runs if runs.count(run) > 1})
    if doubles:
        raise InputError(f"Given more than once: {', '.join(doubles)}.")
    results = {run: read_result(find_result(Path(run))) for run in runs}
    comparison = compare_results(results, batch_size)
    if as_json:
        print_json(comparison.to_json())
        return
    _print_runs(comparison, sort)
    first, *others = comparison.runs
    for other in others:
        _print_difference(first, other, comparison.table)


def _print_runs(comparison: "Comparison", sort: str) -> None:
    print_line(f"{len(comparison.photos)} photos that all have")
    for run, left_out in zip(comparison.runs, comparison.left_out, strict=True):
        if left_out:
            print_line(f"  left out of {run.name}: {left_out} photos that others lack")
    for run in comparison.runs:
        if run.combine:
            members = ", ".join(f"{one.model} x {one.weight:g}" for one in run.models)
            print_line(f"  {run.name} is an ensemble ({run.combine}): {members}")
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("run", overflow="fold")
    for name in ("global", "95 %", "per-image", "s/photo", "values", "MB", "peak MB"):
        rows.add_column(name, justify="right", no_wrap=True)
    runs = sorted(comparison.runs, key=SORT_KEYS[sort]) if sort else comparison.runs
    for run in runs:
        rows.add_row(
            escape(drop_controls(run.name)),
            format_score(run.sheet.global_miou),
            format_interval(run.intervals.overall["global_miou"], digits=3),
            format_score(run.sheet.per_image_miou),
            _format_cost(run, "photo_s", 1, "{:.3f}"),
            _format_cost(run, "parameters", 1, "{:,.0f}"),
            _format_cost(run, "file_bytes", 1e6, "{:.1f}"),
            _format_cost(run, "peak_memory_bytes", 1e6, "{:.0f}"),
        )
    out.print(rows)


def _format_cost(run: "ComparedRun", key: str, unit: float, form: str) -> str:
    value = run.cost.get(key)
    return "-" if value is None else form.format(value / unit)


def _print_difference(first: "ComparedRun", other: "ComparedRun", table: "ClassTable") -> None:
    differences, small = other.own.differences, other.small.differences
    if differences is None or small is None:
        return
    print_line(f"\n{other.name} against {first.name}")
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("", overflow="fold")
    for name in ("first", "this", "difference", "95 %"):
        rows.add_column(name, justify="right", no_wrap=True)
    rows.add_column("verdict", no_wrap=True)
    for label, key in (
        ("global mIoU", "global_miou"),
        ("per-image mIoU", "per_image_miou"),
        ("pixel accuracy", "pixel_accuracy"),
    ):
        rows.add_row(label, *_list_overall(first.own, other.own, differences, key))
    for label, key in (("global, 256", "global_miou"), ("per-image, 256", "per_image_miou")):
        rows.add_row(label, *_list_overall(first.small, other.small, small, key))
    columns = (table.names, first.sheet.classes, other.sheet.classes, differences.classes["iou"])
    for name, old, new, difference in zip(*columns, strict=True):
        rows.add_row(
            escape(drop_controls(name)) + " IoU", *_list_cells(old.iou, new.iou, difference)
        )
    out.print(rows)
    for key, (old, new) in other.settings.items():
        print_line(f"  {key}: {old} -> {new}")


def _list_overall(
    first: "ComparedScores", other: "ComparedScores", differences: "ScoreDifferences", key: str
) -> list[str]:
    old, new = getattr(first.sheet, key), getattr(other.sheet, key)
    return _list_cells(old, new, differences.overall[key])


def _list_cells(old: float, new: float, difference: "Difference") -> list[str]:
    interval = difference.interval
    has_interval = interval.to_json() is not None
    return [
        format_score(old),
        format_score(new),
        "-" if difference.verdict == "no data" else f"{difference.value:+.4f}",
        f"{interval.low:+.4f} to {interval.high:+.4f}" if has_interval else "-",
        difference.verdict,
    ]

"""Output of the command line: results on stdout; progress, notes and errors on stderr."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isnan
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bunri.core.classes import ClassTable
from bunri.core.errors import BunriError, drop_controls
from bunri.core.progress import Advance
from bunri.scores.intervals import Interval, ScoreIntervals
from bunri.scores.metrics import ScoreSheet

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_error(error: BunriError) -> None:
    """Print an error as plain text: what is wrong, every fault, the next step."""
    err.print("[bold red]Error:[/bold red] " + escape(drop_controls(str(error), keep="\n")))


def print_note(text: str) -> None:
    """Print one line about the progress of the work."""
    err.print(escape(drop_controls(text, keep="\n")))


def print_warnings(texts: Iterable[str]) -> None:
    """Print what a user should know before trusting a result."""
    for text in texts:
        print_note(text)


def print_line(text: str) -> None:
    """Print one line of a result as plain text: markup and control characters have no effect."""
    out.print(escape(drop_controls(text, keep="\n")))


def print_json(value: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Print a result for machines."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo(text.encode("utf-8", "backslashreplace"))  # as in files.write_json


@contextmanager
def show_progress(label: str, total: int) -> Iterator[Advance]:
    """Show a bar on a terminal, one line elsewhere; a :data:`bunri.core.progress.Progress`."""
    if not err.is_terminal:
        print_note(f"{label}: {total}")
        yield lambda: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    ) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


def print_scores(
    scores: ScoreSheet, intervals: ScoreIntervals, table: ClassTable, title: str
) -> None:
    """Print the three mIoUs, accuracies and the scores of each class, with their intervals."""
    out.print(f"[bold]{escape(drop_controls(title))}[/bold] ({scores.num_photos} photos)")
    print_score("global mIoU", scores.global_miou, intervals.overall["global_miou"],
                "one matrix over the set")  # fmt: skip
    print_score("per-image mIoU", scores.per_image_miou, intervals.overall["per_image_miou"],
                "mean over photos")  # fmt: skip
    print_score("per-batch mIoU", scores.per_batch_miou, None,
                f"mean over batches of {scores.batch_size}")  # fmt: skip
    for name in ("pixel_accuracy", "mean_accuracy", "weighted_iou"):
        label = name.replace("_", " ").replace("iou", "IoU")
        print_score(label, getattr(scores, name), intervals.overall[name])
    _print_class_scores(scores, intervals, table)


def print_score(label: str, value: float, interval: Interval | None, note: str = "") -> None:
    """Print a score on one line, with its interval and a note."""
    shown = format_interval(interval) if interval else ""
    out.print(f"  {label:<15} {format_score(value)}  {shown:<13}  {note}".rstrip())


def _print_class_scores(scores: ScoreSheet, intervals: ScoreIntervals, table: ClassTable) -> None:
    head = f"{100 * intervals.level:g} %"
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("class", overflow="fold")
    for name in ("IoU", head, "prec.", "recall", "F1", "photos", "pixels"):
        rows.add_column(name, justify="right", no_wrap=True)
    total = max(1, scores.num_pixels)
    for info, one, interval in zip(
        table.classes, scores.classes, intervals.classes["iou"], strict=True
    ):
        name = info.name if info.name == info.name_ko else f"{info.name} ({info.name_ko})"
        rows.add_row(
            escape(drop_controls(name)),
            format_score(one.iou),
            format_interval(interval, digits=2),
            *(format_score(value, digits=3) for value in (one.precision, one.recall, one.f1)),
            str(one.photos),
            f"{100 * one.pixels / total:.2f} %",
        )
    out.print(rows)


def format_interval(interval: Interval, *, digits: int = 4) -> str:
    """Return an interval as "0.1234-0.2345", or "-" where there is none."""
    if isnan(interval.low):
        return "-"
    return f"{interval.low:.{digits}f}-{interval.high:.{digits}f}"


def format_score(value: float | None, *, digits: int = 4) -> str:
    """Return a score with four digits, or "no data" for NaN and None."""
    return "no data" if value is None or isnan(value) else f"{value:.{digits}f}"

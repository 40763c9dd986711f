"""How the command line talks: results on stdout, progress and errors on stderr.

Owns progress bars and tables. Knows nothing of the work behind them.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bunri.contracts import BunriError, ClassTable, drop_controls
from bunri.metrics import ScoreSheet

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_error(error: BunriError) -> None:
    """Print an error as plain text: what is wrong, every fault, the next step."""
    err.print("[bold red]Error:[/bold red] " + escape(drop_controls(str(error), keep="\n")))


def print_note(text: str) -> None:
    """Print one line about what is going on."""
    err.print(escape(drop_controls(text, keep="\n")))


def print_line(text: str) -> None:
    """Print one line of a result as plain text: names in it are shown, never obeyed."""
    out.print(escape(drop_controls(text, keep="\n")))


def print_json(value: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Print a result for machines."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo(text.encode("utf-8", "backslashreplace"))  # as in files.write_json


@contextmanager
def show_progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal, one line elsewhere; give a function to call after each item."""
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


def print_scores(scores: ScoreSheet, table: ClassTable, title: str) -> None:
    """Print the three mIoUs and the IoU of each class."""
    out.print(f"[bold]{escape(drop_controls(title))}[/bold] ({scores.num_photos} photos)")
    out.print(f"  global mIoU     {format_score(scores.global_miou)}   one matrix over the set")
    out.print(f"  per-image mIoU  {format_score(scores.per_image_miou)}   mean over photos")
    out.print(
        f"  per-batch mIoU  {format_score(scores.per_batch_miou)}   "
        f"mean over batches of {scores.batch_size}"
    )
    out.print(f"  pixel accuracy  {format_score(scores.pixel_accuracy)}")
    rows = Table("class", "IoU", "photos with it", "share of pixels", box=None, pad_edge=False)
    for column in rows.columns[1:]:
        column.justify = "right"
    total = max(1, sum(scores.class_pixels))
    for info, iou, photos, pixels in zip(
        table.classes, scores.class_iou, scores.class_photos, scores.class_pixels, strict=True
    ):
        name = info.name if info.name == info.name_ko else f"{info.name} ({info.name_ko})"
        rows.add_row(
            escape(drop_controls(name)),
            format_score(iou),
            str(photos),
            f"{100 * pixels / total:.2f} %",
        )
    out.print(rows)


def format_score(value: float | None) -> str:
    """Return a score with four digits, or "no data" for NaN and None."""
    return "no data" if value is None or isnan(value) else f"{value:.4f}"

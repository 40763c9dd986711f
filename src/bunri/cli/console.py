"""Output of the command line: results on stdout; progress, notes and errors on stderr."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bunri.core.errors import BunriError, drop_controls
from bunri.core.progress import Advance

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


def clean(text: str) -> str:
    """Return text for a cell of a table: markup and control characters have no effect."""
    return escape(drop_controls(text))


def make_table(*texts: str, numbers: Sequence[str] = ()) -> Table:
    """Return a table without lines, with columns of text, then of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


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

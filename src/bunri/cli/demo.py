"""``bunri demo``: the whole job on rendered photos, nothing asked."""

import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from bunri.cli.console import out, show_progress
from bunri.cli.options import require_torch
from bunri.cli.training_display import TrainingDisplay, open_display


class _DemoDisplay:
    """One line per finished stage on stdout; bars on stderr while a stage runs."""

    def track(self, label: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        return show_progress(label, total)

    def open_training(self) -> AbstractContextManager[TrainingDisplay]:
        return open_display(shows_epochs=False)

    def end_stage(self, text: str) -> None:
        out.print(escape(text))


def run_demo(
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where everything goes; new or empty.")
    ] = Path("demo"),
    num_scenes: Annotated[int, typer.Option("--scenes", min=60, help="How many to render.")] = 120,
) -> None:
    """Show the whole job on rendered scenes, in about five minutes on two cores.

    Renders a sample data set, checks it, trains the default recipe, evaluates it, writes and
    checks submission.csv, and writes one page with pictures.

    Example: [bold]bunri demo --out demo[/bold]
    """
    require_torch("The demo")
    from bunri.demo import list_next_commands, run_demo

    result = run_demo(folder, _DemoDisplay(), num_scenes=num_scenes)
    out.print(f"\nOpen {result.page} in a browser. Next, for example:")
    for command in list_next_commands(result.run):
        out.print(f"  {command}")
    if shutil.which("bunri") is None:  # run by its path, as make does
        out.print(
            f"To type them as they are: export PATH={Path(sys.argv[0]).parent.absolute()}:$PATH"
        )

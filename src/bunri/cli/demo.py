"""``bunri demo``: the whole job on rendered photos, without a question."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from bunri.cli.console import print_line, show_progress
from bunri.cli.options import require_torch


def run_demo(
    folder: Annotated[
        Path, Option("--out", metavar="DIR", help="Output folder; new or empty.")
    ] = Path("demo"),
    num_scenes: Annotated[
        int, Option("--scenes", min=60, help="Number of scenes to render.")
    ] = 120,
) -> None:
    """Show the whole job on rendered scenes, in about five minutes on two cores.

    Renders a sample data set, checks it, trains the default recipe, evaluates it, writes and
    checks submission.csv, and writes one page with pictures.

    Example: [bold]bunri demo --out demo[/bold]
    """
    require_torch("The demo")
    # These import torch.
    from bunri.cli.training_display import open_display
    from bunri.demo import DemoDisplay, list_next_commands, run_demo

    display = DemoDisplay(show_progress, lambda: open_display(shows_epochs=False), print_line)
    result = run_demo(folder, display, num_scenes=num_scenes)
    print_line(f"\nOpen {result.page} in a browser. Next, for example:")
    for command in list_next_commands(result.run):
        print_line(f"  {command}")
    if shutil.which("bunri") is None:  # run by its path, as make does
        print_line(
            f"To type them as they are: export PATH={Path(sys.argv[0]).parent.absolute()}:$PATH"
        )

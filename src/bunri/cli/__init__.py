"""The command line: one module per command, imported only when that command is called.

Exit codes: 0 done, 1 the answer is no, 2 wrong use or bad input, 130 stopped by the user,
143 by SIGTERM.
"""

import importlib
import inspect
import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from bunri.cli.console import print_error
from bunri.core.errors import BunriError
from bunri.core.version import __version__

COMMANDS = {
    "demo": "Show the whole job on rendered scenes, in about five minutes on two cores.",
    "doctor": "Find what is wrong with a data set: labels, photos, copies, leaks between splits.",
    "stats": "Describe a data set: classes, objects, sizes, places, colours, sample photos.",
    "split": "Split labelled photos into training and validation sets that share no photo.",
    "convert": "Convert labels, and count the pixels that differ when they are read back.",
    "train": "Train a network and keep its best epoch.",
    "evaluate": "Score a model on labelled photos, with 95 % intervals.",
    "compare": "Compare evaluated models on the photos that they have in common.",
    "tune": "Search the settings that a model, or several, predict best with.",
    "export": "Write a trained model as one ONNX file, from photo to classes.",
    "report": "Write a page, or a wrap-up, about several evaluated runs.",
    "predict": "Predict photos: a mask, an overlay with legend, and the area of each class.",
    "pseudo-label": "Label photos with trained models, to train another model on them.",
    "submit": "Predict every photo of test.json and write the competition's submission.csv.",
    "check-submission": "Check a submission.csv: header, rows, ids, lengths, values.",
    "score": "Score a submission.csv against labels, at its own 256 x 256.",
    "vote": "Combine submissions by a vote on every pixel.",
    "view": "Show two submissions and where they differ, as a page.",
}
"""The first line of each command's help, so that ``bunri --help`` imports no command."""


class LazyGroup(TyperGroup):
    """Imports a command's module when the command is called or its own help is shown."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 (Typer's own arguments)
        super().__init__(**settings)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 (click's types, which Typer hides)
        """Return name, command and remaining arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load_command(str(name)), rest


def load_command(name: str) -> TyperCommand:
    """Return a command, from the function ``run_NAME`` of the module ``bunri.cli.NAME``."""
    plain = name.replace("-", "_")
    module = importlib.import_module(f"bunri.cli.{plain}")
    function = getattr(module, f"run_{plain}")
    # Typer keeps the line breaks of a docstring, which are not those of the terminal.
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    single.command(name, help=text)(function)
    command = typer.main.get_command(single)
    assert isinstance(command, TyperCommand)  # noqa: S101 (for mypy)
    return command


app = typer.Typer(
    name="bunri",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What is this waste made of? From COCO annotations to a trained model, honest scores "
    "and a submission.csv.\n\nStart with [bold]bunri demo[/bold]: it shows the whole job on "
    "rendered photos.",
)


@app.callback(invoke_without_command=True)
def run_bunri(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Hold the options of ``bunri`` itself."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; the entry point of ``bunri``."""
    # Threads of OpenMP that wait at a barrier sleep instead of spinning, which would take the core
    # from the processes that load photos. Read when torch loads, so it is set before any command.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except BunriError as error:
        print_error(error)
        sys.exit(2)
    except OSError as error:
        # Not foreseen anywhere: a name too long, a folder without permission.
        where = f"{error.filename}: " if error.filename else ""
        print_error(BunriError(f"{where}{error.strerror or error}."))
        sys.exit(2)

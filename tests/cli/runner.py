"""The command line, run in this process or in one of its own."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from bunri.cli import main
from bunri.cli.console import err, out
from tests.builders import TINY_SETTINGS

COMMANDS = (
    "doctor", "stats", "split", "convert", "train", "evaluate", "predict", "pseudo-label", "submit",
    "check-submission", "score", "compare", "tune", "export", "report", "vote", "view",
)  # fmt: skip

TERMINAL_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "GITHUB_ACTIONS")
"""What makes rich and typer draw for a terminal where there is none."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments):
    """Run a command in this process, as from a shell: through ``main`` and ``sys.argv``.

    Whatever ``main`` does not catch is raised here, so a traceback fails the test.
    """
    stdout = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    stderr = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["bunri", *map(str, arguments)])
        # As in a pipe, wherever the tests run: no colours, no bars, 80 columns.
        for name in TERMINAL_VARIABLES:
            patched.delenv(name, raising=False)
        patched.setenv("COLUMNS", "80")
        patched.setattr("typer.rich_utils.FORCE_TERMINAL", None)
        for console, file in ((out, stdout), (err, stderr)):
            patched.setattr(console, "file", file)
            patched.setattr(console, "_color_system", None)  # chosen when it was made
        with redirect_stdout(stdout), redirect_stderr(stderr):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
    return Ended(code, stdout.buffer.getvalue().decode(), stderr.getvalue())


def plain_environment():
    """Return the environment for a command in a process of its own."""
    kept = {name: text for name, text in os.environ.items() if name not in TERMINAL_VARIABLES}
    return {**kept, "OMP_NUM_THREADS": "1"}


def start(*arguments):
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from bunri.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    )


def list_train_arguments(data, run_folder, *settings):
    """Return the arguments that train the tiny network on the tiny data set."""
    arguments = ["train", "--data", data.train, "--val", data.val, "--out", run_folder]
    for setting in (*TINY_SETTINGS, *settings):
        arguments += ["--set", setting]
    return arguments

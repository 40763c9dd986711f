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

COMMANDS = ("train", "evaluate", "predict", "submit", "check-submission", "score")


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
        patched.setattr(out, "file", stdout)
        patched.setattr(err, "file", stderr)
        with redirect_stdout(stdout), redirect_stderr(stderr):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
    return Ended(code, stdout.buffer.getvalue().decode(), stderr.getvalue())


def start(*arguments):
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from bunri.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def list_train_arguments(data, run_folder, *settings):
    """Return the arguments that train the tiny network on the tiny data set."""
    arguments = ["train", "--data", data.train, "--val", data.val, "--out", run_folder]
    for setting in (*TINY_SETTINGS, *settings):
        arguments += ["--set", setting]
    return arguments

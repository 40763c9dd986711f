"""The list of commands, and what each of them imports."""

import subprocess
import sys

import pytest

from bunri.cli import COMMANDS, load_command
from tests.cli.runner import plain_environment, run


@pytest.mark.parametrize("name", COMMANDS)
def test_command__summary_is_the_first_line_of_its_help(name):
    command = load_command(name)
    text = command.help or ""
    assert COMMANDS[name] == text.split("\n")[0]
    assert f"Example: [bold]bunri {name}" in text


def test_help__lists_every_command():
    ended = run("--help")
    text = " ".join(ended.out.replace("│", " ").split())
    assert all(f"{name} {summary}" in text for name, summary in COMMANDS.items())


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"numpy", "pydantic", "torch", "bunri.cli.train"}),
        (["predict", "--help"], {"torch", "plotly", "bunri.cli.train"}),
        (["train", "--help"], {"torch"}),
        (["score", "--help"], {"torch", "onnxruntime"}),
        (["stats", "--help"], {"plotly"}),
    ],
)
def test_command__imports_no_more_than_it_needs(arguments, absent):
    program = f"""
import sys
from bunri.cli import main
sys.argv = ["bunri", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
print("imported:", *sorted({absent!r} & set(sys.modules)))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=plain_environment(), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("imported:\n")

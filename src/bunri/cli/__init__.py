"""The command line: one file per command, each importing its part only when it runs.

Owns exit codes: 0 done, 1 the answer is no, 2 wrong use or bad input, 130 stopped by the user,
143 by SIGTERM.
"""

import sys

import typer

from bunri.cli import (
    check_submission,
    compare,
    convert,
    demo,
    doctor,
    evaluate,
    export,
    predict,
    pseudo_label,
    report,
    score,
    split,
    stats,
    submit,
    train,
    tune,
    view,
    vote,
)
from bunri.cli.console import print_error
from bunri.core.errors import BunriError

app = typer.Typer(
    name="bunri",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What is this waste made of? From COCO annotations to a trained model, honest scores "
    "and a submission.csv.\n\nStart with [bold]bunri demo[/bold]: it shows the whole job on "
    "rendered photos.",
)
app.command("demo")(demo.run_demo)
app.command("doctor")(doctor.run_doctor)
app.command("stats")(stats.run_stats)
app.command("split")(split.run_split)
app.command("convert")(convert.run_convert)
app.command("train")(train.run_train)
app.command("evaluate")(evaluate.run_evaluate)
app.command("compare")(compare.run_compare)
app.command("tune")(tune.run_tune)
app.command("export")(export.run_export)
app.command("report")(report.run_report)
app.command("predict")(predict.run_predict)
app.command("pseudo-label")(pseudo_label.run_pseudo_label)
app.command("submit")(submit.run_submit)
app.command("check-submission")(check_submission.run_check_submission)
app.command("score")(score.run_score)
app.command("vote")(vote.run_vote)
app.command("view")(view.run_view)


@app.callback(invoke_without_command=True)
def run_bunri(
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    """Hold the options of ``bunri`` itself."""
    if version:
        from bunri.core.version import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; the entry point of ``bunri``."""
    try:
        app()
    except BunriError as error:
        print_error(error)
        sys.exit(2)
    except OSError as error:
        # What no part foresees: a name too long, a folder that may not be entered.
        where = f"{error.filename}: " if error.filename else ""
        print_error(BunriError(f"{where}{error.strerror or error}."))
        sys.exit(2)

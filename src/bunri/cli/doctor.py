"""``bunri doctor``: faults of a data set, and their effect on training."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from typer import Argument, Option

from bunri.cli.console import clean, out, print_json, print_line, show_progress
from bunri.cli.options import AsJson, Images
from bunri.core.errors import InputError
from bunri.doctor.checks import CHECKS
from bunri.doctor.doctor import Repair, check_dataset
from bunri.doctor.examination import Depth
from bunri.doctor.findings import Diagnosis, Finding
from bunri.predict.predictor import load_predictor

_NEEDED = {
    "headers": "the photos (leave out --no-photos)",
    "pixels": "decoded photos (leave out --no-decode)",
    "against": "another split (--against OTHER.json)",
    "against-pixels": "another split and decoded photos",
    "model": "a model (--model MODEL)",
}
_MARKS = {
    "error": "[bold red]error[/bold red]",
    "warning": "[yellow]warning[/yellow]",
    "info": "[cyan]info[/cyan]",
}


def _list_checks(wanted: bool) -> None:
    if wanted:
        rows = Table("check", "severity", "--fix", "finds", box=None, pad_edge=False)
        for check in CHECKS:
            fix = "yes" if check.repair else ""
            rows.add_row(check.name, _MARKS[check.severity], fix, check.title)
        out.print(rows, soft_wrap=False)
        raise typer.Exit


def run_doctor(
    data: Annotated[Path, Argument(metavar="DATA.json", help="COCO file to check.")],
    images: Images = None,
    against: Annotated[
        Path | None, Option(metavar="OTHER.json", help="Another split; it should share no photo.")
    ] = None,
    against_images: Annotated[
        Path | None, Option(metavar="DIR", help="Photos of --against, if not beside it.")
    ] = None,
    fix: Annotated[
        Path | None, Option(metavar="OUT.json", help="Write a repaired copy, and a log beside it.")
    ] = None,
    model: Annotated[
        str | None, Option(metavar="MODEL", help="Also report labels that this model contradicts.")
    ] = None,
    decode: Annotated[
        bool, Option("--decode/--no-decode", help="Decode every photo, or headers only.")
    ] = True,
    photos: Annotated[
        bool, Option("--photos/--no-photos", help="Read the photos, or the JSON alone.")
    ] = True,
    num_examples: Annotated[
        int, Option("--examples", min=1, metavar="N", help="Examples to show of each fault.")
    ] = 3,
    as_json: AsJson = False,
    _: Annotated[
        bool,
        Option("--list", is_eager=True, callback=_list_checks, help="Print all checks and exit."),
    ] = False,
) -> None:
    """Find what is wrong with a data set: labels, photos, copies, leaks between splits.

    Ends with 1 if there are errors: faults that stop training or make a score untrue.
    The file itself is never changed; [bold]--fix[/bold] writes a copy and a log of every change.

    Example: [bold]bunri doctor data/train.json --against data/val.json[/bold]
    """
    depth: Depth = "json" if not photos else "pixels" if decode else "headers"
    if model is not None and depth != "pixels":  # before the model is loaded
        raise InputError("--model needs decoded photos; leave out --no-decode and --no-photos.")
    checked = check_dataset(
        data,
        images,
        against=against,
        against_images=against_images,
        depth=depth,
        model=None if model is None else load_predictor(model),
        fix=fix,
        progress=show_progress,
    )
    diagnosis, repair = checked.diagnosis, checked.repair
    if as_json:
        report = {"data": str(data), **diagnosis.to_json()}
        print_json(report | ({"fix": repair.to_json()} if repair else {}))
    else:
        _print_diagnosis(diagnosis, str(data), num_examples)
        if repair:
            _print_repair(repair)
    if checked.has_errors:
        raise typer.Exit(1)


def _print_diagnosis(diagnosis: Diagnosis, name: str, num_examples: int) -> None:
    """Print every finding with examples, effect and advice, then the totals."""
    print_line(f"{name}: {diagnosis.num_photos} photos, {diagnosis.num_annotations} annotations")
    order = list(_MARKS)
    for finding in sorted(diagnosis.findings, key=lambda f: order.index(f.check.severity)):
        out.print()
        _print_finding(finding, num_examples)
    out.print()
    share = diagnosis.summary.get("contested_pixel_share")
    if share:
        print_line(f"Different classes claim {100 * share:.3f} % of all pixels.")
    words = (("error", "error(s)"), ("warning", "warning(s)"), ("info", "note(s)"))
    counts = [(diagnosis.count(severity), word) for severity, word in words]
    found = ", ".join(f"{count} {word}" for count, word in counts if count)
    num_made = len(CHECKS) - len(diagnosis.skipped)
    print_line(f"{num_made} checks made: {found or 'nothing found'}.")
    for need, what in _NEEDED.items():
        count = sum(check.need == need for check in diagnosis.skipped)
        if count:
            print_line(f"{count} more need {what}.")


def _print_finding(finding: Finding, num_examples: int) -> None:
    check = finding.check
    out.print(
        f"{_MARKS[check.severity]} [bold]{check.name}[/bold] x {finding.count}  {check.title}"
    )
    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="dim", min_width=8)
    rows.add_column(overflow="fold")
    for example in finding.examples[:num_examples]:
        rows.add_row("", clean(str(example)))
    more = finding.count - num_examples
    if more > 0:
        rows.add_row("", f"... and {more} more (--examples {finding.count}, or --json)")
    rows.add_row("effect", check.effect)
    rows.add_row("do", check.advice)
    if check.repair:
        rows.add_row("--fix", check.repair)
    out.print(rows, soft_wrap=False)


def _print_repair(repair: Repair) -> None:
    """Print how many changes of each kind were made and what is left."""
    out.print()
    print_line(f"{repair.path}: {len(repair.changes)} change(s), each listed in {repair.log}")
    for name, count in Counter(change.check for change in repair.changes).items():
        print_line(f"  {name}: {count}")
    remaining = [f.check.name for f in repair.left.findings if f.check.severity == "error"]
    if remaining:
        print_line(f"Errors that only a person can correct: {', '.join(remaining)}.")
    else:
        print_line("No error is left.")

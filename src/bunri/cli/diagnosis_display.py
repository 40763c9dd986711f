"""A diagnosis as text: one block per finding, errors first."""

from collections import Counter

from rich.table import Table

from bunri.cli.console import clean, out, print_line
from bunri.doctor.checks import CHECKS
from bunri.doctor.doctor import Repair
from bunri.doctor.findings import Diagnosis, Finding

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


def print_diagnosis(diagnosis: Diagnosis, name: str, num_examples: int) -> None:
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
    print_line(_format_totals(diagnosis))
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


def print_checks() -> None:
    """Print every check with its severity, what it finds and whether it can be repaired."""
    rows = Table("check", "severity", "--fix", "finds", box=None, pad_edge=False)
    for check in CHECKS:
        rows.add_row(check.name, _MARKS[check.severity], "yes" if check.repair else "", check.title)
    out.print(rows, soft_wrap=False)


def _format_totals(diagnosis: Diagnosis) -> str:
    num_made = len(CHECKS) - len(diagnosis.skipped)
    found = [
        f"{diagnosis.count(severity)} {word}"
        for severity, word in (
            ("error", "error(s)"),
            ("warning", "warning(s)"),
            ("info", "note(s)"),
        )
        if diagnosis.count(severity)
    ]
    return f"{num_made} checks made: {', '.join(found) or 'nothing found'}."


def print_repair(repair: Repair) -> None:
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

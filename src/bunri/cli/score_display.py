"""Scores as text: on one line each, and as tables."""

from math import isnan

from bunri.cli.console import clean, make_table, out, print_line
from bunri.core.classes import ClassTable
from bunri.scores.comparison import Comparison
from bunri.scores.intervals import Difference, Interval, ScoreIntervals
from bunri.scores.metrics import ScoreSheet, list_class_scores, list_scores


def print_left_out(comparison: Comparison) -> None:
    """Print how many photos several runs have in common."""
    print_line(f"{len(comparison.photos)} photos that all have")
    for run, left_out in zip(comparison.runs, comparison.left_out, strict=True):
        if left_out:
            print_line(f"  left out of {run.name}: {left_out} photos that others lack")


def print_scores(
    scores: ScoreSheet, intervals: ScoreIntervals, table: ClassTable, title: str
) -> None:
    """Print the overall scores and those of each class, with their intervals."""
    out.print(f"[bold]{clean(title)}[/bold] ({scores.num_photos} photos)")
    for score in list_scores("set", "photos", "batches"):
        print_score(
            score.label,
            scores.overall[score.key],
            intervals.overall.get(score.key),
            score.note.format(size=scores.batch_size),
        )
    _print_class_scores(scores, intervals, table)


def print_score(label: str, value: float, interval: Interval | None, note: str = "") -> None:
    """Print a score on one line, with its interval and a note."""
    shown = format_interval(interval) if interval else ""
    out.print(f"  {label:<17} {format_score(value)}  {shown:<13}  {note}".rstrip())


def _print_class_scores(scores: ScoreSheet, intervals: ScoreIntervals, table: ClassTable) -> None:
    head = f"{100 * intervals.draws.level:g} %"
    others = [score for score in list_class_scores("set") if score.key != "iou"]
    numbers = ("IoU", head, *(score.label for score in others), "photos", "pixels")
    rows = make_table("class", numbers=numbers)
    total = max(1, scores.num_pixels)
    for info, one, interval in zip(
        table.classes, scores.classes, intervals.classes["iou"], strict=True
    ):
        name = info.name if info.name == info.name_ko else f"{info.name} ({info.name_ko})"
        rows.add_row(
            clean(name),
            format_score(one.iou),
            format_interval(interval, digits=2),
            *(format_score(one.scores[score.key], digits=3) for score in others),
            str(one.photos),
            f"{100 * one.pixels / total:.2f} %",
        )
    out.print(rows)


def format_interval(interval: Interval, *, digits: int = 4) -> str:
    """Return an interval as "0.1234-0.2345", or "-" where there is none."""
    if isnan(interval.low):
        return "-"
    return f"{interval.low:.{digits}f}-{interval.high:.{digits}f}"


def format_difference(difference: Difference, form: str) -> tuple[str, str]:
    """Return a difference and its interval in a format such as ".3f", or "-" for each."""
    interval = difference.interval
    has_interval = interval.to_json() is not None
    return (
        "-" if difference.verdict == "no data" else format(difference.value, form),
        f"{interval.low:{form}} to {interval.high:{form}}" if has_interval else "-",
    )


def format_score(value: float | None, *, digits: int = 4) -> str:
    """Return a score with four digits, or "no data" for NaN and None."""
    return "no data" if value is None or isnan(value) else f"{value:.{digits}f}"

"""How ``bunri evaluate --corruptions`` shows what corruptions cost.

Owns the table. Figures are ``robustness``'.
"""

from typing import TYPE_CHECKING

from rich.table import Table

from bunri.cli.console import format_score, out, print_line

if TYPE_CHECKING:
    from bunri.scores.intervals import Difference
    from bunri.scores.metrics import ScoreSheet
    from bunri.scores.robustness import CorruptionScores, RobustnessScores


def print_robustness(scores: "RobustnessScores", clean: "ScoreSheet") -> None:
    """Print scores under each corruption by their drop, the greatest first.

    Args:
        scores: What to print.
        clean: Of the same photos without corruptions.
    """
    print_line(f"Under corruptions of severity {scores.counts.severity}:")
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("corruption", no_wrap=True)
    for name in ("global", "drop", "95 %", "per-image", "drop", "95 %"):
        rows.add_column(name, justify="right", no_wrap=True)
    clean_scores = (clean.global_miou, clean.per_image_miou)
    first, second = (format_score(value, digits=3) for value in clean_scores)
    rows.add_row("clean", first, "", "", second, "", "")
    for one in (*scores.ranked, scores.mean):
        rows.add_row(*_list_cells(one))
    out.print(rows)
    worst = scores.worst
    print_line(
        f"Mean drop of the global mIoU {_format_drop(scores.mean.drop)}; worst: "
        f"{_show_name(worst)}, {_format_drop(worst.drop)}"
    )


def _list_cells(one: "CorruptionScores") -> list[str]:
    return [
        _show_name(one),
        format_score(one.global_miou, digits=3),
        _format_drop(one.drop),
        _format_interval(one.drop),
        format_score(one.per_image_miou, digits=3),
        _format_drop(one.per_image_drop),
        _format_interval(one.per_image_drop),
    ]


def _show_name(one: "CorruptionScores") -> str:
    return one.name.replace("_", " ")


def _format_drop(drop: "Difference") -> str:
    return "-" if drop.verdict == "no data" else f"{drop.value:.3f}"


def _format_interval(drop: "Difference") -> str:
    if drop.interval.to_json() is None:
        return "-"
    return f"{drop.interval.low:.3f} to {drop.interval.high:.3f}"

"""Table of ``bunri evaluate --corruptions``."""

from collections.abc import Iterator

from bunri.cli.console import make_table, out, print_line
from bunri.cli.score_display import format_score
from bunri.scores.intervals import Difference
from bunri.scores.metrics import ScoreSheet
from bunri.scores.robustness import CorruptionScores, RobustnessScores


def print_robustness(scores: RobustnessScores, clean: ScoreSheet) -> None:
    """Print scores under each corruption by their drop, the greatest first.

    Args:
        scores: Scores under corruptions.
        clean: Scores of the same photos without corruptions.
    """
    print_line(f"Under corruptions of severity {scores.counts.severity}:")
    rows = make_table("corruption", numbers=("global", "drop", "95 %", "per-image", "drop", "95 %"))
    first, second = (
        format_score(value, digits=3) for value in (clean.global_miou, clean.per_image_miou)
    )
    rows.add_row("clean", first, "", "", second, "", "")
    for one in (*scores.ranked, scores.mean):
        rows.add_row(*_list_cells(one))
    out.print(rows)
    worst = scores.worst
    print_line(
        f"Mean drop of the global mIoU {_format_drop(scores.mean.drop)}; worst: "
        f"{worst.name.replace('_', ' ')}, {_format_drop(worst.drop)}"
    )


def _list_cells(one: CorruptionScores) -> Iterator[str]:
    yield one.name.replace("_", " ")
    for score, drop in ((one.global_miou, one.drop), (one.per_image_miou, one.per_image_drop)):
        interval = drop.interval
        yield format_score(score, digits=3)
        yield _format_drop(drop)
        has_interval = interval.to_json() is not None
        yield f"{interval.low:.3f} to {interval.high:.3f}" if has_interval else "-"


def _format_drop(drop: Difference) -> str:
    return "-" if drop.verdict == "no data" else f"{drop.value:.3f}"

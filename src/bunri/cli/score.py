"""``bunri score``: a submission.csv against labels."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from bunri.cli import options
from bunri.cli.console import print_json, print_warnings, show_progress
from bunri.cli.score_display import print_scores
from bunri.submission.score import score_submission


def run_score(
    submission: Annotated[
        Path, Argument(metavar="SUBMISSION.csv", help="Plain or compressed (.csv.gz).")
    ],
    labels: Annotated[Path, Argument(metavar="LABELLED.json", help="COCO file with labels.")],
    images: options.Images = None,
    overlap_rule: options.Rule = "largest-first",
    batch_size: options.BatchSize = 16,
    as_json: options.AsJson = False,
    allow_pseudo: options.AllowPseudo = None,
) -> None:
    """Score a submission.csv against labels, at its own 256 x 256.

    Example: [bold]bunri score submission.csv data/val.json[/bold]
    """
    scores = score_submission(
        submission,
        labels,
        images=images,
        overlap_rule=overlap_rule,
        batch_size=batch_size,
        allow_pseudo=options.is_allowed(allow_pseudo, labels, "--allow-pseudo"),
        progress=show_progress,
    )
    print_warnings(scores.warnings)
    if as_json:
        names = scores.table.names
        files = {"submission": str(submission), "data": str(labels)}
        intervals = scores.intervals.to_json(names)
        print_json({**files, **scores.sheet.to_json(names), "intervals": intervals})
    else:
        print_scores(scores.sheet, scores.intervals, scores.table, f"{submission} against {labels}")

"""``bunri score``: a submission.csv against labels."""

from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import print_json, print_scores, show_progress
from bunri.cli.options import DEFAULT_RULE, AsJson, BatchSize, Images, Rule, parse_rule
from bunri.cli.truth import AllowPseudo, refuse_pseudo_labels


def run_score(
    submission: Annotated[
        Path, typer.Argument(metavar="SUBMISSION.csv", help="Plain or packed (.csv.gz).")
    ],
    labels: Annotated[
        Path, typer.Argument(metavar="LABELLED.json", help="COCO file with the truth.")
    ],
    images: Images = None,
    overlap_rule: Rule = DEFAULT_RULE,
    batch_size: BatchSize = 16,
    as_json: AsJson = False,
    allow_pseudo: AllowPseudo = None,
) -> None:
    """Score a submission.csv against labels, at its own 256 x 256.

    Example: [bold]bunri score submission.csv data/val.json[/bold]
    """
    from bunri.evaluation import score_submission
    from bunri.labels.coco import read_coco, require_labels
    from bunri.scores.intervals import bootstrap_scores
    from bunri.scores.metrics import compute_scores

    rule = parse_rule(overlap_rule)
    dataset = require_labels(read_coco(labels, image_root=images))
    refuse_pseudo_labels(dataset, allow_pseudo)
    with show_progress("Scoring rows", len(dataset.photos)) as advance:
        matrices = score_submission(submission, dataset, rule, advance)
    scores, intervals = compute_scores(matrices, batch_size), bootstrap_scores(matrices)
    if as_json:
        names = dataset.table.names
        print_json(
            {
                "submission": str(submission),
                "data": str(labels),
                **scores.to_json(names),
                "intervals": intervals.to_json(names),
            }
        )
    else:
        print_scores(scores, intervals, dataset.table, f"{submission} against {labels}")

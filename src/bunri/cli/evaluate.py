"""``bunri evaluate``: a model against labelled photos."""

from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import print_json, print_scores, show_progress
from bunri.cli.options import DEFAULT_RULE, AsJson, BatchSize, Images, Model, Rule, parse_rule
from bunri.cli.truth import (
    AllowPseudo,
    AllowTrained,
    refuse_learned_photos,
    refuse_pseudo_labels,
)


def run_evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="Labelled COCO file.")],
    images: Images = None,
    overlap_rule: Rule = DEFAULT_RULE,
    batch_size: BatchSize = 16,
    as_json: AsJson = False,
    allow_pseudo: AllowPseudo = None,
    allow_trained: AllowTrained = None,
) -> None:
    """Score a model on labelled photos, at the photos' own size.

    Refused are photos whose labels the model learned, itself or by a teacher, and pseudo-labels.

    Example: [bold]bunri evaluate runs/first data/val.json[/bold]
    """
    from bunri.annotations.coco import read_coco, require_labels, require_photos
    from bunri.evaluation import evaluate_model
    from bunri.metrics import compute_scores
    from bunri.predict.predictor import load_predictor

    rule = parse_rule(overlap_rule)
    predictor = load_predictor(model)
    dataset = read_coco(data, image_root=images, table=predictor.table)
    require_photos(require_labels(dataset))
    refuse_pseudo_labels(dataset, allow_pseudo)
    refuse_learned_photos(predictor.info, model, dataset, allow_trained)
    with show_progress("Predicting photos", len(dataset.photos)) as advance:
        matrices = evaluate_model(predictor, dataset, rule, advance)
    scores = compute_scores(matrices, batch_size)
    if as_json:
        print_json({"model": model, "data": str(data), **scores.to_json(dataset.table.names)})
    else:
        print_scores(scores, dataset.table, f"{model} on {data}")

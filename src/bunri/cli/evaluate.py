"""``bunri evaluate``: a model against labelled photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bunri.cli.console import print_json, print_note, print_scores, show_progress
from bunri.cli.options import (
    DEFAULT_RULE,
    AllowPseudo,
    AsJson,
    BatchSize,
    Images,
    Model,
    Rule,
    match_allowed,
    parse_rule,
)

if TYPE_CHECKING:
    from bunri.annotations.records import LabelledSet
    from bunri.predict.predictor import Predictor


def run_evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="Labelled COCO file.")],
    images: Images = None,
    overlap_rule: Rule = DEFAULT_RULE,
    batch_size: BatchSize = 16,
    allow_pseudo: AllowPseudo = None,
    allow_trained: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="JSON", help="Score on the photos in this file that MODEL learned from."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on labelled photos, at the photos' own size.

    Refused are photos whose labels the model learned from, itself or by a teacher, and
    pseudo-labels: unless told by name, since such a score is not one on the truth.

    Example: [bold]bunri evaluate runs/first data/val.json[/bold]
    """
    from bunri.annotations.coco import read_coco, require_labels, require_photos, require_truth
    from bunri.evaluation import evaluate_model
    from bunri.metrics import compute_scores
    from bunri.predict.predictor import load_predictor

    rule = parse_rule(overlap_rule)
    predictor = load_predictor(model)
    dataset = read_coco(data, image_root=images, table=predictor.table)
    require_photos(require_labels(dataset))
    if not match_allowed(allow_pseudo or [], [data], "--allow-pseudo"):
        require_truth(dataset)
    _look_for_learned_photos(
        predictor,
        dataset,
        model,
        is_allowed=bool(match_allowed(allow_trained or [], [data], "--allow-trained")),
    )
    with show_progress("Predicting photos", len(dataset.photos)) as advance:
        matrices = evaluate_model(predictor, dataset, rule, advance)
    scores = compute_scores(matrices, batch_size)
    if as_json:
        print_json({"model": model, "data": str(data), **scores.to_json(dataset.table.names)})
    else:
        print_scores(scores, dataset.table, f"{model} on {data}")


def _look_for_learned_photos(
    predictor: "Predictor", dataset: "LabelledSet", model: str, *, is_allowed: bool
) -> None:
    """Refuse photos that the model learned from, or say that there are some."""
    from bunri.contracts import InputError
    from bunri.evaluation import find_learned_photos

    if predictor.info.photo_hashes is None:
        print_note(
            f"{model} was trained before bunri kept which photos a model learned from: that none "
            "of these are among them is for you to know."
        )
        return
    with show_progress("Looking for photos that it learned from", len(dataset.photos)) as advance:
        names = find_learned_photos(predictor.info, dataset, advance)
    what = (
        f"{len(names)} of {len(dataset.photos)} photos in {dataset.source} are among those that "
        f"{model}, or a teacher of it, learned the labels of"
    )
    if names and is_allowed:
        print_note(f"{what}: this is no score on unseen photos.")
    elif names:
        raise InputError(
            f"{what}:",
            problems=list(map(repr, names)),
            hint="Score on other photos. To see a score on these all the same, name the file: "
            f"--allow-trained {dataset.source}",
        )

"""``bunri evaluate``: a model against labelled photos."""

from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import out, print_json, print_line, print_warnings, show_progress
from bunri.cli.options import (
    AllowPseudo,
    AllowTrained,
    AsJson,
    BatchSize,
    Images,
    Models,
    Rule,
    check_page,
    is_allowed,
    require_plotly,
)
from bunri.cli.prediction import Changes, CombineName, Plain, Tiles, Tta, Weights, make_choices
from bunri.cli.robustness_display import print_robustness
from bunri.cli.score_display import print_score, print_scores
from bunri.core.errors import InputError
from bunri.corruptions import DEFAULT_SEVERITY, check_severity
from bunri.evaluation import Evaluation, choose_result_folder, evaluate
from bunri.predict.choices import open_predictor


def run_evaluate(
    models: Models,
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="Labelled COCO file.")],
    images: Images = None,
    overlap_rule: Rule = "largest-first",
    batch_size: BatchSize = 16,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder of evaluation.json and matrices.npz; if MODEL is a run, its folder "
            "evaluation by default.",
        ),
    ] = None,
    weights: Weights = None,
    combine: CombineName = None,
    tta: Tta = None,
    tiles: Tiles = None,
    changes: Changes = None,
    is_plain: Plain = False,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="PAGE.html",
            help="Also write a page with tables and photos, in English and Korean, that opens "
            "without a network. The worst photos are kept beside the evaluation for bunri report.",
        ),
    ] = None,
    has_corruptions: Annotated[
        bool,
        typer.Option(
            "--corruptions",
            help="Also predict every photo under 15 corruptions: noise, blur, dark, glare, dirt, "
            "fog, JPEG and more. Takes 16 times as long.",
        ),
    ] = False,
    severity: Annotated[
        int | None,
        typer.Option(metavar="N", help="Strength of the corruptions, 1 to 5; 3 by default."),
    ] = None,
    as_json: AsJson = False,
    allow_pseudo: AllowPseudo = None,
    allow_trained: AllowTrained = None,
) -> None:
    """Score a model on labelled photos, with 95 % intervals.

    Masks are compared at the photos' own size and at the submission's 256 x 256. The counts of
    each photo are kept, so that bunri compare can pair this model with another. Photos that the
    model, or a teacher of it, was trained on are refused, and so are pseudo-labels. Use
    --corruptions to measure the loss in bad light, with a dirty lens or a bad camera.

    Example: [bold]bunri evaluate runs/first data/val.json --report first.html[/bold]
    """
    severity = _choose_severity(has_corruptions, severity)
    if page is not None:
        require_plotly("--report")
        check_page(page, "--report", [data])
    choices = make_choices(weights, combine, tta, tiles, changes, is_plain=is_plain)
    predictor = open_predictor(models, choices)
    target, why_not = choose_result_folder(predictor, folder)
    print_warnings([why_not] if why_not else [])
    report = None
    if page is not None:
        from bunri.report.evaluation_report import EvaluationReport  # needs plotly

        report = EvaluationReport(page)
    evaluation = evaluate(
        predictor,
        data,
        images=images,
        overlap_rule=overlap_rule,
        batch_size=batch_size,
        severity=severity,
        allow_pseudo=is_allowed(allow_pseudo, data, "--allow-pseudo"),
        allow_trained=is_allowed(allow_trained, data, "--allow-trained"),
        watcher=report,
        progress=show_progress,
    )
    print_warnings(evaluation.warnings)
    if target is not None:
        evaluation.save(target)
    if report is not None:
        report.write(evaluation, target)
    if as_json:
        print_json(evaluation.to_json())
        return
    _print_evaluation(evaluation)
    if target is not None:
        print_line(f"Kept in {target}; compare with another: bunri compare {target} OTHER")
    if page is not None:
        print_line(f"Page: {page}")


def _choose_severity(has_corruptions: bool, severity: int | None) -> int | None:
    """Return the strength of corruptions, None for no corruptions.

    Raises:
        InputError: There is no such severity, or no corruptions are asked for.
    """
    if has_corruptions:
        return check_severity(DEFAULT_SEVERITY if severity is None else severity)
    if severity is not None:
        raise InputError(
            "--severity is the strength of corruptions, but none are asked for.",
            hint="Add --corruptions.",
        )
    return None


def _print_evaluation(evaluation: Evaluation) -> None:
    result, scores = evaluation.result, evaluation.scores
    own, small = scores["photo"], scores["submission"]
    print_scores(own.sheet, own.intervals, result.table, f"{result.model} on {result.data}")
    for score, value, interval in own.list_overall():
        if score.basis in ("boundary", "calibration"):
            print_score(score.label, value, interval, score.note)
    out.print("At the submission's 256 x 256:")
    for label, value, name in (
        ("global mIoU", small.sheet.global_miou, "global_miou"),
        ("per-image mIoU", small.sheet.per_image_miou, "per_image_miou"),
    ):
        print_score(label, value, small.intervals.overall[name])
    if evaluation.robustness is not None:
        print_robustness(evaluation.robustness, own.sheet)

"""``bunri evaluate``: a model against labelled photos."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli import options
from bunri.cli.console import make_table, out, print_json, print_line, print_warnings, show_progress
from bunri.cli.score_display import format_difference, format_score, print_score, print_scores
from bunri.core.errors import InputError
from bunri.corruptions import DEFAULT_SEVERITY, check_severity
from bunri.evaluation import Evaluation, choose_result_folder, evaluate
from bunri.predict.choices import open_predictor
from bunri.scores.metrics import ScoreSheet
from bunri.scores.robustness import CorruptionScores, RobustnessScores


def run_evaluate(
    models: options.Models,
    data: Annotated[Path, Argument(metavar="DATA.json", help="Labelled COCO file.")],
    images: options.Images = None,
    overlap_rule: options.Rule = "largest-first",
    batch_size: options.BatchSize = 16,
    folder: Annotated[
        Path | None,
        Option(
            "--out",
            metavar="FOLDER",
            help="Folder of evaluation.json and matrices.npz; if MODEL is a run, its folder "
            "evaluation by default.",
        ),
    ] = None,
    weights: options.Weights = None,
    combine: options.CombineName = None,
    tta: options.Tta = None,
    tiles: options.Tiles = None,
    changes: options.Changes = None,
    is_plain: options.Plain = False,
    page: Annotated[
        Path | None,
        Option(
            "--report",
            metavar="PAGE.html",
            help="Also write a page with tables and photos, in English and Korean, that opens "
            "without a network. The worst photos are kept beside the evaluation for bunri report.",
        ),
    ] = None,
    has_corruptions: Annotated[
        bool,
        Option(
            "--corruptions",
            help="Also predict every photo under 15 corruptions: noise, blur, dark, glare, dirt, "
            "fog, JPEG and more. Takes 16 times as long.",
        ),
    ] = False,
    severity: Annotated[
        int | None, Option(metavar="N", help="Strength of the corruptions, 1 to 5; 3 by default.")
    ] = None,
    as_json: options.AsJson = False,
    allow_pseudo: options.AllowPseudo = None,
    allow_trained: options.AllowTrained = None,
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
        options.require_plotly("--report")
        options.check_page(page, "--report", [data])
    choices = options.make_choices(weights, combine, tta, tiles, changes, is_plain=is_plain)
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
        allow_pseudo=options.is_allowed(allow_pseudo, data, "--allow-pseudo"),
        allow_trained=options.is_allowed(allow_trained, data, "--allow-trained"),
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
    """Return the strength of corruptions, None for no corruptions."""
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
        _print_robustness(evaluation.robustness, own.sheet)


def _print_robustness(scores: RobustnessScores, clean: ScoreSheet) -> None:
    """Print scores under each corruption by their drop, the greatest first."""
    print_line(f"Under corruptions of severity {scores.counts.severity}:")
    rows = make_table("corruption", numbers=("global", "drop", "95 %", "per-image", "drop", "95 %"))
    first, second = (
        format_score(value, digits=3) for value in (clean.global_miou, clean.per_image_miou)
    )
    rows.add_row("clean", first, "", "", second, "", "")
    for one in (*scores.ranked, scores.mean):
        rows.add_row(*_list_cells(one))
    out.print(rows)
    mean, worst = (format_difference(one.drop, ".3f")[0] for one in (scores.mean, scores.worst))
    name = scores.worst.name.replace("_", " ")
    print_line(f"Mean drop of the global mIoU {mean}; worst: {name}, {worst}")


def _list_cells(one: CorruptionScores) -> Iterator[str]:
    yield one.name.replace("_", " ")
    for score, drop in ((one.global_miou, one.drop), (one.per_image_miou, one.per_image_drop)):
        yield format_score(score, digits=3)
        yield from format_difference(drop, ".3f")

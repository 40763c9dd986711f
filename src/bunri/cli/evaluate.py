"""``bunri evaluate``: a model against labelled photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bunri.cli.console import (
    out,
    print_json,
    print_line,
    print_note,
    print_score,
    print_scores,
    show_progress,
)
from bunri.cli.evaluation_report import EvaluationReport
from bunri.cli.options import (
    DEFAULT_RULE,
    AsJson,
    BatchSize,
    Images,
    Rule,
    check_page,
    parse_rule,
    require_plotly,
)
from bunri.cli.prediction import (
    Changes,
    CombineName,
    Models,
    Plain,
    PredictionChoices,
    Tiles,
    Tta,
    Weights,
    load_chosen,
)
from bunri.cli.robustness_display import print_robustness
from bunri.cli.truth import AllowPseudo, AllowTrained, refuse_learned_photos, refuse_pseudo_labels
from bunri.core.errors import InputError, OutputError

if TYPE_CHECKING:
    from bunri.evaluation import Evaluation
    from bunri.labels.records import LabelledSet
    from bunri.labels.rules import OverlapRule
    from bunri.predict.predictor import AnyPredictor
    from bunri.scores.results import Result, SizeScores, UsedModel


def run_evaluate(
    models: Models,
    data: Annotated[Path, typer.Argument(metavar="DATA.json", help="Labelled COCO file.")],
    images: Images = None,
    overlap_rule: Rule = DEFAULT_RULE,
    batch_size: BatchSize = 16,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Where evaluation.json and matrices.npz go; the folder evaluation of MODEL if "
            "that is a run.",
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
        typer.Option(metavar="N", help="How strong corruptions are, 1 to 5; 3 if not given."),
    ] = None,
    as_json: AsJson = False,
    allow_pseudo: AllowPseudo = None,
    allow_trained: AllowTrained = None,
) -> None:
    """Score a model on labelled photos, with 95 % intervals.

    Masks are compared at the photos' own size and at the submission's 256 x 256. What is kept
    of each photo lets bunri compare pair this model with another. Refused are photos whose
    labels the model learned, itself or by a teacher, and pseudo-labels. With --corruptions, what
    bad light, a dirty lens or a bad camera would cost.

    Example: [bold]bunri evaluate runs/first data/val.json --report first.html[/bold]
    """
    from bunri.labels.coco import read_coco, require_labels, require_photos
    from bunri.predict.ensemble import Ensemble
    from bunri.scores.result_files import write_result
    from bunri.scores.results import Result, describe_result, score_counts
    from bunri.scores.robustness import score_robustness

    severity = _choose_severity(has_corruptions, severity)
    rule = parse_rule(overlap_rule)
    if page is not None:
        require_plotly("--report")
        check_page(page, "--report", [data])
    choices = PredictionChoices(weights, combine, tta, tiles, changes, is_plain)
    predictor = load_chosen(models, choices)
    model = " + ".join(models)
    target = _choose_folder(models, folder)
    dataset = read_coco(data, image_root=images, table=predictor.table)
    require_photos(require_labels(dataset))
    refuse_pseudo_labels(dataset, allow_pseudo)
    refuse_learned_photos(predictor.info, model, dataset, allow_trained)
    report = None if page is None else EvaluationReport(page, model, dataset, predictor)
    evaluation = _evaluate(predictor, dataset, rule, report, severity)
    result = Result(
        model=model,
        data=str(data),
        overlap_rule=rule,
        table=dataset.table,
        photos=tuple(photo.file_name for photo in dataset.photos),
        sizes=evaluation.sizes,
        config=predictor.info.training.get("config") or {},
        models=_list_models(predictor, models),
        combine=predictor.combine if isinstance(predictor, Ensemble) else "",
        prediction=predictor.settings.model_dump(mode="json", exclude_defaults=True),
        is_tuned_here=_is_tuned_on(predictor, data, is_plain=is_plain),
        cost=_measure_cost(models, evaluation.photo_s),
        robustness=evaluation.robustness,
    )
    scores = {size: score_counts(counts, batch_size) for size, counts in result.sizes.items()}
    robustness = None
    if result.robustness is not None:
        robustness = score_robustness(result.robustness, result.sizes["photo"].matrices)
    if target is not None:
        write_result(target, result, scores, robustness)
    if report is not None:
        report.write(result, scores, target, robustness)
    if as_json:
        print_json(describe_result(result, scores, robustness))
        return
    _print_result(result, scores)
    if robustness is not None:
        print_robustness(robustness, scores["photo"].sheet)
    if target is not None:
        print_line(f"Kept in {target}; compare with another: bunri compare {target} OTHER")
    if page is not None:
        print_line(f"Page: {page}")


def _choose_severity(has_corruptions: bool, severity: int | None) -> int | None:
    """Return how strong corruptions are, None without any.

    Raises:
        InputError: There is no such severity, or no corruptions are asked for.
    """
    from bunri.corruptions import DEFAULT_SEVERITY, check_severity

    if not has_corruptions and severity is not None:
        raise InputError(
            "--severity says how strong corruptions are, but none are asked for.",
            hint="Add --corruptions.",
        )
    if not has_corruptions:
        return None
    return check_severity(DEFAULT_SEVERITY if severity is None else severity)


def _evaluate(
    predictor: "AnyPredictor",
    dataset: "LabelledSet",
    rule: "OverlapRule",
    report: EvaluationReport | None,
    severity: int | None,
) -> "Evaluation":
    from bunri.corruptions import NAMES
    from bunri.evaluation import evaluate_model

    label, total = "Predicting photos", len(dataset.photos)
    if severity is not None:
        label, total = f"{label}, clean and corrupted", total * (1 + len(NAMES))
    watch = None if report is None else report.watch
    with show_progress(label, total) as advance:
        return evaluate_model(predictor, dataset, rule, advance, watch, severity)


def _choose_folder(models: list[str], folder: Path | None) -> Path | None:
    """Return where to keep the result.

    None for an ensemble, for a bare bundle, and for a run that may not be written.

    Raises:
        OutputError: ``folder`` cannot be written.
    """
    from bunri.core.files import check_writable
    from bunri.model.lookup import find_model
    from bunri.predict.ensemble import is_ensemble_file
    from bunri.scores.result_files import RESULT_NAME, RUN_RESULT_NAME

    if folder is not None:
        check_writable(folder / RESULT_NAME)
        return folder
    run = Path(models[0])
    if len(models) > 1 or is_ensemble_file(models[0]):
        print_note("The evaluation is not kept: --out FOLDER keeps that of several models.")
        return None
    if find_model(models[0]).parent != run:
        return None
    try:
        check_writable(run / RUN_RESULT_NAME / RESULT_NAME)
    except OutputError as error:
        print_note(f"The evaluation is not kept: {error.message}")
        return None
    return run / RUN_RESULT_NAME


def _list_models(predictor: "AnyPredictor", models: list[str]) -> "tuple[UsedModel, ...]":
    """Return the single models behind a predictor."""
    from bunri.predict.ensemble import Ensemble
    from bunri.scores.results import UsedModel

    if isinstance(predictor, Ensemble):
        pairs = zip(predictor.members, predictor.weights, strict=True)
        return tuple(UsedModel(one.model, one.info.weights_sha256, w) for one, w in pairs)
    return (UsedModel(models[0], predictor.info.weights_sha256),)


def _is_tuned_on(predictor: "AnyPredictor", data: Path, *, is_plain: bool) -> bool:
    """Return whether ``bunri tune`` chose how to predict on these very photos; say so if it did."""
    from bunri.core.files import hash_file
    from bunri.predict.ensemble import Ensemble

    evidence = predictor.info.prediction.get("evidence")
    is_used = isinstance(predictor, Ensemble) or not is_plain  # weights of members stay
    if not (is_used and isinstance(evidence, dict) and evidence.get("helps")):
        return False
    if evidence.get("data_sha256") != hash_file(data):
        return False
    print_note(
        f"How to predict was chosen by bunri tune on {data} itself: the scores are too kind. Score "
        "on other photos, or with --plain."
    )
    return True


def _measure_cost(models: list[str], photo_s: float) -> dict[str, float | None]:
    from bunri.core.files import measure_peak_memory_bytes
    from bunri.predict.ensemble import list_members

    members = list_members(models)
    counts = [member.num_parameters for member in members]
    return {
        "parameters": None if None in counts else sum(filter(None, counts)),
        "file_bytes": sum(member.num_bytes for member in members),
        "photo_s": photo_s,
        "peak_memory_bytes": measure_peak_memory_bytes(),
    }


def _print_result(result: "Result", scores: "dict[str, SizeScores]") -> None:
    own, small = scores["photo"], scores["submission"]
    print_scores(own.sheet, own.intervals, result.table, f"{result.model} on {result.data}")
    print_score("boundary IoU", own.boundary.miou, own.boundary.interval, "mean over classes")
    print_score("calibration", own.calibration.error, own.calibration_interval,
                "expected error of the confidence")  # fmt: skip
    out.print("At the submission's 256 x 256:")
    for label, value, name in (
        ("global mIoU", small.sheet.global_miou, "global_miou"),
        ("per-image mIoU", small.sheet.per_image_miou, "per_image_miou"),
    ):
        print_score(label, value, small.intervals.overall[name])

"""``bunri tune``: what helps a model when it predicts, kept only where it wins beyond chance."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from bunri.cli.console import (
    format_interval,
    format_score,
    out,
    print_json,
    print_line,
    show_progress,
)
from bunri.cli.options import DEFAULT_RULE, AsJson, Images, Rule, parse_rule
from bunri.cli.prediction import Models
from bunri.cli.truth import AllowPseudo, AllowTrained, refuse_learned_photos, refuse_pseudo_labels
from bunri.core.errors import InputError, ModelError, OutputError, drop_controls, suggest

if TYPE_CHECKING:
    from bunri.predict.ensemble import Member
    from bunri.predict.tune import Tuning


def run_tune(
    models: Models,
    data: Annotated[Path, typer.Argument(metavar="VAL.json", help="Labelled COCO file.")],
    images: Images = None,
    overlap_rule: Rule = DEFAULT_RULE,
    score: Annotated[
        str, typer.Option("--by", metavar="SCORE", help="What shall grow, such as per_image_miou.")
    ] = "global_miou",
    tries_crf: Annotated[
        bool, typer.Option("--crf", help="Try a CRF, too; it takes most of the time.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--out", metavar="JSON", help="The ensemble's file; for several models."),
    ] = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Show the search, keep nothing.")] = (
        False
    ),
    as_json: AsJson = False,
    allow_pseudo: AllowPseudo = None,
    allow_trained: AllowTrained = None,
) -> None:
    """Search how a model, or several, predict best: views, weights, claims, region sizes.

    What wins on VAL.json beyond chance is kept in the bundle, or for several models in a file that
    is a MODEL itself, with the evidence; predict, evaluate and submit then use it. What does not
    win is not kept.

    Example: [bold]bunri tune runs/first data/val.json[/bold]

    Several: [bold]bunri tune runs/a runs/b data/val.json --out runs/both.json[/bold]
    """
    from bunri.labels.coco import read_coco, require_labels, require_photos
    from bunri.predict.ensemble import Member, list_differences
    from bunri.predict.tune import SCORES, tune

    rule = parse_rule(overlap_rule)
    if score not in SCORES:
        raise InputError(f"--by: there is no score {score!r}.{suggest(score, SCORES)}")
    members = [Member(model, lambda _: _plain()) for model in models]
    problems = list_differences([(member.model, member.info.table) for member in members])
    if problems:
        raise ModelError("These models have different class tables:", problems=problems)
    if not is_dry:
        _check_target(models, output)
    dataset = read_coco(data, image_root=images, table=members[0].info.table)
    require_photos(require_labels(dataset))
    refuse_pseudo_labels(dataset, allow_pseudo)
    for member in members:
        refuse_learned_photos(member.info, member.model, dataset, allow_trained)
    tuning = tune(members, dataset, rule, show_progress, score=score, tries_crf=tries_crf)
    evidence = _describe(tuning, data, score, len(dataset.photos))
    kept_in = None if is_dry else _keep(tuning, members, output, evidence)
    if as_json:
        print_json({"kept_in": kept_in and str(kept_in), **evidence})
        return
    _print_trials(tuning, score)
    _print_end(tuning, kept_in)


def _plain() -> Any:  # noqa: ANN401 (PredictionSettings, whose module is not loaded here)
    from bunri.predict.settings import PLAIN

    return PLAIN


def _check_target(models: list[str], output: Path | None) -> None:
    """Refuse a place for the result before the search.

    Raises:
        InputError: ``--out`` is missing or has no meaning, or members lie elsewhere.
        OutputError: It cannot be written, or exists.
    """
    from bunri.core.files import check_writable, is_file
    from bunri.model.bundle import INFO_NAME
    from bunri.model.lookup import find_writable_bundle
    from bunri.predict.ensemble import name_members

    if len(models) == 1:
        if output is not None:
            raise InputError("--out is for several models; what helps one is kept in its bundle.")
        check_writable(find_writable_bundle(models[0]) / INFO_NAME)
        return
    if output is None or output.suffix != ".json":
        raise InputError("Several models need --out FILE.json, where their ensemble is described.")
    if is_file(output):
        raise OutputError(f"{output} exists already.", hint="Choose another name with --out.")
    check_writable(output)
    name_members(output, models)


def _describe(tuning: "Tuning", data: Path, score: str, num_photos: int) -> dict[str, Any]:
    from bunri.core.files import hash_file

    return {
        "data": str(data),
        "data_sha256": hash_file(data),
        "photos": num_photos,
        "score": score,
        "level": tuning.level,
        "helps": tuning.helps,
        "settings": tuning.best.settings.model_dump(mode="json", exclude_defaults=True),
        "weights": list(tuning.best.weights),
        "combine": tuning.best.combine,
        "trials": [trial.to_json() for trial in tuning.trials],
    }


def _keep(
    tuning: "Tuning", members: "list[Member]", output: Path | None, evidence: dict[str, Any]
) -> Path:
    from bunri.model.bundle import write_prediction
    from bunri.model.lookup import find_writable_bundle
    from bunri.predict.ensemble import EnsembleFile, write_ensemble

    settings = tuning.best.settings.model_dump(mode="json", exclude_defaults=True)
    prediction = {"settings": settings, "evidence": evidence}
    models = [member.model for member in members]
    if output is None:
        folder = find_writable_bundle(models[0])
        write_prediction(folder, prediction)
        return folder
    best = tuning.best
    write_ensemble(output, EnsembleFile(tuple(models), best.weights, best.combine, prediction))
    return output


def _print_trials(tuning: "Tuning", score: str) -> None:
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("stage", "tried"):
        rows.add_column(name, overflow="fold")
    for name in (score, "gain", f"{100 * tuning.level:.4g} %", ""):
        rows.add_column(name, justify="right", no_wrap=True)
    for trial in tuning.trials:
        gain, interval = "", ""
        if trial.difference is not None:
            gain = f"{trial.difference.value:+.4f}"
            interval = format_interval(trial.difference.interval)
        name = escape(drop_controls(trial.candidate.name))
        kept = "kept" if trial.is_kept else ""
        rows.add_row(trial.stage, name, format_score(trial.score), gain, interval, kept)
    out.print(rows)


def _print_end(tuning: "Tuning", kept_in: Path | None) -> None:
    if not tuning.helps:
        print_line("Nothing helps beyond chance on these photos: predict as the model is.")
    if kept_in is not None:
        print_line(f"Kept, with this evidence: {kept_in}")

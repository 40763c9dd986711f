"""``bunri tune``: settings of prediction, kept only where they win beyond chance."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli import options
from bunri.cli.console import (
    clean,
    make_table,
    out,
    print_json,
    print_line,
    print_warnings,
    show_progress,
)
from bunri.cli.score_display import format_interval, format_score
from bunri.core.errors import InputError, suggest
from bunri.predict.tune import SCORES, Tuning
from bunri.predict.tune_models import tune_models


def run_tune(
    models: options.Models,
    data: Annotated[Path, Argument(metavar="VAL.json", help="Labelled COCO file.")],
    images: options.Images = None,
    overlap_rule: options.Rule = "largest-first",
    score: Annotated[
        str, Option("--by", metavar="SCORE", help=f"Score to maximise: {', '.join(SCORES)}.")
    ] = "global_miou",
    tries_crf: Annotated[
        bool, Option("--crf", help="Also try a CRF, which takes most of the time.")
    ] = False,
    output: Annotated[
        Path | None,
        Option("--out", metavar="JSON", help="Ensemble file to write, for several models."),
    ] = None,
    is_dry: Annotated[bool, Option("--dry-run", help="Only search, keep nothing.")] = False,
    as_json: options.AsJson = False,
    allow_pseudo: options.AllowPseudo = None,
    allow_trained: options.AllowTrained = None,
) -> None:
    """Search the settings that a model, or several, predict best with.

    Tries views, weights, thresholds of classes and sizes of regions. What wins on VAL.json beyond
    chance is kept with the evidence: in the bundle, or for several models in a file that is a
    MODEL itself. predict, evaluate and submit then use it. What does not win is not kept.

    Example: [bold]bunri tune runs/first data/val.json[/bold]

    Several: [bold]bunri tune runs/a runs/b data/val.json --out runs/both.json[/bold]
    """
    if score not in SCORES:
        raise InputError(f"--by: there is no score {score!r}.{suggest(score, SCORES)}")
    tuned = tune_models(
        models,
        data,
        images=images,
        overlap_rule=overlap_rule,
        score=score,
        tries_crf=tries_crf,
        output=output,
        is_dry=is_dry,
        allow_pseudo=options.is_allowed(allow_pseudo, data, "--allow-pseudo"),
        allow_trained=options.is_allowed(allow_trained, data, "--allow-trained"),
        progress=show_progress,
    )
    print_warnings(tuned.warnings)
    if as_json:
        print_json({"kept_in": tuned.kept_in and str(tuned.kept_in), **tuned.evidence})
        return
    _print_trials(tuned.tuning, score)
    if not tuned.tuning.helps:
        print_line("Nothing helps beyond chance on these photos: keep the default settings.")
    if tuned.kept_in is not None:
        print_line(f"Kept, with this evidence: {tuned.kept_in}")


def _print_trials(tuning: Tuning, score: str) -> None:
    numbers = (score, "gain", f"{100 * tuning.level:.4g} %", "")
    rows = make_table("stage", "tried", numbers=numbers)
    for trial in tuning.trials:
        gain, interval = "", ""
        if trial.difference is not None:
            gain = f"{trial.difference.value:+.4f}"
            interval = format_interval(trial.difference.interval)
        name = clean(trial.candidate.name)
        kept = "kept" if trial.is_kept else ""
        rows.add_row(trial.stage, name, format_score(trial.score), gain, interval, kept)
    out.print(rows)

"""The page of several runs side by side: a sortable table, classes, learning curves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bunri.report.experiments import (
    Experiment,
    describe_changes,
    describe_verdict,
    find_best,
    list_changes,
    list_experiments,
    show_difference,
    show_megabytes,
    show_seconds,
)
from bunri.report.page import read_script, show_count, write_page
from bunri.report.plots.evaluation import plot_epochs
from bunri.report.plots.plots import Plot, read_plot_scripts
from bunri.report.records import RunRecord, list_undone
from bunri.report.texts import (
    Built,
    OneLanguage,
    Text,
    Texts,
    clean_name,
    collect_languages,
    describe_classes,
    read_texts,
)
from bunri.scores.comparison import Comparison
from bunri.scores.metrics import replace_nan

_MARKS = {"better": "▲", "worse": "▼"}


def write_experiments_page(
    path: Path, records: Sequence[RunRecord], comparison: Comparison
) -> None:
    """Write the page; ``records`` are in the order of ``comparison``.

    Raises:
        OutputError: The file cannot be written.
    """
    t = read_texts("common", "evaluation", "experiments")
    experiments = list_experiments(records, comparison)
    plots = _build_plots(experiments, t)
    values = {
        "t": t,
        "num_photos": len(comparison.photos),
        "best": find_best(experiments).name,
        "first": experiments[0].name,
        "rows": [describe_row(one, experiments, t) for one in experiments],
        "warnings": [
            *(
                t("warning_run_tuned_here", name=one.name)
                for one in experiments
                if one.record.result.is_tuned_here
            ),
            *list_photo_warnings(comparison, t),
        ],
        "classes": describe_classes(comparison.table),
        "class_rows": _list_class_rows(comparison),
        "names": [one.name for one in experiments],
        "plots": plots,
    }
    scripts = [*(read_plot_scripts() if plots else ()), read_script("sort.js")]
    write_page(path, "experiments.html", values, scripts=scripts)


def describe_row(
    experiment: Experiment, experiments: Sequence[Experiment], t: Texts
) -> dict[str, Any]:
    """Return the table row of a run; columns are sorted by the keys ending in ``_value``."""
    sheet, cost, record = experiment.run.sheet, experiment.run.cost, experiment.record
    small = experiment.run.small
    difference = experiment.difference
    return {
        "name": experiment.name,
        "note": describe_changes(experiment, t),
        "changes": [] if experiment.is_first else list_changes(experiment, t),
        "global": replace_nan(sheet.global_miou),
        "global_interval": experiment.interval,
        "track": _place_interval(experiment, experiments),
        "small": replace_nan(small.sheet.global_miou),
        "small_interval": small.intervals.overall["global_miou"],
        "per_image": replace_nan(sheet.per_image_miou),
        "per_image_interval": experiment.run.intervals.overall["per_image_miou"],
        "difference": difference and show_difference(difference),
        "difference_value": None if difference is None else replace_nan(difference.value),
        "verdict": difference and describe_verdict(difference, t),
        "verdict_class": difference and difference.verdict.replace(" ", "-"),
        "epochs": len(record.history) or None,
        "undone": ", ".join(map(str, list_undone(record.history))),
        "train": show_seconds(record.train_s, t),
        "train_value": record.train_s,
        "photo": show_seconds(cost.get("photo_s"), t),
        "photo_value": cost.get("photo_s"),
        "size": show_megabytes(cost.get("file_bytes")),
        "size_value": cost.get("file_bytes"),
        "parameters": _show_millions(cost.get("parameters")),
        "parameters_value": cost.get("parameters"),
    }


def _show_millions(count: float | None) -> str:
    if count is None:
        return "\N{EN DASH}"
    return f"{count / 1e6:.1f} M" if count >= 1e5 else show_count(count)


def _place_interval(
    experiment: Experiment, experiments: Sequence[Experiment]
) -> dict[str, float] | None:
    """Return the position of an interval in per cent of the range of all runs' intervals."""
    known = [one.interval for one in experiments if one.interval.is_known]
    interval = experiment.interval
    if not interval.is_known:
        return None
    low, high = min(one.low for one in known), max(one.high for one in known)
    span = (high - low) or 1.0
    value = experiment.run.sheet.global_miou
    return {
        "left": round(100 * (interval.low - low) / span, 1),
        "width": round(100 * (interval.high - interval.low) / span, 1),
        "at": round(100 * (value - low) / span, 1),
    }


def list_photo_warnings(comparison: Comparison, t: Texts) -> Iterator[Text]:
    """Yield the photos of each run that were left out because not all runs have them."""
    for run, left_out in zip(comparison.runs, comparison.left_out, strict=True):
        if left_out:
            yield t("warning_left_out", name=clean_name(run.name), count=left_out)


def _list_class_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return for each class its photos, and the IoU of each run with a mark if it differs."""
    first = comparison.runs[0]
    rows = []
    for index, one in enumerate(first.sheet.classes):
        cells = []
        for run in comparison.runs:
            verdict = run.differences and run.differences.classes["iou"][index].verdict
            cells.append(
                {
                    "iou": replace_nan(run.sheet.classes[index].iou),
                    "mark": _MARKS.get(verdict or "", ""),
                    "verdict": verdict if verdict in _MARKS else "",
                }
            )
        rows.append({"photos": one.photos, "cells": cells})
    return rows


def _build_plots(experiments: Sequence[Experiment], t: Texts) -> Built[Plot]:
    shown = [one for one in experiments if one.record.history]
    if not shown:
        return {}

    def build(voice: OneLanguage) -> dict[str, Plot]:
        lines = [(one.name.to(voice.language), one.record.history, "global_miou") for one in shown]
        return {"curves": plot_epochs(lines, voice("global_miou"), voice)}

    return collect_languages(t, build)

"""Evaluated runs as rows of a table: what changed, the scores, the cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.errors import drop_controls
from bunri.report.page import show_signed
from bunri.report.records import RunRecord, shorten_path
from bunri.report.texts import Text, Texts, clean_name, join_texts
from bunri.scores.comparison import ComparedRun, Comparison
from bunri.scores.intervals import Difference, Interval
from bunri.scores.metrics import replace_nan
from bunri.scores.results import UsedModel

MAX_CHANGES = 12
"""Most settings listed for one run; two recipes may differ in all of them."""
_MAX_VALUE_CHARACTERS = 40
_VERDICT_KEYS = {
    "better": "verdict_better",
    "no evidence": "verdict_none",
    "worse": "verdict_worse",
    "no data": "no_data",
}


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run of a table, with its scores on the photos that all runs have."""

    record: RunRecord
    run: ComparedRun

    @property
    def name(self) -> Text:
        """Name for pages."""
        return clean_name(self.record.name)

    @property
    def is_first(self) -> bool:
        """Whether it is the baseline."""
        return self.run.differences is None

    @property
    def is_ensemble(self) -> bool:
        """Whether several models predicted together."""
        return bool(self.run.combine)

    @property
    def difference(self) -> Difference | None:
        """Difference of the global mIoU to the first run; None for the first run."""
        differences = self.run.differences
        return None if differences is None else differences.overall["global_miou"]

    @property
    def interval(self) -> Interval:
        """Interval of the global mIoU."""
        return self.run.intervals.overall["global_miou"]


def list_experiments(records: Sequence[RunRecord], comparison: Comparison) -> list[Experiment]:
    """Return the runs of a comparison with their records, in order."""
    return [Experiment(*pair) for pair in zip(records, comparison.runs, strict=True)]


def find_best(experiments: Sequence[Experiment]) -> Experiment:
    """Return the run with the greatest global mIoU; the first of equals."""
    return max(experiments, key=lambda one: replace_nan(one.run.sheet.global_miou) or 0.0)


def list_changes(experiment: Experiment, t: Texts) -> list[Text]:
    """Return the settings that differ from the first run's, each as "key: old -> new"."""
    changes = [
        clean_name(f"{key}: {_show_setting(old)} \N{RIGHTWARDS ARROW} {_show_setting(new)}")
        for key, (old, new) in experiment.run.settings.items()
    ]
    if len(changes) > MAX_CHANGES:
        changes = [*changes[:MAX_CHANGES], t("warning_more", count=len(changes) - MAX_CHANGES)]
    if experiment.is_ensemble:
        names = [name_model(one) for one in experiment.run.models]
        changes.insert(0, t("ensemble_of", models=join_texts(names)))
    elif not experiment.run.has_settings:
        changes.insert(0, t("settings_unknown"))
    return changes


def name_model(model: UsedModel) -> Text:
    """Return the last two parts of a model's path."""
    return clean_name(shorten_path(Path(model.model)))


def describe_changes(experiment: Experiment, t: Texts) -> Text:
    """Return the changed settings in one line, or that there are none."""
    if experiment.is_first:
        return t("first_run")
    changes = list_changes(experiment, t)
    return join_texts(changes, "; ") if changes else t("no_change")


def _show_setting(value: Any) -> str:  # noqa: ANN401 (any setting)
    text = drop_controls("none" if value is None else str(value))
    if len(text) <= _MAX_VALUE_CHARACTERS:
        return text
    return text[: _MAX_VALUE_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def describe_verdict(difference: Difference, t: Texts) -> Text:
    """Return the verdict in words."""
    return t(_VERDICT_KEYS[difference.verdict])


def show_difference(difference: Difference) -> str:
    """Return a difference with its interval, in points of mIoU: +0.012 (-0.003 to +0.021)."""
    if replace_nan(difference.value) is None:
        return "\N{EN DASH}"
    if not difference.interval.is_known:
        return show_signed(difference.value)
    low, high = map(show_signed, (difference.interval.low, difference.interval.high))
    return f"{show_signed(difference.value)} ({low} \N{HORIZONTAL ELLIPSIS} {high})"


def show_seconds(seconds: float | None, t: Texts) -> Text:
    """Return a time in seconds, minutes or hours."""
    if seconds is None:
        return Text("\N{EN DASH}", "\N{EN DASH}")
    if seconds < 100:
        return t("seconds", number=f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2f}")
    if seconds < 6000:
        return t("minutes", number=f"{seconds / 60:.0f}")
    return t("hours", number=f"{seconds / 3600:.1f}")


def show_megabytes(num_bytes: float | None) -> str:
    """Return bytes as MB."""
    return "\N{EN DASH}" if num_bytes is None else f"{num_bytes / 1e6:.1f} MB"

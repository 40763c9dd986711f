"""Comparison of evaluations on the photos they share: scores, settings and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError
from bunri.scores.confusion import Matrices
from bunri.scores.intervals import (
    ScoreDifferences,
    ScoreIntervals,
    bootstrap_difference,
    bootstrap_scores,
)
from bunri.scores.metrics import ScoreSheet, compute_scores
from bunri.scores.result_files import find_result, read_result
from bunri.scores.results import Result, UsedModel


@dataclass(frozen=True, slots=True)
class ComparedScores:
    """Scores of a run at one size, on the shared photos; the first run has no differences."""

    sheet: ScoreSheet
    intervals: ScoreIntervals
    differences: ScoreDifferences | None

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            **self.sheet.to_json(class_names),
            "intervals": self.intervals.to_json(class_names),
            "differences": self.differences and self.differences.to_json(class_names),
        }


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One evaluation, on the shared photos.

    Attributes:
        own: Scores at the photos' own size.
        small: Scores at the submission's 256 x 256.
        settings: Settings of training and prediction that differ from the first run's:
            key -> (first, this); None where a run lacks the key.
        has_settings: Whether the settings of training are known of both.
    """

    name: str
    own: ComparedScores
    small: ComparedScores
    settings: Mapping[str, tuple[Any, Any]]
    has_settings: bool
    models: tuple[UsedModel, ...]
    combine: str
    cost: Mapping[str, float | None]

    @property
    def sheet(self) -> ScoreSheet:
        """Scores at the photos' own size."""
        return self.own.sheet

    @property
    def intervals(self) -> ScoreIntervals:
        """Intervals at the photos' own size."""
        return self.own.intervals

    @property
    def differences(self) -> ScoreDifferences | None:
        """Differences at the photos' own size."""
        return self.own.differences


@dataclass(frozen=True, slots=True)
class Comparison:
    """Evaluations on the photos that they share; the first run is the baseline.

    Attributes:
        photos: File names, in the order of the first run.
        left_out: Number of photos of each run that not all runs have.
    """

    table: ClassTable
    photos: tuple[str, ...]
    left_out: tuple[int, ...]
    runs: tuple[ComparedRun, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        names = self.table.names
        return {
            "num_photos": len(self.photos),
            "runs": [
                {
                    "name": run.name,
                    "left_out_photos": left_out,
                    **run.own.to_json(names),
                    "submission_size": run.small.to_json(names),
                    "models": [asdict(one) for one in run.models],
                    "combine": run.combine,
                    "settings": {
                        key: {"first": first, "this": this}
                        for key, (first, this) in run.settings.items()
                    },
                    "cost": dict(run.cost),
                }
                for run, left_out in zip(self.runs, self.left_out, strict=True)
            ],
        }


def compare_runs(runs: Sequence[str | Path], batch_size: int = 16) -> Comparison:
    """Compare evaluation folders, or runs that hold one; the first is the baseline.

    Raises:
        PathError: One holds no evaluation.
        InputError: One is given twice or is damaged, or they cannot be compared.
    """
    names = [str(run) for run in runs]
    check_no_repeats(names)
    return compare_results({n: read_result(find_result(Path(n))) for n in names}, batch_size)


def check_no_repeats(runs: Sequence[str]) -> None:
    """Raise :class:`InputError` for runs that are given more than once."""
    repeated = sorted({run for run in runs if runs.count(run) > 1})
    if repeated:
        raise InputError(f"Given more than once: {', '.join(repeated)}.")


def compare_results(results: Mapping[str, Result], batch_size: int = 16) -> Comparison:
    """Compare two evaluations or more at both sizes, each with the first, photo by photo.

    Raises:
        InputError: Fewer than two, different classes, no photo in common, or photos that have
            other labels in one than in another.
    """
    if len(results) < 2:
        raise InputError(f"Comparing takes two evaluations or more, not {len(results)}.")
    return line_up_results(results, batch_size)


def line_up_results(results: Mapping[str, Result], batch_size: int = 16) -> Comparison:
    """Compare evaluations as :func:`compare_results` does, but allow a single one.

    Raises:
        InputError: Different classes or labels, or no photo in common.
    """
    all_results = list(results.values())
    first = all_results[0]
    _check_classes(results)
    shared = set(first.photos).intersection(*(result.photos for result in all_results))
    photos = tuple(name for name in first.photos if name in shared)
    if not photos:
        raise InputError(
            f"{', '.join(results)} have no photo in common.",
            hint="Evaluate all of them on one file.",
        )
    _check_labels(results, photos)
    return Comparison(
        first.table,
        photos,
        tuple(len(result.photos) - len(photos) for result in all_results),
        tuple(
            ComparedRun(
                name,
                _score_size(first, result, photos, "photo", batch_size),
                _score_size(first, result, photos, "submission", batch_size),
                _find_differing_settings(first, result),
                bool(first.config and result.config),
                result.models,
                result.combine,
                result.cost,
            )
            for name, result in results.items()
        ),
    )


def pair_results(
    baseline: Result, candidate: Result, photos: Sequence[str], size: str = "photo"
) -> ScoreDifferences:
    """Return the paired differences of two evaluations on photos that both have.

    Raises:
        InputError: No photos, or other labels.
    """
    return bootstrap_difference(_choose(baseline, photos, size), _choose(candidate, photos, size))


def _score_size(
    first: Result, result: Result, photos: Sequence[str], size: str, batch_size: int
) -> ComparedScores:
    matrices = _choose(result, photos, size)
    return ComparedScores(
        compute_scores(matrices, batch_size),
        bootstrap_scores(matrices),
        None if result is first else pair_results(first, result, photos, size),
    )


def _find_differing_settings(first: Result, result: Result) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ; those of training only where both are known."""
    one, other = (
        {f"prediction.{key}": value for key, value in run.prediction.items()}
        for run in (first, result)
    )
    if first.config and result.config:
        return find_changes({**first.config, **one}, {**result.config, **other})
    return find_changes(one, other)


def find_changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, nested ones as ``a.b``; None where one lacks the key."""
    one, other = dict(_flatten(first)), dict(_flatten(second))
    return {
        key: (one.get(key), other.get(key))
        for key in sorted(one | other)
        if one.get(key) != other.get(key)
    }


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found += _flatten(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _choose(result: Result, photos: Sequence[str], size: str) -> Matrices:
    """Return the matrices of ``photos``, in that order."""
    position = {name: i for i, name in enumerate(result.photos)}
    matrices: Matrices = result.sizes[size].matrices[[position[name] for name in photos]]
    return matrices


def _check_classes(results: Mapping[str, Result]) -> None:
    (first_name, first), *others = results.items()
    problems = [
        f"{name} has {', '.join(other.table.names)}"
        for name, other in others
        if other.table.names != first.table.names
    ]
    if problems:
        raise InputError(
            f"Only models of the same classes can be compared; {first_name} has "
            f"{', '.join(first.table.names)}:",
            problems=problems,
        )


def _check_labels(results: Mapping[str, Result], photos: Sequence[str]) -> None:
    """Refuse runs with different truth, since their scores are not comparable."""
    first_name, first = next(iter(results.items()))
    truth = _choose(first, photos, "photo").sum(2)
    problems = []
    for name, result in results.items():
        differ = np.flatnonzero((_choose(result, photos, "photo").sum(2) != truth).any(1))
        if differ.size:
            problems.append(
                f"{name} ({result.data}, {result.overlap_rule}): {differ.size} of {len(photos)} "
                f"photos, first {photos[differ[0]]!r}"
            )
    if problems:
        raise InputError(
            f"The labels are not those of {first_name} ({first.data}, {first.overlap_rule}):",
            problems=problems,
            hint="Evaluate all of them on one file, with one overlap rule.",
        )

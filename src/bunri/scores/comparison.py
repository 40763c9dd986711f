"""Two or more evaluations side by side: what differs beyond chance, in settings and in cost.

Owns which photos are compared and what is refused. Statistics are ``intervals``'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError
from bunri.scores.intervals import (
    CLASS_SCORES,
    Difference,
    ScoreDifferences,
    ScoreIntervals,
    bootstrap_difference,
    bootstrap_scores,
)
from bunri.scores.metrics import Matrices, ScoreSheet, compute_scores, replace_nan
from bunri.scores.results import Result, UsedModel


@dataclass(frozen=True, slots=True)
class ComparedScores:
    """Scores at one size, on the photos that all have.

    Attributes:
        sheet: Of the run.
        intervals: Of them.
        differences: To the first run, paired; None for that one.
    """

    sheet: ScoreSheet
    intervals: ScoreIntervals
    differences: ScoreDifferences | None

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            **self.sheet.to_json(class_names),
            "intervals": self.intervals.to_json(class_names),
            "differences": _describe_differences(self.differences, class_names),
        }


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One evaluation, on the photos that all have.

    Attributes:
        name: How the user called it.
        own: Scores at the photos' own size.
        small: Scores at the submission's 256 x 256.
        settings: Settings of training and prediction that are not those of the first run:
            key -> (first, this); None where a run lacks the key.
        has_settings: Whether the settings of training are known of both.
        models: As in :class:`~bunri.scores.results.Result`.
        combine: As there.
        cost: As there.
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
        """Of scores at the photos' own size."""
        return self.own.intervals

    @property
    def differences(self) -> ScoreDifferences | None:
        """At the photos' own size."""
        return self.own.differences


@dataclass(frozen=True, slots=True)
class Comparison:
    """Evaluations on the photos that they share; the first is what others are measured by.

    Attributes:
        table: The classes.
        photos: File names, in the order of the first.
        left_out: Photos of each run that not all have, in the order of ``runs``.
        runs: In the order they were given.
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


def compare_results(results: Mapping[str, Result], batch_size: int = 16) -> Comparison:
    """Compare evaluations at both sizes, each with the first, photo by photo.

    Args:
        results: By the name the user gave; at least two.
        batch_size: For the per-batch mIoU.

    Raises:
        InputError: Fewer than two, different classes, no photo in common, or photos that have
            other labels in one than in another.
    """
    if len(results) < 2:
        raise InputError(f"Comparing takes two evaluations or more, not {len(results)}.")
    return line_up_results(results, batch_size)


def line_up_results(results: Mapping[str, Result], batch_size: int = 16) -> Comparison:
    """Do what :func:`compare_results` does, also for one evaluation alone.

    Raises:
        InputError: As there, but for the number.
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
    """Return how much more one scores than another on photos that both have.

    Args:
        baseline: What is measured by.
        candidate: What is measured.
        photos: File names.
        size: One of ``results.SIZES``.

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
    """Return which settings differ; those of training only where both are known."""
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
    """Refuse runs whose truth is not the same: their scores are about different things."""
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


def _describe_differences(
    differences: ScoreDifferences | None, class_names: Sequence[str]
) -> dict[str, Any] | None:
    if differences is None:
        return None
    columns = zip(*(differences.classes[key] for key in CLASS_SCORES), strict=True)
    return {
        **{key: _describe(one) for key, one in differences.overall.items()},
        "classes": [
            {"name": name}
            | {key: _describe(one) for key, one in zip(CLASS_SCORES, row, strict=True)}
            for name, row in zip(class_names, columns, strict=True)
        ],
    }


def _describe(difference: Difference) -> dict[str, Any]:
    return {
        "value": replace_nan(difference.value),
        "interval": difference.interval.to_json(),
        "verdict": difference.verdict,
    }

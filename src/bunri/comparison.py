"""Two or more evaluations side by side: what differs beyond chance, in settings and in cost.

Owns which photos are compared and what is refused. Statistics are ``intervals``'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bunri.contracts import ClassTable, InputError
from bunri.intervals import (
    CLASS_SCORES,
    Difference,
    ScoreDifferences,
    ScoreIntervals,
    bootstrap_difference,
    bootstrap_scores,
)
from bunri.metrics import Matrices, ScoreSheet, compute_scores, replace_nan
from bunri.results import Result


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One evaluation, on the photos that all have.

    Attributes:
        name: How the user called it.
        sheet: Its scores.
        intervals: Their intervals.
        differences: To the first run, paired; None for that one.
        settings: Settings that are not those of the first run: key -> (first, this); None where
            a run lacks the key.
        cost: As in :class:`~bunri.results.Result`.
    """

    name: str
    sheet: ScoreSheet
    intervals: ScoreIntervals
    differences: ScoreDifferences | None
    settings: Mapping[str, tuple[Any, Any]]
    cost: Mapping[str, float | None]


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
                    **run.sheet.to_json(names),
                    "intervals": run.intervals.to_json(names),
                    "differences": _describe_differences(run.differences, names),
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
    """Compare evaluations at the photos' own size, each with the first, photo by photo.

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
    names, all_results = list(results), list(results.values())
    first = all_results[0]
    _check_classes(results)
    shared = set(first.photos).intersection(*(result.photos for result in all_results))
    photos = tuple(name for name in first.photos if name in shared)
    if not photos:
        raise InputError(
            f"{', '.join(names)} have no photo in common.",
            hint="Evaluate all of them on one file.",
        )
    chosen = [_choose(result, photos) for result in all_results]
    _check_labels(names, all_results, chosen, photos)
    return Comparison(
        first.table,
        photos,
        tuple(len(result.photos) - len(photos) for result in all_results),
        tuple(
            ComparedRun(
                name,
                compute_scores(matrices, batch_size),
                bootstrap_scores(matrices),
                None if result is first else bootstrap_difference(chosen[0], matrices),
                find_changes(first.config, result.config),
                result.cost,
            )
            for name, result, matrices in zip(names, all_results, chosen, strict=True)
        ),
    )


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


def _choose(result: Result, photos: Sequence[str]) -> Matrices:
    """Return the matrices of ``photos``, in that order."""
    position = {name: i for i, name in enumerate(result.photos)}
    matrices: Matrices = result.sizes["photo"].matrices[[position[name] for name in photos]]
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


def _check_labels(
    names: Sequence[str],
    results: Sequence[Result],
    chosen: Sequence[Matrices],
    photos: Sequence[str],
) -> None:
    """Refuse runs whose truth is not the same: their scores are about different things."""
    problems = []
    for name, result, matrices in zip(names, results, chosen, strict=True):
        differ = np.flatnonzero((matrices.sum(2) != chosen[0].sum(2)).any(1))
        if differ.size:
            problems.append(
                f"{name} ({result.data}, {result.overlap_rule}): {differ.size} of {len(photos)} "
                f"photos, first {photos[differ[0]]!r}"
            )
    if problems:
        raise InputError(
            f"The labels are not those of {names[0]} ({results[0].data}, "
            f"{results[0].overlap_rule}):",
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

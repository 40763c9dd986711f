"""Sections of the wrap-up, written from the records of runs alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX
from bunri.report.experiments import (
    Experiment,
    describe_changes,
    describe_verdict,
    find_best,
    show_difference,
    show_seconds,
)
from bunri.report.mistakes import count_kinds
from bunri.report.page import show_count, show_figure, show_interval, show_share
from bunri.report.pages.experiments import list_photo_warnings
from bunri.report.texts import Text, Texts, join_texts, name_class
from bunri.report.wrapup.data import describe_data, describe_reproduction
from bunri.report.wrapup.documents import Block, Bullets, Figure, Grid, Paragraph, Section, plain
from bunri.report.wrapup.ensembles import describe_ensembles
from bunri.report.wrapup.lessons import Diagnose, list_lessons
from bunri.scores.comparison import Comparison
from bunri.scores.confusion import Matrix

NUM_CONFUSIONS, NUM_WEAKEST = 6, 3
_CLASS_KEYS = {"better": "class_better", "worse": "class_worse"}
_HELPED = {"better": "helped"}
_FAILED = {"worse": "did_worse", "no evidence": "did_nothing"}


@dataclass(frozen=True, slots=True)
class Material:
    """Input of a wrap-up: runs, the baseline first, and pictures of the best run's worst photos."""

    experiments: Sequence[Experiment]
    comparison: Comparison
    figures: Sequence[Figure]
    diagnose: Diagnose


def write_sections(material: Material, t: Texts) -> list[Section]:
    """Return all sections of the document."""
    writers: dict[str, Callable[[Material, Texts], Iterator[Block]]] = {
        "section_goal": _write_goal,
        "section_data": lambda m, t: describe_data(m.experiments, t),
        "section_experiments": _write_experiments,
        "section_helped": lambda m, t: _write_verdicts(m.experiments, _HELPED, t),
        "section_no_help": lambda m, t: _write_verdicts(m.experiments, _FAILED, t),
        "section_ensemble": lambda m, t: describe_ensembles(m.experiments, m.comparison, t),
        "section_error_analysis": _write_mistakes,
        "section_lessons": _write_lessons,
        "section_reproduce": lambda m, t: describe_reproduction(m.experiments, t),
    }
    return [Section(t(key), list(write(material, t))) for key, write in writers.items()]


def _write_goal(material: Material, t: Texts) -> Iterator[Block]:
    table = material.comparison.table
    best = find_best(material.experiments)
    sheet, intervals = best.run.sheet, best.run.intervals.overall
    names = [name_class(info) for info in table.classes]
    yield Paragraph(t("goal", count=len(names), classes=join_texts(names)))
    yield Paragraph(t("goal_score", photos=len(material.comparison.photos)))
    yield Paragraph(
        t(
            "goal_best",
            name=best.name,
            score=show_figure(sheet.global_miou),
            interval=show_interval(intervals["global_miou"]),
            per_image=show_figure(sheet.per_image_miou),
            per_image_interval=show_interval(intervals["per_image_miou"]),
        )
    )


def _write_experiments(material: Material, t: Texts) -> Iterator[Block]:
    rows = []
    for one in material.experiments:
        difference = one.difference
        rows.append(
            [
                one.name,
                describe_changes(one, t),
                plain(show_figure(one.run.sheet.global_miou)),
                plain(show_interval(one.interval)),
                plain("\N{EN DASH}") if difference is None else describe_verdict(difference, t),
                show_seconds(one.record.train_s, t),
                show_seconds(one.run.cost.get("photo_s"), t),
            ]
        )
    head = ("run_name", "what_changed", "global_miou", "interval_head", "verdict", "train_time",
            "photo_time")  # fmt: skip
    yield Grid([t(key) for key in head], rows, numbers_from=2)
    if len(rows) > 1:
        yield Paragraph(t("caption_experiments", first=material.experiments[0].name))
    warnings = list(list_photo_warnings(material.comparison, t))
    if warnings:
        yield Bullets(warnings)


def _write_verdicts(
    experiments: Sequence[Experiment], keys: Mapping[str, str], t: Texts
) -> Iterator[Block]:
    """Yield the runs with some verdicts, and the classes with the first of these."""
    first, *others = experiments
    if not others:
        yield Paragraph(t("one_run"))
        return
    items = [
        t(
            key,
            name=one.name,
            changes=describe_changes(one, t),
            difference=show_difference(one.difference),
        )
        for verdict, key in keys.items()
        for one in others
        if one.difference is not None and one.difference.verdict == verdict
    ]
    if not items:
        yield Paragraph(t("none_helped" if keys is _HELPED else "none_failed", first=first.name))
    verdict = next(iter(keys))
    items += _list_changed_classes(others, verdict, _CLASS_KEYS[verdict], t)
    if items:
        yield Bullets(items)


def _list_changed_classes(
    experiments: Sequence[Experiment], verdict: str, key: str, t: Texts
) -> Iterator[Text]:
    """Yield for each run the classes whose IoU differs with this verdict."""
    for one in experiments:
        if one.run.differences is None:
            continue
        table = one.record.result.table
        names = [
            name_class(info)
            for info, difference in zip(
                table.classes, one.run.differences.classes["iou"], strict=True
            )
            if difference.verdict == verdict
        ]
        if names:
            yield t(key, run=one.name, classes=join_texts(names))


def _write_mistakes(material: Material, t: Texts) -> Iterator[Block]:
    best = find_best(material.experiments)
    matrix = best.record.result.sizes["photo"].matrices.sum(0)
    classes = [name_class(info) for info in best.record.result.table.classes]
    kinds = count_kinds(matrix)
    wrong = sum(kinds.values())
    shares = {kind: show_share(count / max(1, wrong)) for kind, count in kinds.items()}
    share = show_share(wrong / max(1, int(matrix.sum())))
    yield Paragraph(t("analysis_of", name=best.name, share=share, **shares))
    sheet = best.run.sheet
    known = [i for i, one in enumerate(sheet.classes) if i != BACKGROUND_INDEX and one.photos]
    weakest = sorted(known, key=lambda i: sheet.classes[i].iou)[:NUM_WEAKEST]
    if weakest:
        lines = [
            t(
                "class_score",
                name=classes[i],
                score=show_figure(sheet.classes[i].iou),
                photos=sheet.classes[i].photos,
            )
            for i in weakest
        ]
        yield Paragraph(t("worst_classes", classes=join_texts(lines)))
    yield Paragraph(t("caption_confusions"))
    yield _list_confusions(matrix, classes, t)
    if material.figures:
        yield Paragraph(t("pictures_intro"))
        yield from material.figures
    else:
        yield Paragraph(t("no_pictures"))


def _list_confusions(matrix: Matrix, classes: Sequence[Text], t: Texts) -> Grid:
    """Return the pairs of classes with the most wrong pixels."""
    wrong = matrix * ~np.eye(len(matrix), dtype=np.bool_)
    order = np.argsort(-wrong, axis=None, kind="stable")[:NUM_CONFUSIONS]
    rows = []
    for truth, prediction in zip(*np.unravel_index(order, wrong.shape), strict=True):
        count = int(wrong[truth, prediction])
        if count:
            share = show_share(count / int(matrix[truth].sum()))
            rows.append(
                [classes[truth], classes[prediction], plain(show_count(count)), plain(share)]
            )
    head = ("labelled_as", "predicted_as", "pixels", "share_of_class")
    return Grid([t(key) for key in head], rows, numbers_from=2)


def _write_lessons(material: Material, t: Texts) -> Iterator[Block]:
    lessons = list(list_lessons(material.experiments, material.diagnose, t))
    yield Bullets(lessons) if lessons else Paragraph(t("lesson_none"))

"""The section of the wrap-up about ensembles.

Members are found again among the runs by the SHA-256 of their weights, so that a run that was
trained again since is not taken for the member.
"""

from collections.abc import Iterator, Sequence

from bunri.report.experiments import (
    Experiment,
    describe_verdict,
    find_best,
    name_model,
    show_difference,
)
from bunri.report.page import show_figure, show_interval
from bunri.report.texts import Text, Texts, join_texts
from bunri.report.wrapup.documents import Block, Grid, Paragraph, plain
from bunri.scores.comparison import Comparison, pair_results
from bunri.scores.results import UsedModel


def describe_ensembles(
    experiments: Sequence[Experiment], comparison: Comparison, t: Texts
) -> Iterator[Block]:
    """Yield for each ensemble its members and what it gains over the best of them."""
    ensembles = [one for one in experiments if one.is_ensemble]
    if not ensembles:
        yield Paragraph(t("no_ensemble"))
    for one in ensembles:
        yield from _describe_ensemble(one, experiments, comparison, t)


def find_members(
    ensemble: Experiment, experiments: Sequence[Experiment]
) -> list[tuple[UsedModel, Experiment | None]]:
    """Return the single models of an ensemble, each with its run if it is among the runs."""
    runs = {one.record.weights_sha256: one for one in reversed(experiments)} | {"": None}
    return [(member, runs.get(member.weights_sha256)) for member in ensemble.run.models]


def _describe_ensemble(
    ensemble: Experiment, experiments: Sequence[Experiment], comparison: Comparison, t: Texts
) -> Iterator[Block]:
    members = find_members(ensemble, experiments)
    how = t(f"combine_{ensemble.run.combine}")
    yield Paragraph(t("ensemble_is", name=ensemble.name, count=len(members), how=how))
    rows = [
        [one.name if one else name_model(member), plain(f"{member.weight:g}"), *_list_scores(one)]
        for member, one in members
    ]
    rows.append([t("ensemble_together"), plain(""), *_list_scores(ensemble)])
    head = ("member", "weight", "global_miou", "interval_head", "per_image_miou", "global_256")
    yield Grid([t(key) for key in head], rows)
    known = [one for _, one in members if one is not None]
    unknown = [name_model(member) for member, one in members if one is None]
    if unknown:
        yield Paragraph(t("members_unknown", models=join_texts(unknown)))
    if known:
        yield Paragraph(_describe_gain(ensemble, find_best(known), comparison, t))


def _list_scores(experiment: Experiment | None) -> list[Text]:
    if experiment is None:
        return [plain("\N{EN DASH}")] * 4
    run = experiment.run
    return [
        plain(show_figure(run.sheet.global_miou)),
        plain(show_interval(experiment.interval)),
        plain(show_figure(run.sheet.per_image_miou)),
        plain(show_figure(run.small.sheet.global_miou)),
    ]


def _describe_gain(
    ensemble: Experiment, best: Experiment, comparison: Comparison, t: Texts
) -> Text:
    """Return the difference to the best member, from the same draws of photos for both."""
    differences = pair_results(best.record.result, ensemble.record.result, comparison.photos)
    gain = differences.overall["global_miou"]
    return t(
        "ensemble_gain",
        best=best.name,
        difference=show_difference(gain),
        verdict=describe_verdict(gain, t),
    )

"""Lessons of a series of experiments: checks that show why a result is weaker than it seems."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bunri.core.errors import BunriError
from bunri.core.files import hash_file, is_file
from bunri.report.experiments import Experiment, find_best, show_difference
from bunri.report.page import show_ece, show_share
from bunri.report.records import DataFile, Epoch, list_undone, shorten_path
from bunri.report.texts import Text, Texts, clean_name, join_texts, list_scarce_classes
from bunri.scores.intervals import MIN_PHOTOS
from bunri.scores.results import bound_calibration

MAX_ECE = 0.05
MIN_RISE = 0.05
"""Relative rise of the validation loss over its lowest value from which it is mentioned."""
Diagnose = Callable[[DataFile], Sequence[tuple[str, int]]]
"""Returns the faults of an annotation file, worst first: name of the check and count."""


def list_lessons(experiments: Sequence[Experiment], diagnose: Diagnose, t: Texts) -> Iterator[Text]:
    """Yield a sentence for each check that failed."""
    yield from _check_classes(experiments[0], t)
    yield from _check_seeds(experiments, t)
    for one in experiments:
        yield from _check_difference(one, t)
        if one.record.result.is_tuned_here:
            yield t("lesson_tuned", name=one.name)
        if not one.is_ensemble:
            yield from _check_history(one, t)
    yield from _check_calibration(find_best(experiments), t)
    yield from _check_files(experiments, diagnose, t)


def _check_classes(first: Experiment, t: Texts) -> Iterator[Text]:
    photos = [one.photos for one in first.run.sheet.classes]
    absent, rare = list_scarce_classes(first.record.result.table, photos, MIN_PHOTOS, t)
    if rare:
        yield t("lesson_rare", limit=MIN_PHOTOS, classes=join_texts(rare))
    if absent:
        yield t("lesson_absent", classes=join_texts(absent))


def _check_seeds(experiments: Sequence[Experiment], t: Texts) -> Iterator[Text]:
    twins = [one for one in experiments if list(one.run.settings) == ["seed"]]
    if len([one for one in experiments if not one.is_ensemble]) > 1 and not twins:
        yield t("lesson_no_seeds")
    for one in twins:
        if one.difference is not None:
            difference = show_difference(one.difference)
            yield t("lesson_seeds", name=one.name, first=experiments[0].name, difference=difference)


def _check_difference(experiment: Experiment, t: Texts) -> Iterator[Text]:
    difference, settings = experiment.difference, experiment.run.settings
    if difference is None or list(settings) == ["seed"]:
        return
    if difference.verdict == "no evidence" and difference.value > 0:
        yield t(
            "lesson_wide",
            name=experiment.name,
            difference=show_difference(difference),
            photos=experiment.run.sheet.num_photos,
        )
    if len(settings) > 1:
        yield t("lesson_many_changes", name=experiment.name, count=len(settings))


def _check_history(experiment: Experiment, t: Texts) -> Iterator[Text]:
    history = experiment.record.history
    if not history:
        yield t("lesson_no_record", name=experiment.name)
        return
    last = history[-1].number
    planned = _find_planned(experiment)
    if planned > last:
        yield t("lesson_unfinished", name=experiment.name, epochs=last, planned=planned)
    scores = [(one.global_miou, one.number) for one in history if one.global_miou is not None]
    if len(scores) > 1 and max(scores)[1] == last:
        yield t("lesson_still_rising", name=experiment.name, epochs=last)
    if undone := list_undone(history):
        yield t(
            "lesson_undone",
            name=experiment.name,
            epochs=", ".join(map(str, undone)),
            scale=f"{history[-1].rate_scale:g}",
        )
    yield from _check_losses(experiment.name, history, t)


def _find_planned(experiment: Experiment) -> int:
    """Return the planned number of epochs; 0 if unknown."""
    part = experiment.record.result.config.get("train")
    planned = part.get("epochs") if isinstance(part, Mapping) else None
    return planned if isinstance(planned, int) else 0


def _check_losses(name: Text, history: Sequence[Epoch], t: Texts) -> Iterator[Text]:
    losses = [(one.val_loss, one.number) for one in history if one.val_loss is not None]
    if not losses:
        return
    lowest, best = min(losses)
    rise = losses[-1][0] / lowest - 1 if lowest > 0 else 0.0
    if rise > MIN_RISE:
        yield t("lesson_overfit", name=name, best=best, epochs=losses[-1][1], rise=show_share(rise))


def _check_calibration(best: Experiment, t: Texts) -> Iterator[Text]:
    calibration = best.record.result.sizes["photo"].calibration
    if calibration.error > MAX_ECE:
        shown = show_ece(calibration.error, bound_calibration(calibration))
        yield t("lesson_calibration", name=best.name, ece=shown)


def _check_files(experiments: Sequence[Experiment], diagnose: Diagnose, t: Texts) -> Iterator[Text]:
    files = {
        (file.annotations, file.sha256): file for one in experiments for file in one.record.data
    }
    for file in files.values():
        name = clean_name(shorten_path(file.annotations))
        try:
            faults = diagnose(file) if _is_unchanged(file) else None
        except BunriError:
            faults = None
        if faults is None:
            yield t("lesson_changed_file", file=name)
        if faults:
            lines = join_texts([clean_name(f"{fault} ({count})") for fault, count in faults])
            yield t("lesson_doctor", file=name, findings=lines)


def _is_unchanged(file: DataFile) -> bool:
    try:
        return is_file(file.annotations) and hash_file(file.annotations) == file.sha256
    except OSError:
        return False

"""Sections of the wrap-up about data and reproduction."""

import json
import platform
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from bunri.report.experiments import Experiment
from bunri.report.page import show_count
from bunri.report.records import shorten_path
from bunri.report.texts import Text, Texts, clean_name, join_texts, name_class
from bunri.report.wrapup.documents import Block, Bullets, Code, Grid, Paragraph, plain
from bunri.report.wrapup.ensembles import find_members

_PACKAGES = ("bunri", "torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy",
             "pillow")  # fmt: skip


def describe_data(experiments: Sequence[Experiment], t: Texts) -> Iterator[Block]:
    """Yield the files of training and evaluation, and the photos and pixels of each class."""
    yield Bullets(list(_list_sources(experiments, t)))
    counts = Counter(file for one in experiments for file in dict.fromkeys(one.record.data))
    yield Grid(
        [t("file"), t("part"), t("used_by"), plain("SHA-256")],
        [
            [
                clean_name(shorten_path(file.annotations)),
                t(f"part_{file.part}"),
                plain(count),
                plain((file.sha256 or "")[:16]),
            ]
            for file, count in counts.items()
        ],
        numbers_from=2,
    )
    first = experiments[0]
    sheet, table = first.run.sheet, first.record.result.table
    yield Paragraph(t("caption_val_classes"))
    yield Grid(
        [t("class"), t("photos"), t("pixels")],
        [
            [name_class(info), plain(row.photos), plain(show_count(row.pixels))]
            for info, row in zip(table.classes, sheet.classes, strict=True)
        ],
    )


def _list_sources(experiments: Sequence[Experiment], t: Texts) -> Iterator[Text]:
    """Yield sentences about the files of training and of evaluation, and about licences."""
    trained: dict[str, list[Text]] = {}
    evaluated: dict[str, list[str]] = {}
    licenses: dict[tuple[str, str], None] = {}
    for one in experiments:
        record = one.record
        if used := record.training.get("trained on"):
            trained.setdefault(str(used), []).append(one.name)
        name = shorten_path(Path(record.result.data))
        evaluated.setdefault(record.result.overlap_rule, []).append(name)
        if record.licenses:
            pair = str(record.licenses.get("data")), str(record.licenses.get("weights"))
            licenses[pair] = None
    for used, names in trained.items():
        yield t("trained_on", name=join_texts(names), files=clean_name(used))
    for rule, files in evaluated.items():
        shown = join_texts([clean_name(name) for name in dict.fromkeys(files)])
        yield t("evaluated_on", files=shown, rule=clean_name(rule))
    for data, weights in licenses:
        yield t("licenses_of", data=clean_name(data), weights=clean_name(weights))


def name_recipe(number: int) -> str:
    """Return the file name of the settings of a run, which is counted from 0."""
    return f"run_{number + 1}.yaml"


def describe_reproduction(experiments: Sequence[Experiment], t: Texts) -> Iterator[Block]:
    """Yield the commands that reproduce the runs, seeds and versions."""
    yield Paragraph(t("reproduce_intro"))
    lines: list[str] = []
    for number, one in enumerate(experiments):
        if not one.is_ensemble:
            lines += _list_commands(one, name_recipe(number))
    for one in experiments:
        if one.is_ensemble:
            lines.append(_write_evaluation(one, _list_members(one, experiments)))
    folders = [_name_folder(one) for one in experiments]
    lines.append(_join(["bunri", "report", *folders, "--wrap-up", "--out", "wrap-up"]))
    yield Code(lines)
    seeds = {one.name: one.record.result.config.get("seed") for one in experiments}
    known = [clean_name(f"{name.en} {seed}") for name, seed in seeds.items() if seed is not None]
    versions = join_texts([clean_name(one) for one in _list_versions()])
    notes = [t("reproduce_versions", versions=versions)]
    if known:
        notes.insert(0, t("reproduce_seeds", seeds=join_texts(known)))
    yield Bullets(notes)


def _name_folder(experiment: Experiment) -> str:
    return f"runs/{experiment.name.en.replace('/', '-')}"


def _list_commands(experiment: Experiment, recipe: str) -> Iterator[str]:
    record, folder = experiment.record, _name_folder(experiment)
    if record.result.config and record.data:
        command = ["bunri", "train", "--recipe", f"recipes/{recipe}"]
        for part, option, images in (
            ("train", "--data", "--images"),
            ("val", "--val", "--val-images"),
        ):
            files = [file for file in record.data if file.part == part]
            for file in files:
                command += [option, shorten_path(file.annotations)]
            if any(file.images != file.annotations.parent for file in files):
                for file in files:
                    command += [images, shorten_path(file.images)]
        yield _join([*command, "--out", folder])
    yield _write_evaluation(experiment, [folder])


def _list_members(ensemble: Experiment, experiments: Sequence[Experiment]) -> list[str]:
    """Return the folders or paths of the models of an ensemble."""
    return [
        shorten_path(Path(member.model)) if found is None else _name_folder(found)
        for member, found in find_members(ensemble, experiments)
    ]


def _write_evaluation(experiment: Experiment, models: Sequence[str]) -> str:
    result, folder = experiment.record.result, _name_folder(experiment)
    command = ["bunri", "evaluate", *models, shorten_path(Path(result.data))]
    if experiment.is_ensemble:
        weights = ",".join(f"{one.weight:g}" for one in result.models)
        command += ["--combine", result.combine, "--weights", weights, "--out", folder]
    for key, value in result.prediction.items():
        command += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    return _join([*command, "--report", f"{folder}.html"])


def _join(words: Sequence[str]) -> str:
    return clean_name(shlex.join(words)).en


def _list_versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    for name in _PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue

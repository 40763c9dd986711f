"""What a run left behind, read for pages: epochs, seconds, data files, model facts, scores.

Owns how these files are read back. Knows nothing of pages, and only reads.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError, ModelError, summarize
from bunri.core.files import is_file
from bunri.model.bundle import INFO_NAME, RUN_BUNDLE_NAME, read_bundle
from bunri.report.picture_files import read_pictures
from bunri.report.pictures import Picture
from bunri.scores.result_files import RUN_RESULT_NAME, find_result, read_result
from bunri.scores.results import Result

HISTORY_NAME, TIMINGS_NAME, DATA_NAME = "metrics.jsonl", "timings.jsonl", "data.json"
_MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of ``metrics.jsonl``; None is "no data".

    Attributes:
        number: Counts from 1.
        train_loss: Mean over its samples.
        val_loss: Mean over the validation photos.
        global_miou: On the validation photos.
        per_image_miou: The same.
        num_rollbacks: How often the run was set back to the start of an epoch, up to here.
        rate_scale: What the learning rate was multiplied with for it.
    """

    number: int
    train_loss: float | None
    val_loss: float | None
    global_miou: float | None
    per_image_miou: float | None
    num_rollbacks: int = 0
    rate_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class DataFile:
    """An annotation file that a run used: ``part`` is "train" or "val"."""

    part: str
    annotations: Path
    images: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything that is known of one evaluated run.

    Attributes:
        name: What pages call it.
        given: As the user wrote it.
        result: Its evaluation.
        pictures: The worst photos of that evaluation, if they were kept.
        history: Epochs in order; empty for an evaluation that lies outside of its run.
        train_s: Seconds that all epochs took; None if unknown.
        data: Annotation files; empty if unknown.
        training: What the model's bundle says of its training.
        licenses: Of the photos and of the weights it started from.
        weights_sha256: Of the single model that was evaluated; empty for several, or if unknown.
    """

    name: str
    given: str
    result: Result
    pictures: tuple[Picture, ...] = ()
    history: tuple[Epoch, ...] = ()
    train_s: float | None = None
    data: tuple[DataFile, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    licenses: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""


def read_records(runs: Sequence[str]) -> list[RunRecord]:
    """Return the records of runs or evaluation folders.

    Raises:
        PathError: One holds no evaluation.
        InputError: A file in one is damaged.
    """
    return [
        _read_record(given, name) for given, name in zip(runs, shorten_names(runs), strict=True)
    ]


def shorten_names(runs: Sequence[str]) -> list[str]:
    """Return the last part of each path where these differ, else as much as tells them apart."""
    parts = [Path(run).absolute().parts for run in runs]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(runs)


def shorten_path(path: Path) -> str:
    """Return the last two parts of a path: pages are for others to read."""
    return "/".join(path.parts[-2:])


def _read_record(given: str, name: str) -> RunRecord:
    folder = find_result(Path(given))
    run = folder.parent if folder.name == RUN_RESULT_NAME else folder
    training: Mapping[str, Any] = {}
    licenses: Mapping[str, Any] = {}
    weights_sha256 = ""
    if is_file(run / RUN_BUNDLE_NAME / INFO_NAME):
        try:
            info = read_bundle(run / RUN_BUNDLE_NAME)
        except ModelError as error:
            raise InputError(f"The model of {given} cannot be read: {error.message}") from error
        training, licenses = info.training, info.licenses
        weights_sha256 = info.weights_sha256
    result = read_result(folder)
    if result.models:
        weights_sha256 = "" if result.combine else result.models[0].weights_sha256
    return RunRecord(
        name=name,
        given=given,
        result=result,
        pictures=tuple(read_pictures(folder)),
        history=read_history(run),
        train_s=_read_train_s(run / TIMINGS_NAME),
        data=_read_data(run / DATA_NAME),
        training=training,
        licenses=licenses,
        weights_sha256=weights_sha256,
    )


def read_history(run: Path) -> tuple[Epoch, ...]:
    """Return the epochs of a run folder; none where there is no ``metrics.jsonl``.

    Raises:
        InputError: It is damaged.
    """
    return tuple(_parse_lines(run / HISTORY_NAME, _parse_epoch))


def _parse_epoch(row: dict[str, Any]) -> Epoch:
    miou = row.get("miou") or {}
    return Epoch(
        number=int(row["epoch"]),
        train_loss=_parse_number(row.get("train_loss")),
        val_loss=_parse_number(row.get("val_loss")),
        global_miou=_parse_number(miou.get("global")),
        per_image_miou=_parse_number(miou.get("per_image")),
        num_rollbacks=int(row.get("rollbacks", 0)),
        rate_scale=_parse_number(row.get("rate_scale", 1.0)) or 1.0,
    )


def list_undone(history: Sequence[Epoch]) -> list[int]:
    """Return the epochs that were undone at least once, since training blew up in them."""
    before = [0, *(epoch.num_rollbacks for epoch in history)]
    return [
        epoch.number
        for epoch, earlier in zip(history, before, strict=False)
        if epoch.num_rollbacks > earlier
    ]


def _parse_number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _read_train_s(path: Path) -> float | None:
    seconds = _parse_lines(path, lambda row: (row.get("train_s") or 0) + (row.get("val_s") or 0))
    return _parse_number(sum(seconds)) if seconds else None


def _read_data(path: Path) -> tuple[DataFile, ...]:
    if not is_file(path):
        return ()
    try:
        content = json.loads(_read_text(path))
        return tuple(
            DataFile(
                part, Path(row["annotations"]), Path(row["images"]), str(row.get("sha256") or "")
            )
            for part in ("train", "val")
            for row in content[part]
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {summarize(error)}.") from error


def _parse_lines(path: Path, parse: Any) -> list[Any]:  # noqa: ANN401 (a function of one row)
    """Return what ``parse`` makes of each JSON line; none where there is no file."""
    if not is_file(path):
        return []
    try:
        return [parse(json.loads(line)) for line in _read_text(path).splitlines() if line.strip()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {summarize(error)}.") from error


def _read_text(path: Path) -> str:
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {_MAX_FILE_BYTES} bytes")
    return path.read_text("utf-8")

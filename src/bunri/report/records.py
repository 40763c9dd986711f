"""Records of an evaluated run: epochs, training time, data files, model facts and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasPath, Field

from bunri.core.errors import InputError, ModelError
from bunri.core.files import is_file
from bunri.core.json_files import JsonRecord, parse_json_record, read_json_record
from bunri.model.bundle import INFO_NAME, RUN_BUNDLE_NAME, read_bundle
from bunri.report.pictures import Picture, read_pictures
from bunri.scores.result_files import RUN_RESULT_NAME, find_result, read_result
from bunri.scores.results import Result

HISTORY_NAME, TIMINGS_NAME, DATA_NAME = "metrics.jsonl", "timings.jsonl", "data.json"
_MAX_FILE_BYTES = 64 * 2**20
Line = TypeVar("Line", bound=JsonRecord)


class Epoch(JsonRecord):
    """One epoch of a training, a line of ``metrics.jsonl``; None is "no data".

    ``rate_scale`` is the factor of the learning rate after the rollbacks so far.
    """

    number: int = Field(validation_alias="epoch")
    train_loss: float | None = None
    val_loss: float | None = None
    global_miou: float | None = Field(None, validation_alias=AliasPath("miou", "global"))
    per_image_miou: float | None = Field(None, validation_alias=AliasPath("miou", "per_image"))
    num_rollbacks: int = Field(0, validation_alias="rollbacks")
    rate_scale: float = 1.0


class _TimingsLine(JsonRecord):
    """A line of ``timings.jsonl``."""

    train_s: float | None = None
    val_s: float | None = None


class DataFile(JsonRecord):
    """An annotation file that a run used; ``part`` is "train" or "val"."""

    part: str = ""
    annotations: Path
    images: Path
    sha256: str | None = None


class _DataFiles(JsonRecord):
    """The file ``data.json``."""

    train: tuple[DataFile, ...]
    val: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Records of one evaluated run; parts that are unknown are empty.

    Attributes:
        name: Short name for pages.
        history: Epochs in order; empty for an evaluation that lies outside of its run.
        train_s: Seconds of all epochs.
        training: Facts about the training from the model's bundle.
        licenses: Licences of the photos and of the weights that training started from.
        weights_sha256: SHA-256 of the weights of a single model; empty for several.
    """

    name: str
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
    """Return the shortest ends of the paths that differ from each other."""
    parts = [Path(run).absolute().parts for run in runs]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(runs)


def shorten_path(path: Path) -> str:
    """Return the last two parts of a path, since pages are read by others."""
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
    return tuple(_read_lines(run / HISTORY_NAME, Epoch))


def list_undone(history: Sequence[Epoch]) -> list[int]:
    """Return the epochs that were rolled back at least once because training diverged."""
    counts = [0, *(epoch.num_rollbacks for epoch in history)]
    pairs = zip(history, pairwise(counts), strict=True)
    return [epoch.number for epoch, (before, after) in pairs if after > before]


def _read_train_s(path: Path) -> float | None:
    lines = _read_lines(path, _TimingsLine)
    return sum((one.train_s or 0) + (one.val_s or 0) for one in lines) if lines else None


def _read_data(path: Path) -> tuple[DataFile, ...]:
    if not is_file(path):
        return ()
    files = read_json_record(path, _DataFiles, max_bytes=_MAX_FILE_BYTES)
    return tuple(
        file.model_copy(update={"part": part})
        for part, rows in (("train", files.train), ("val", files.val))
        for file in rows
    )


def _read_lines(path: Path, model: type[Line]) -> list[Line]:
    """Return the record of each JSON line; none where there is no file."""
    if not is_file(path):
        return []
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {_MAX_FILE_BYTES} bytes.")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return [
        parse_json_record(line, model, f"{path}, line {number},")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]

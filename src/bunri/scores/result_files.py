"""Evaluation folders: writing, finding and reading them.

``evaluation.json`` holds the scores and the SHA-256 of ``matrices.npz``, which holds the counts of
each photo. From these any score can be computed again, with intervals, and paired with another
model's.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError, PathError, summarize
from bunri.core.files import is_file, is_folder, write_bytes, write_json
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.core.version import __version__
from bunri.scores.calibration import NUM_BINS, Calibration
from bunri.scores.confusion import ClassCounts
from bunri.scores.results import SIZES, Result, SizeCounts, SizeScores, UsedModel, describe_result
from bunri.scores.robustness import RobustnessCounts, RobustnessScores

FORMAT_VERSION = 2
RESULT_NAME, COUNTS_NAME = "evaluation.json", "matrices.npz"
RUN_RESULT_NAME = "evaluation"
"""Name of the evaluation folder in a run folder."""
_MAX_JSON_BYTES = 256 * 2**20
_MAX_COUNTS_BYTES = 2 * 2**30  # unpacked; ten times a set of 100,000 photos
_HINT = "Make one with: bunri evaluate MODEL DATA.json --out FOLDER"


class _Robustness(JsonRecord):
    class Corruption(JsonRecord):
        name: str

    severity: int
    corruptions: tuple[Corruption, ...]


class _Evaluation(JsonRecord):
    """Part of ``evaluation.json`` that is read back; scores are computed from the counts."""

    newest_format = FORMAT_VERSION

    format: Literal[2]
    model: str
    data: str
    overlap_rule: str
    models: tuple[UsedModel, ...] = ()
    combine: str = ""
    prediction: dict[str, Any] = Field(default_factory=dict)
    is_tuned_here: bool = False
    config: dict[str, Any]
    cost: dict[str, int | float | None]
    photos: tuple[str, ...]
    class_table: tuple[dict[str, Any], ...]
    matrices_sha256: str
    robustness: _Robustness | None = None


def write_result(
    folder: Path,
    result: Result,
    scores: Mapping[str, SizeScores],
    robustness: RobustnessScores | None = None,
) -> None:
    """Write an evaluation folder; an earlier evaluation in it is replaced.

    Each file is written whole or not at all. A crash between the two leaves a pair that does not
    belong together, which :func:`read_result` detects by the SHA-256.

    Raises:
        OutputError: It cannot be written.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for size, counts in result.sizes.items():
        boundary = counts.boundary
        arrays[f"{size}_confusion"] = counts.matrices
        arrays[f"{size}_boundary"] = np.stack(
            (boundary.hits, boundary.truth, boundary.predicted), axis=1
        )
        arrays[f"{size}_calibration"] = np.stack(counts.calibration.photos)
    if robustness is not None:
        under = robustness.counts
        arrays["robustness"] = np.stack((under.hits, under.predicted), axis=2)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    write_bytes(folder / COUNTS_NAME, packed.getvalue())
    content = {
        "format": FORMAT_VERSION,
        "bunri": __version__,
        **describe_result(result, scores, robustness),
        "photos": list(result.photos),
        "class_table": result.table.to_json(),
        "config": dict(result.config),
        "matrices_sha256": hashlib.sha256(packed.getvalue()).hexdigest(),
    }
    write_json(folder / RESULT_NAME, content)


def find_result(path: Path) -> Path:
    """Return the evaluation folder that a path means: itself, or the one in a run folder.

    Raises:
        PathError: There is none.
    """
    for folder in (path, path / RUN_RESULT_NAME):
        if is_file(folder / RESULT_NAME):
            return folder
    what = f"{path} holds no evaluation." if is_folder(path) else f"There is no folder {path}."
    raise PathError(what, hint=_HINT)


def read_result(folder: Path) -> Result:
    """Read and check an evaluation folder.

    Raises:
        InputError: It is no evaluation, damaged, or of another version of the format.
    """
    path = folder / RESULT_NAME
    again = "Evaluate the model again: bunri evaluate MODEL DATA.json --out FOLDER"
    record = read_json_record(path, _Evaluation, max_bytes=_MAX_JSON_BYTES, hint=again)
    try:
        return _parse_result(record, (folder / COUNTS_NAME).read_bytes())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, InputError) as error:
        raise InputError(
            f"{folder} is incomplete or damaged: {summarize(error)}.", hint=again
        ) from error


def _parse_result(record: _Evaluation, packed: bytes) -> Result:
    if hashlib.sha256(packed).hexdigest() != record.matrices_sha256:
        raise ValueError(f"{COUNTS_NAME} is not the file that {RESULT_NAME} describes")
    table = ClassTable.from_json(record.class_table)
    num_photos, num_classes = len(record.photos), len(table)
    if len(set(record.photos)) < num_photos:
        raise ValueError("'photos' must be file names, each of them once")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MAX_COUNTS_BYTES:
            raise ValueError(f"{COUNTS_NAME} unpacks to over {_MAX_COUNTS_BYTES} bytes")
    robustness = None
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        sizes = {size: _parse_counts(arrays, size, num_photos, num_classes) for size in SIZES}
        if record.robustness is not None:
            names = tuple(one.name for one in record.robustness.corruptions)
            shape = (len(names), num_photos, 2, num_classes)
            counts = _take_counts(arrays, "robustness", shape, np.int64)
            robustness = RobustnessCounts(
                record.robustness.severity, names, counts[:, :, 0], counts[:, :, 1]
            )
    facts = {field.name for field in fields(Result)} & set(_Evaluation.model_fields)
    known = {name: getattr(record, name) for name in facts}
    return Result(**known | {"table": table, "sizes": sizes, "robustness": robustness})


def _parse_counts(
    arrays: Mapping[str, npt.NDArray[Any]], size: str, num_photos: int, num_classes: int
) -> SizeCounts:
    shape = (num_photos, num_classes, num_classes)
    matrices = _take_counts(arrays, f"{size}_confusion", shape, np.int64)
    boundary = _take_counts(arrays, f"{size}_boundary", (num_photos, 3, num_classes), np.int64)
    bins = _take_counts(arrays, f"{size}_calibration", (num_photos, 3, NUM_BINS), np.float64)
    return SizeCounts(matrices, ClassCounts(*boundary.swapaxes(0, 1)), Calibration(list(bins)))


def _take_counts(
    arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...], dtype: type
) -> npt.NDArray[Any]:
    array = arrays[name]
    if array.shape != shape or array.dtype != dtype or not (array >= 0).all():
        raise ValueError(f"{name} is not {dtype.__name__} {shape} of counts")
    return array

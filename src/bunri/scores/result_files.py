"""The folder an evaluation is kept in.

Owns its layout, and what is refused when it is read. What it holds is ``results``'.

``evaluation.json`` holds what people and programs want to read, and the SHA-256 of
``matrices.npz``, which holds the counts of each photo. From these any score can be reckoned
again, with intervals, and paired with another model's.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError, PathError, summarize
from bunri.core.files import is_file, is_folder, write_bytes, write_json
from bunri.core.version import __version__
from bunri.scores.calibration import NUM_BINS, Calibration
from bunri.scores.metrics import ClassCounts
from bunri.scores.results import SIZES, Result, SizeCounts, SizeScores, UsedModel, describe_result
from bunri.scores.robustness import RobustnessCounts, RobustnessScores

FORMAT_VERSION = 2
"""1 kept the calibration of all photos together, so that its error has no interval."""
RESULT_NAME, COUNTS_NAME = "evaluation.json", "matrices.npz"
RUN_RESULT_NAME = "evaluation"
"""Where a run folder keeps its evaluation."""
_MAX_COUNTS_BYTES = 2 * 2**30  # unpacked; ten times a set of 100,000 photos
_HINT = "Make one with: bunri evaluate MODEL DATA.json --out FOLDER"


def write_result(
    folder: Path,
    result: Result,
    scores: Mapping[str, SizeScores],
    robustness: RobustnessScores | None = None,
) -> None:
    """Write an evaluation folder; an earlier evaluation in it is replaced.

    Each file is written whole or not at all. A crash between the two leaves a pair that does not
    belong together; :func:`read_result` notices by the SHA-256.

    Raises:
        OutputError: It cannot be written.
    """
    arrays = {
        f"{size}_{name}": array
        for size, counts in result.sizes.items()
        for name, array in _list_arrays(counts).items()
    }
    if robustness is not None:
        counts = robustness.counts
        arrays["robustness"] = np.stack((counts.hits, counts.predicted), axis=2)
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


def _list_arrays(counts: SizeCounts) -> dict[str, npt.NDArray[Any]]:
    boundary, calibration = counts.boundary, counts.calibration
    return {
        "confusion": counts.matrices,
        "boundary": np.stack((boundary.hits, boundary.truth, boundary.predicted), axis=1),
        "calibration": np.stack(calibration.photos),
    }


def find_result(path: Path) -> Path:
    """Return the evaluation folder that a path on the command line means.

    Args:
        path: An evaluation folder, or a run folder that holds one.

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
        InputError: It is none, damaged, or of a newer bunri.
    """
    path = folder / RESULT_NAME
    try:
        content = json.loads(path.read_bytes())
        version = content["format"]
        if type(version) is not int or version < 1:
            raise ValueError(f"'format' is {version!r}")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path} is no evaluation: {summarize(error)}.", hint=_HINT) from error
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} was written by bunri {content.get('bunri')!r}, which is newer than this one "
            f"({__version__}).",
            hint="Upgrade with: pip install --upgrade bunri",
        )
    try:
        return _parse_result(content, (folder / COUNTS_NAME).read_bytes())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile,
            InputError) as error:  # fmt: skip
        raise InputError(
            f"{folder} is incomplete or damaged: {summarize(error)}.",
            hint="Evaluate the model again.",
        ) from error


def _parse_result(content: dict[str, Any], packed: bytes) -> Result:
    if hashlib.sha256(packed).hexdigest() != content["matrices_sha256"]:
        raise ValueError(f"{COUNTS_NAME} is not the file that {RESULT_NAME} describes")
    table = ClassTable.from_json(content["class_table"])
    photos = tuple(content["photos"])
    if len(set(photos)) < len(photos) or not all(isinstance(name, str) for name in photos):
        raise ValueError("'photos' must be file names, each of them once")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MAX_COUNTS_BYTES:
            raise ValueError(f"{COUNTS_NAME} unpacks to over {_MAX_COUNTS_BYTES} bytes")
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        sizes = {size: _parse_counts(arrays, size, len(photos), len(table)) for size in SIZES}
        robustness = _parse_robustness(
            arrays, content.get("robustness"), (len(photos), 2, len(table))
        )
    return Result(
        model=str(content["model"]),
        data=str(content["data"]),
        overlap_rule=str(content["overlap_rule"]),
        table=table,
        photos=photos,
        sizes=sizes,
        config=dict(content["config"]),
        models=tuple(map(_parse_model, content.get("models", ()))),
        combine=str(content.get("combine", "")),
        prediction=dict(content.get("prediction", {})),
        is_tuned_here=bool(content.get("is_tuned_here", False)),
        cost=dict(content["cost"]),
        robustness=robustness,
    )


def _parse_robustness(
    arrays: Mapping[str, npt.NDArray[Any]], described: dict[str, Any] | None, shape: tuple[int, ...]
) -> RobustnessCounts | None:
    """Return the counts under corruptions; older evaluations, and most, have none."""
    if described is None:
        return None
    names = tuple(str(one["name"]) for one in described["corruptions"])
    counts = _take_counts(arrays, "robustness", (len(names), *shape), np.int64)
    return RobustnessCounts(int(described["severity"]), names, counts[:, :, 0], counts[:, :, 1])


def _parse_model(row: dict[str, Any]) -> UsedModel:
    weight = row["weight"]
    if type(weight) not in (int, float) or not 0 <= weight < inf:
        raise ValueError(f"the weight of a model is {weight!r}")
    return UsedModel(str(row["model"]), str(row["weights_sha256"]), float(weight))


def _parse_counts(
    arrays: Mapping[str, npt.NDArray[Any]], size: str, num_photos: int, num_classes: int
) -> SizeCounts:
    together = (3, NUM_BINS)  # of format 1
    is_apart = arrays[f"{size}_calibration"].shape != together
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "confusion": ((num_photos, num_classes, num_classes), np.int64),
        "boundary": ((num_photos, 3, num_classes), np.int64),
        "calibration": ((num_photos, *together) if is_apart else together, np.float64),
    }
    found = {
        name: _take_counts(arrays, f"{size}_{name}", shape, dtype)
        for name, (shape, dtype) in shapes.items()
    }
    photos = list(found["calibration"].reshape(-1, *together))
    return SizeCounts(
        found["confusion"],
        ClassCounts(*found["boundary"].swapaxes(0, 1)),
        Calibration(num_photos, photos),
    )


def _take_counts(
    arrays: Mapping[str, npt.NDArray[Any]], name: str, shape: tuple[int, ...], dtype: type
) -> npt.NDArray[Any]:
    array = arrays[name]
    if array.shape != shape or array.dtype != dtype or not (array >= 0).all():
        raise ValueError(f"{name} is not {dtype.__name__} {shape} of counts")
    return array

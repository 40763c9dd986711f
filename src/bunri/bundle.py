"""A trained model on disk: weights, and everything needed to use and to judge them.

Owns the layout of a bundle and of ``bunri.json``. Knows nothing of networks: weights are bytes
here, so bundles are listed, checked and described without torch.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bunri import __version__
from bunri.annotations.pseudo import pack_hashes, unpack_hashes
from bunri.config import MAX_FRAME_PX
from bunri.contracts import ClassTable, InputError, ModelError, suggest
from bunri.files import (
    hash_file,
    is_file,
    is_folder,
    replace_folder,
    write_bytes,
    write_json,
    write_text,
)
from bunri.images import Preprocessing

FORMAT_VERSION = 1
INFO_NAME = "bunri.json"
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
_PHOTOS_KEY = "training_photos"
_PREDICTION_KEY = "prediction"
RUN_BUNDLE_NAME = "bundle"
"""Where a run folder keeps its bundle."""


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """What ``bunri.json`` says.

    Attributes:
        table: Classes in the order of the network's outputs.
        preprocessing: From a photo to the network's frame.
        architecture: Name and choices from which the network is built again.
        training: What it was trained on and with, as plain values.
        scores: Validation scores, as plain values.
        licenses: ``weights``: of the weights training started from; ``data``: of the photos.
        weights_sha256: Of ``model.safetensors``.
        photo_hashes: Of the photos whose labels it learned from, its teachers' too; see
            :func:`bunri.annotations.pseudo.shorten_hash`. None where that was not kept, as before
            bunri kept it.
        prediction: How photos are best predicted with it, as ``bunri tune`` found: ``settings``
            and ``evidence`` as plain values; empty where nobody looked.
    """

    table: ClassTable
    preprocessing: Preprocessing
    architecture: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    licenses: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    photo_hashes: frozenset[str] | None = None
    prediction: Mapping[str, Any] = field(default_factory=dict)


def write_bundle(folder: Path, info: BundleInfo, weights: bytes) -> None:
    """Write a bundle; ``folder`` is a whole one before and after, old or new.

    Args:
        folder: Where; an earlier bundle is replaced.
        info: Everything but ``weights_sha256``, which is computed here.
        weights: Content of ``model.safetensors``.

    Raises:
        OutputError: It cannot be written; an earlier bundle is intact.
    """
    with replace_folder(folder) as temporary:
        write_bytes(temporary / WEIGHTS_NAME, weights)
        content = {
            "format": FORMAT_VERSION,
            "bunri": __version__,
            "classes": info.table.to_json(),
            "preprocessing": asdict(info.preprocessing),
            "architecture": dict(info.architecture),
            "training": dict(info.training),
            "scores": dict(info.scores),
            "licenses": dict(info.licenses),
            "weights_sha256": hash_file(temporary / WEIGHTS_NAME),
        }
        if info.prediction:
            content[_PREDICTION_KEY] = dict(info.prediction)
        if info.photo_hashes is not None:
            content[_PHOTOS_KEY] = pack_hashes(info.photo_hashes)  # long: one line, and the last
        write_json(temporary / INFO_NAME, content)
        write_text(temporary / CARD_NAME, _write_card(content))


def read_bundle(folder: Path) -> BundleInfo:
    """Read and check a bundle.

    Raises:
        ModelError: Not a bundle, damaged, or of a newer bunri.
    """
    path = folder / INFO_NAME
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", hint=_BUNDLE_RULE) from error
    version = content.get("format") if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        raise ModelError(f"{path} does not describe a bundle.", hint=_BUNDLE_RULE)
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{folder} was written by bunri {content.get('bunri')!r}, which is newer than this "
            f"one ({__version__}).",
            hint="Upgrade with: pip install --upgrade bunri",
        )
    try:
        info = BundleInfo(
            table=ClassTable.from_json(content["classes"]),
            preprocessing=_read_preprocessing(content["preprocessing"]),
            architecture=_read_mapping(content, "architecture"),
            training=_read_mapping(content, "training"),
            scores=_read_mapping(content, "scores"),
            licenses=_read_mapping(content, "licenses"),
            weights_sha256=content["weights_sha256"],
            photo_hashes=_read_photo_hashes(content),
            prediction=_read_mapping({_PREDICTION_KEY: {}, **content}, _PREDICTION_KEY),
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise ModelError(f"{path} is incomplete or damaged: {error}.", hint=_BUNDLE_RULE) from error
    weights = folder / WEIGHTS_NAME
    if not is_file(weights):
        raise ModelError(f"{weights} is missing.", hint=_BUNDLE_RULE)
    try:
        found = hash_file(weights)
    except OSError as error:
        raise ModelError(f"{weights} cannot be read: {error.strerror}.") from error
    if found != info.weights_sha256:
        raise ModelError(
            f"{weights} is not the file that {INFO_NAME} describes (its SHA-256 differs).",
            hint="Copy the bundle again, or export it anew.",
        )
    return info


def write_prediction(folder: Path, prediction: Mapping[str, Any]) -> None:
    """Keep in a bundle how photos are best predicted with it; the rest stays as it is.

    Args:
        folder: A bundle that :func:`read_bundle` accepts.
        prediction: See :class:`BundleInfo`; empty to forget it.

    Raises:
        OutputError: It cannot be written; the bundle is as it was.
    """
    content = json.loads((folder / INFO_NAME).read_text("utf-8"))
    content.pop(_PREDICTION_KEY, None)
    hashes = {_PHOTOS_KEY: content.pop(_PHOTOS_KEY)} if _PHOTOS_KEY in content else {}
    chosen = {_PREDICTION_KEY: dict(prediction)} if prediction else {}
    write_json(folder / INFO_NAME, {**content, **chosen, **hashes})


def measure_weights(folder: Path) -> tuple[int, int]:
    """Return how many numbers the weights of a bundle hold, and the bytes of their file.

    Read from the header of the safetensors file: its length as 8 bytes, then JSON.

    Raises:
        ModelError: It is no such file.
    """
    path = folder / WEIGHTS_NAME
    try:
        num_bytes = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MAX_HEADER_BYTES)))
        header.pop("__metadata__", None)
        num_values = sum(math.prod(tensor["shape"]) for tensor in header.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is not a safetensors file.", hint=_BUNDLE_RULE) from error
    return num_values, num_bytes


_MAX_HEADER_BYTES = 100 * 2**20  # the format's own limit
_BUNDLE_RULE = f"A MODEL is a run folder, or a bundle folder with {INFO_NAME} and {WEIGHTS_NAME}."


def find_bundle(model: str) -> Path:
    """Return the bundle folder that MODEL means on the command line.

    Args:
        model: A run folder or a bundle folder.

    Raises:
        ModelError: Neither; the nearest names beside it are listed.
    """
    path = Path(model)
    if is_file(path):
        raise ModelError(f"{model} is a file, not a bundle.", hint=_BUNDLE_RULE)
    if is_file(path / INFO_NAME):
        return path
    if is_file(path / RUN_BUNDLE_NAME / INFO_NAME):
        return path / RUN_BUNDLE_NAME
    if is_file(path / "config.yaml"):
        raise ModelError(
            f"The run {model} has no model yet: no epoch was completed.",
            hint=f"Go on training with: bunri train --resume --out {model}",
        )
    if is_folder(path):
        raise ModelError(f"{model} is neither a run nor a bundle.", hint=_BUNDLE_RULE)
    near = suggest(path.name, _list_models(path.parent)) if is_folder(path.parent) else ""
    raise ModelError(f"There is no model {model!r}.{near}", hint=_BUNDLE_RULE)


def _list_models(folder: Path) -> list[str]:
    """Return the names of runs and bundles in ``folder``; none if it may not be listed."""
    try:
        children = list(folder.iterdir())
    except OSError:
        return []
    return sorted(
        child.name
        for child in children
        if is_file(child / INFO_NAME) or is_file(child / RUN_BUNDLE_NAME / INFO_NAME)
    )


def _read_mapping(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content[key]
    if not isinstance(value, dict):
        raise TypeError(f"{key!r} must be an object, not {str(value)[:40]!r}")
    return value


def _read_photo_hashes(content: Mapping[str, Any]) -> frozenset[str] | None:
    if _PHOTOS_KEY not in content:
        return None
    hashes = unpack_hashes(content[_PHOTOS_KEY])
    if hashes is None:
        raise ValueError(f"{_PHOTOS_KEY!r} must be text: hashes of 16 hex digits")
    return hashes


def _read_preprocessing(row: Mapping[str, Any]) -> Preprocessing:
    size_px, mean_rgb, std_rgb = row["size_px"], row["mean_rgb"], row["std_rgb"]
    if type(size_px) is not int or not 1 <= size_px <= MAX_FRAME_PX:
        raise ValueError(f"'size_px' must be an integer from 1 to {MAX_FRAME_PX}")
    for name, values in (("mean_rgb", mean_rgb), ("std_rgb", std_rgb)):
        is_triple = isinstance(values, list) and len(values) == 3
        if not is_triple or not all(type(v) in (int, float) and 0 <= v <= 1 for v in values):
            raise ValueError(f"{name!r} must be three numbers from 0 to 1")
    if 0 in std_rgb:
        raise ValueError("'std_rgb' must not hold 0")
    return Preprocessing(size_px, tuple(map(float, mean_rgb)), tuple(map(float, std_rgb)))


def _write_card(content: Mapping[str, Any]) -> str:
    """Return the model card: what a person wants to know before using the model."""
    miou = content["scores"].get("miou", {})
    rows = [
        f"| {row['name']} | {_show(row['iou'])} | {row['photos']} |"
        for row in content["scores"].get("classes", [])
    ]
    training = "\n".join(
        f"- {key}: {value}" for key, value in content["training"].items() if key != "config"
    )
    licenses = "\n".join(f"- {key}: {value}" for key, value in content["licenses"].items())
    return f"""# A bunri model

Semantic segmentation of waste photos; {content["architecture"].get("name")} network,
written by bunri {content["bunri"]}.

Validation mIoU: global {_show(miou.get("global"))}, per image {_show(miou.get("per_image"))},
per batch of {miou.get("batch_size")} {_show(miou.get("per_batch"))}.

| class | IoU | validation photos with it |
|---|---|---|
{chr(10).join(rows)}

## Training

{training}

## Licences

{licenses}
"""


def _show(value: float | None) -> str:
    return "no data" if value is None else f"{value:.4f}"

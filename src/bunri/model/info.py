"""What is to be known of a trained model: its ``BundleInfo``, and that as plain values.

Owns the keys of ``bunri.json``, which an ONNX file carries, too. Knows nothing of files.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError, ModelError
from bunri.core.version import __version__
from bunri.images.frames import MAX_FRAME_PX, Preprocessing
from bunri.labels.pseudo import pack_hashes, unpack_hashes

FORMAT_VERSION = 1
PREDICTION_KEY = "prediction"
PHOTOS_KEY = "training_photos"


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
        weights_sha256: Of ``model.safetensors``, or of ``model.onnx`` where that stands alone.
        onnx_sha256: Of ``model.onnx``; empty where there is none.
        photo_hashes: Of the photos whose labels it learned from, its teachers' too; see
            :func:`bunri.labels.pseudo.shorten_hash`. None where that was not kept, as before
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
    onnx_sha256: str = ""
    photo_hashes: frozenset[str] | None = None
    prediction: Mapping[str, Any] = field(default_factory=dict)


def describe_info(info: BundleInfo) -> dict[str, Any]:
    """Return the content of ``bunri.json``."""
    content = {
        "format": FORMAT_VERSION,
        "bunri": __version__,
        "classes": info.table.to_json(),
        "preprocessing": asdict(info.preprocessing),
        "architecture": dict(info.architecture),
        "training": dict(info.training),
        "scores": dict(info.scores),
        "licenses": dict(info.licenses),
        "weights_sha256": info.weights_sha256,
    }
    if info.onnx_sha256:
        content["onnx_sha256"] = info.onnx_sha256
    if info.prediction:
        content[PREDICTION_KEY] = dict(info.prediction)
    if info.photo_hashes is not None:
        content[PHOTOS_KEY] = pack_hashes(info.photo_hashes)  # long: one line, and the last
    return content


def parse_info(content: object, source: str, rule: str) -> BundleInfo:
    """Return what the content of a ``bunri.json`` says.

    Args:
        content: As JSON gives it.
        source: How error messages call it.
        rule: What it should have been, for error messages.

    Raises:
        ModelError: It does not describe a model, is damaged, or of a newer bunri.
    """
    if not isinstance(content, dict) or type(version := content.get("format")) is not int:
        raise ModelError(f"{source} does not describe a bundle.", hint=rule)
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{source} was written by bunri {content.get('bunri')!r}, which is newer than this "
            f"one ({__version__}).",
            hint="Upgrade with: pip install --upgrade bunri",
        )
    if version < 1:
        raise ModelError(f"{source} does not describe a bundle.", hint=rule)
    try:
        return BundleInfo(
            table=ClassTable.from_json(content["classes"]),
            preprocessing=_read_preprocessing(content["preprocessing"]),
            architecture=_read_mapping(content, "architecture"),
            training=_read_mapping(content, "training"),
            scores=_read_mapping(content, "scores"),
            licenses=_read_mapping(content, "licenses"),
            weights_sha256=_read_text(content, "weights_sha256"),
            onnx_sha256=_read_text({"onnx_sha256": "", **content}, "onnx_sha256"),
            photo_hashes=_read_photo_hashes(content),
            prediction=_read_mapping({PREDICTION_KEY: {}, **content}, PREDICTION_KEY),
        )
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise ModelError(f"{source} is incomplete or damaged: {error}.", hint=rule) from error


def _read_text(content: Mapping[str, Any], key: str) -> str:
    value = content[key]
    if not isinstance(value, str):
        raise TypeError(f"{key!r} must be text, not {str(value)[:40]!r}")
    return value


def _read_mapping(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content[key]
    if not isinstance(value, dict):
        raise TypeError(f"{key!r} must be an object, not {str(value)[:40]!r}")
    return value


def _read_photo_hashes(content: Mapping[str, Any]) -> frozenset[str] | None:
    if PHOTOS_KEY not in content:
        return None
    hashes = unpack_hashes(content[PHOTOS_KEY])
    if hashes is None:
        raise ValueError(f"{PHOTOS_KEY!r} must be text: hashes of 16 hex digits")
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

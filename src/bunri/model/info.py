"""The description of a trained model, ``BundleInfo``, and its form in ``bunri.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from bunri.core.classes import ClassTable
from bunri.core.errors import InputError, ModelError
from bunri.core.fields import Fraction, PositiveFraction
from bunri.core.json_files import JsonRecord, parse_json_record, read_json_record
from bunri.core.version import __version__
from bunri.images.frames import MAX_FRAME_PX, Preprocessing
from bunri.labels.pseudo import pack_hashes, unpack_hashes

FORMAT_VERSION = 1
_PLAIN = ("architecture", "training", "scores", "licenses")
_MAX_INFO_BYTES = 64 * 2**20
_HASHES = r"^([0-9a-f]{16}( [0-9a-f]{16})*)?$"


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """Everything that is stored about a model, except its weights."""

    table: ClassTable
    """Classes in the order of the network's output channels."""
    preprocessing: Preprocessing
    architecture: Mapping[str, Any]
    """Name and settings from which the network is rebuilt."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data, settings and course of the training, as plain values."""
    scores: Mapping[str, Any] = field(default_factory=dict)
    """Validation scores, as plain values."""
    licenses: Mapping[str, Any] = field(default_factory=dict)
    """Licences of the ``weights`` that training started from, and of the photos (``data``)."""
    weights_sha256: str = ""
    """Hash of ``model.safetensors``, or of ``model.onnx`` if that stands alone."""
    onnx_sha256: str = ""
    """Hash of ``model.onnx``; empty if there is none."""
    photo_hashes: frozenset[str] | None = None
    """Hashes of all labelled photos that the model and its teachers were trained on, see
    :func:`bunri.labels.pseudo.shorten_hash`; None if they were not recorded."""
    prediction: Mapping[str, Any] = field(default_factory=dict)
    """Best ``settings`` and ``evidence`` found by ``bunri tune``; empty if it was not run."""


class _PreprocessingRecord(JsonRecord):
    size_px: Annotated[int, Field(ge=1, le=MAX_FRAME_PX)]
    mean_rgb: tuple[Fraction, Fraction, Fraction]
    std_rgb: tuple[PositiveFraction, PositiveFraction, PositiveFraction]


class _InfoRecord(JsonRecord):
    """Content of ``bunri.json``."""

    newest_format: ClassVar[int | None] = FORMAT_VERSION

    classes: list[dict[str, Any]]
    preprocessing: _PreprocessingRecord
    architecture: dict[str, Any]
    training: dict[str, Any]
    scores: dict[str, Any]
    licenses: dict[str, Any]
    weights_sha256: str
    onnx_sha256: str = ""
    prediction: dict[str, Any] = Field(default_factory=dict)
    training_photos: Annotated[str, Field(pattern=_HASHES)] | None = None


def describe_info(info: BundleInfo) -> dict[str, Any]:
    """Return the content of ``bunri.json``."""
    content = {
        "format": FORMAT_VERSION,
        "bunri": __version__,
        "classes": info.table.to_json(),
        "preprocessing": asdict(info.preprocessing),
        **{key: dict(getattr(info, key)) for key in _PLAIN},
        "weights_sha256": info.weights_sha256,
    }
    if info.onnx_sha256:
        content["onnx_sha256"] = info.onnx_sha256
    if info.prediction:
        content["prediction"] = dict(info.prediction)
    if info.photo_hashes is not None:
        content["training_photos"] = pack_hashes(info.photo_hashes)  # one long line, so it is last
    return content


def read_info(path: Path, hint: str) -> BundleInfo:
    """Read a ``bunri.json``; see :func:`parse_info`."""
    record = read_json_record(
        path, _InfoRecord, max_bytes=_MAX_INFO_BYTES, error=ModelError, hint=hint
    )
    return _convert(record, str(path), hint)


def parse_info(content: str, source: str, hint: str) -> BundleInfo:
    """Return the model in the text of a ``bunri.json``; raise ModelError if it is not valid."""
    record = parse_json_record(content, _InfoRecord, source, error=ModelError, hint=hint)
    return _convert(record, source, hint)


def _convert(record: _InfoRecord, source: str, hint: str) -> BundleInfo:
    try:
        table = ClassTable.from_json(record.classes)
    except InputError as error:
        message = f"{source} is incomplete or damaged: {error.message}"
        raise ModelError(message, hint=hint) from error
    return BundleInfo(
        table=table,
        preprocessing=Preprocessing(**dict(record.preprocessing)),
        photo_hashes=unpack_hashes(record.training_photos),
        **record.model_dump(exclude={"classes", "preprocessing", "training_photos"}),
    )

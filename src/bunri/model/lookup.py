"""What MODEL means on the command line: a run, a bundle, an ONNX file, or a model that ships.

Owns the lookup. Nothing is run here.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from bunri.core.errors import ModelError, suggest
from bunri.core.files import hash_file, is_file, is_folder
from bunri.model.bundle import (
    INFO_NAME,
    MODEL_RULE,
    ONNX_NAME,
    RUN_BUNDLE_NAME,
    WEIGHTS_NAME,
    count_parameters,
    read_bundle,
)
from bunri.model.info import BundleInfo
from bunri.model.onnx_file import read_onnx_file

SHIPPED_FOLDER = Path(__file__).parent / "shipped"
"""A bundle folder for each model that comes with bunri."""
DEFAULT_MODEL = "bunri-small"
PARAMETERS_KEY = "parameters"
"""Where ``BundleInfo.training`` says how many there are, which a quantised file no longer does."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that was found and checked.

    Attributes:
        name: As on the command line.
        place: A bundle folder, or an ONNX file.
        info: What is known of it.
    """

    name: str
    place: Path
    info: BundleInfo

    @property
    def onnx(self) -> Path | None:
        """The ONNX file, if there is one: it is run rather than the weights, without torch."""
        if is_file(self.place):
            return self.place
        return self.place / ONNX_NAME if self.info.onnx_sha256 else None

    @property
    def weights(self) -> Path:
        """The file that is run."""
        return self.onnx or self.place / WEIGHTS_NAME

    @property
    def num_bytes(self) -> int:
        """Size of the file that is run."""
        return self.weights.stat().st_size

    @property
    def num_parameters(self) -> int | None:
        """Numbers that were learned; None where nobody wrote them down."""
        tensors = self.place / WEIGHTS_NAME
        if is_file(tensors):
            return count_parameters(tensors)
        found = self.info.training.get(PARAMETERS_KEY)
        return found if type(found) is int else None


def open_model(model: str) -> StoredModel:
    """Return what MODEL means.

    Args:
        model: As on the command line.

    Raises:
        ModelError: There is no such model, or it is damaged.
    """
    place = find_model(model)
    if is_file(place):  # a folder may be called NAME.onnx, too
        sha256 = hash_file(place)
        info = replace(read_onnx_file(place).info, weights_sha256=sha256, onnx_sha256=sha256)
        return StoredModel(model, place, info)
    return StoredModel(model, place, read_bundle(place))


def is_model(argument: str) -> bool:
    """Return whether an argument means a model; never raises, reads nothing."""
    path = Path(argument)
    return (
        argument in list_shipped_models()
        or (path.suffix == ".onnx" and is_file(path))
        or any(is_file(path / name) for name in (INFO_NAME, f"{RUN_BUNDLE_NAME}/{INFO_NAME}"))
    )


def find_model(model: str) -> Path:
    """Return the bundle folder or ONNX file that MODEL means; what lies on disk comes first.

    Raises:
        ModelError: Neither; the nearest names beside it are listed.
    """
    path = Path(model)
    if is_file(path):
        if path.suffix == ".onnx":
            return path
        raise ModelError(f"{model} is a file, not a bundle.", hint=MODEL_RULE)
    if is_file(path / INFO_NAME):
        return path
    if is_file(path / RUN_BUNDLE_NAME / INFO_NAME):
        return path / RUN_BUNDLE_NAME
    if is_file(path / "config.yaml"):
        raise ModelError(
            f"The run {model} has no model yet: no epoch was completed.",
            hint=f"Go on training with: bunri train --resume --out {model}",
        )
    if model in list_shipped_models():
        return SHIPPED_FOLDER / model
    if is_folder(path):
        raise ModelError(f"{model} is neither a run nor a bundle.", hint=MODEL_RULE)
    beside = _list_models(path.parent) if is_folder(path.parent) else []
    near = suggest(path.name, [*beside, *list_shipped_models()])
    raise ModelError(f"There is no model {model!r}.{near}", hint=MODEL_RULE)


def find_kept_info(model: str) -> Path:
    """Return the ``bunri.json`` of MODEL, to keep something in it.

    Raises:
        ModelError: There is no such model, or nothing can be kept in it.
    """
    place = find_model(model)
    if is_file(place) or place.resolve().parent == SHIPPED_FOLDER.resolve():
        what = "a single file" if is_file(place) else "a part of bunri"
        raise ModelError(
            f"Nothing can be kept in {model}: it is {what}.",
            hint="Copy its folder, and name the copy.",
        )
    return place / INFO_NAME


def list_shipped_models() -> list[str]:
    """Return the names of the models that come with bunri."""
    return _list_models(SHIPPED_FOLDER)


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

"""The meaning of MODEL: a run folder, a bundle folder, an ONNX file, or a model that ships."""

import os
import re
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
"""One bundle folder for each model that ships with bunri."""
DEFAULT_MODEL = "bunri-small"
PARAMETERS_KEY = "parameters"
"""Key of ``BundleInfo.training`` for the number of parameters, which a quantised file has lost."""
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that was found by a path or name, hashed and checked."""

    name: str
    place: Path
    """Bundle folder, or ONNX file."""
    info: BundleInfo

    @property
    def onnx(self) -> Path | None:
        """Return the ONNX file, if there is one; it is run without torch, instead of weights."""
        if is_file(self.place):
            return self.place
        return self.place / ONNX_NAME if self.info.onnx_sha256 else None

    @property
    def weights(self) -> Path:
        """Return the file that is run."""
        return self.onnx or self.place / WEIGHTS_NAME

    @property
    def run_folder(self) -> Path | None:
        """Return the run folder, if the model was opened by it."""
        run = Path(self.name)
        return run if self.place == run / RUN_BUNDLE_NAME else None

    @property
    def num_bytes(self) -> int:
        """Return the size of the file that is run."""
        return self.weights.stat().st_size

    @property
    def num_parameters(self) -> int | None:
        """Return the number of learned parameters; None if it was not recorded."""
        tensors = self.place / WEIGHTS_NAME
        if is_file(tensors):
            return count_parameters(tensors)
        found = self.info.training.get(PARAMETERS_KEY)
        return found if type(found) is int else None


def open_model(model: str | os.PathLike[str] | StoredModel) -> StoredModel:
    """Find a model, read its description and check its hashes, unless it is open already."""
    if isinstance(model, StoredModel):
        return model
    place = find_model(model)
    name = os.fspath(model)
    if is_file(place):  # a folder may be called NAME.onnx, too
        sha256 = hash_file(place)
        info = replace(read_onnx_file(place).info, weights_sha256=sha256, onnx_sha256=sha256)
        return StoredModel(name, place, info)
    return StoredModel(name, place, read_bundle(place))


def is_model(argument: str) -> bool:
    """Return whether a command-line argument means a model; reads nothing and never raises."""
    path = Path(argument)
    is_onnx = path.suffix == ".onnx" and is_file(path)
    return is_onnx or argument in list_shipped_models() or _find_bundle(path) is not None


def find_model(model: str | os.PathLike[str]) -> Path:
    """Return the bundle folder or ONNX file of a model; paths go before names. Raise ModelError."""
    text = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    if not isinstance(text, str):
        raise ModelError(f"{model!r} is not a model.", hint=MODEL_RULE)
    if _URL.match(text):
        raise ModelError(f"{text} is a URL.", hint="Download the model, and give its path.")
    path = Path(text)
    if is_file(path):
        if path.suffix == ".onnx":
            return path
        raise ModelError(f"{text} is a file, but not an .onnx file.", hint=MODEL_RULE)
    if (bundle := _find_bundle(path)) is not None:
        return bundle
    if is_file(path / "config.yaml"):
        raise ModelError(
            f"The run {text} has no model yet: no epoch was completed.",
            hint=f"Continue training with: bunri train --resume --out {text}",
        )
    if text in list_shipped_models():
        return SHIPPED_FOLDER / text
    if is_folder(path):
        raise ModelError(f"{text} is neither a run folder nor a bundle folder.", hint=MODEL_RULE)
    beside = _list_models(path.parent) if is_folder(path.parent) else []
    near = suggest(path.name, [*beside, *list_shipped_models()])
    raise ModelError(f"There is no model {text!r}.{near}", hint=MODEL_RULE)


def find_writable_bundle(model: str) -> Path:
    """Return the bundle folder of a model to store settings in; raise ModelError if none."""
    place = find_model(model)
    if is_file(place) or place.resolve().parent == SHIPPED_FOLDER.resolve():
        what = "a single file" if is_file(place) else "a part of bunri"
        raise ModelError(
            f"Nothing can be stored in {model}: it is {what}.",
            hint="Copy its bundle folder, and give the path of the copy.",
        )
    return place


def list_shipped_models() -> list[str]:
    """Return the names of the models that ship with bunri."""
    return _list_models(SHIPPED_FOLDER)


def _list_models(folder: Path) -> list[str]:
    """Return the names of runs and bundles in a folder; none if it cannot be listed."""
    try:
        return sorted(child.name for child in folder.iterdir() if _find_bundle(child) is not None)
    except OSError:
        return []


def _find_bundle(folder: Path) -> Path | None:
    places = (folder, folder / RUN_BUNDLE_NAME)
    return next((place for place in places if is_file(place / INFO_NAME)), None)

"""Bundle folders: weights, ``bunri.json``, an optional ONNX file and the model card.

Weights are bytes here, so that bundles can be listed, checked and described without torch.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bunri.core.errors import ModelError
from bunri.core.files import hash_file, is_file, replace_folder, write_bytes, write_json, write_text
from bunri.model.card import describe_model
from bunri.model.info import BundleInfo, describe_info, read_info

INFO_NAME = "bunri.json"
WEIGHTS_NAME = "model.safetensors"
ONNX_NAME = "model.onnx"
CARD_NAME = "README.md"
RUN_BUNDLE_NAME = "bundle"
"""Name of the bundle folder inside a run folder."""
MODEL_RULE = (
    f"A MODEL is a run folder; a bundle folder with {INFO_NAME} and {WEIGHTS_NAME} or "
    f"{ONNX_NAME}; an .onnx file made by bunri export; or the name of a model that ships with "
    "bunri."
)
_COPY_AGAIN = "Copy the bundle again, or export it again."
_MAX_HEADER_BYTES = 100 * 2**20  # the limit of the safetensors format


def write_bundle(
    folder: Path,
    info: BundleInfo,
    weights: bytes | None,
    onnx: bytes | None = None,
    notes: str = "",
) -> None:
    """Write a bundle and its hashes; at every moment ``folder`` is a whole one, old or new.

    Without weights ``model.onnx`` stands alone; ``notes`` are Markdown for the model card.
    """
    hashes = {}
    with replace_folder(folder) as temporary:
        for name, content in ((WEIGHTS_NAME, weights), (ONNX_NAME, onnx)):
            if content is not None:
                write_bytes(temporary / name, content)
                hashes[name] = hash_file(temporary / name)
        onnx_sha256 = hashes.get(ONNX_NAME, "")
        info = replace(
            info, weights_sha256=hashes.get(WEIGHTS_NAME, onnx_sha256), onnx_sha256=onnx_sha256
        )
        write_json(temporary / INFO_NAME, describe_info(info))
        write_text(temporary / CARD_NAME, describe_model(info, notes))


def read_bundle(folder: Path) -> BundleInfo:
    """Read the description of a bundle; raise ModelError if it or the hash of a file is wrong."""
    info = read_info(folder / INFO_NAME, MODEL_RULE)
    hashes = {ONNX_NAME: info.onnx_sha256} if info.onnx_sha256 else {}
    if not info.onnx_sha256 or info.weights_sha256 != info.onnx_sha256:
        hashes[WEIGHTS_NAME] = info.weights_sha256
    for name in (WEIGHTS_NAME, ONNX_NAME):
        if name in hashes:
            _check_hash(folder / name, hashes[name])
        elif is_file(folder / name):
            raise ModelError(
                f"{INFO_NAME} has no hash of {folder / name}, so it cannot be checked.",
                hint=_COPY_AGAIN,
            )
    return info


def _check_hash(path: Path, sha256: str) -> None:
    if not is_file(path):
        raise ModelError(f"{path} is missing.", hint=MODEL_RULE)
    try:
        found = hash_file(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if found != sha256:
        raise ModelError(
            f"{path} is not the file that {INFO_NAME} describes (its SHA-256 differs).",
            hint=_COPY_AGAIN,
        )


def write_prediction(folder: Path, prediction: Mapping[str, Any]) -> None:
    """Store prediction settings as in ``BundleInfo`` in a bundle; none to remove them."""
    info = replace(read_info(folder / INFO_NAME, MODEL_RULE), prediction=prediction)
    write_json(folder / INFO_NAME, describe_info(info))


def count_parameters(path: Path) -> int:
    """Return the number of values in a safetensors file, read from its header alone."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")  # of the JSON that follows
            header = json.loads(file.read(min(length, _MAX_HEADER_BYTES)))
        header.pop("__metadata__", None)
        return sum(math.prod(tensor["shape"]) for tensor in header.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is not a safetensors file.", hint=MODEL_RULE) from error

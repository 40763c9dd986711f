"""A trained model on disk: weights, and everything needed to use and to judge them.

Owns the layout of a bundle. Knows nothing of networks: weights are bytes here, so bundles are
listed, checked and described without torch.
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
from bunri.model.info import PHOTOS_KEY, PREDICTION_KEY, BundleInfo, describe_info, parse_info

INFO_NAME = "bunri.json"
WEIGHTS_NAME = "model.safetensors"
ONNX_NAME = "model.onnx"
CARD_NAME = "README.md"
RUN_BUNDLE_NAME = "bundle"
"""Where a run folder keeps its bundle."""
MODEL_RULE = (
    f"A MODEL is a run folder, or a bundle folder with {INFO_NAME} and {WEIGHTS_NAME} or "
    f"{ONNX_NAME}; an .onnx file of bunri export, or the name of a model that ships."
)


def write_bundle(
    folder: Path,
    info: BundleInfo,
    weights: bytes | None,
    onnx: bytes | None = None,
    notes: str = "",
) -> None:
    """Write a bundle; ``folder`` is a whole one before and after, old or new.

    Args:
        folder: Where; an earlier bundle is replaced.
        info: Everything but the hashes, which are computed here.
        weights: Content of ``model.safetensors``; None for a bundle of ``model.onnx`` alone.
        onnx: Content of ``model.onnx``, if there shall be one.
        notes: What only people know, Markdown, for the model card.

    Raises:
        OutputError: It cannot be written; an earlier bundle is intact.
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
    """Read and check a bundle.

    Raises:
        ModelError: Not a bundle, damaged, or of a newer bunri.
    """
    path = folder / INFO_NAME
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", hint=MODEL_RULE) from error
    info = parse_info(content, str(path), MODEL_RULE)
    hashes = {ONNX_NAME: info.onnx_sha256} if info.onnx_sha256 else {}
    if not info.onnx_sha256 or info.weights_sha256 != info.onnx_sha256:
        hashes[WEIGHTS_NAME] = info.weights_sha256
    for name in (WEIGHTS_NAME, ONNX_NAME):
        if name in hashes:
            _check_hash(folder / name, hashes[name])
        elif is_file(folder / name):
            raise ModelError(
                f"{INFO_NAME} says nothing of {folder / name}, so it cannot be checked.",
                hint="Copy the bundle again, or export it anew.",
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
            hint="Copy the bundle again, or export it anew.",
        )


def write_prediction(folder: Path, prediction: Mapping[str, Any]) -> None:
    """Keep in a bundle how photos are best predicted with it; the rest stays as it is.

    Args:
        folder: A bundle that :func:`read_bundle` accepts.
        prediction: See :class:`bunri.model.info.BundleInfo`; empty to forget it.

    Raises:
        OutputError: It cannot be written; the bundle is as it was.
    """
    content = json.loads((folder / INFO_NAME).read_text("utf-8"))
    content.pop(PREDICTION_KEY, None)
    hashes = {PHOTOS_KEY: content.pop(PHOTOS_KEY)} if PHOTOS_KEY in content else {}
    chosen = {PREDICTION_KEY: dict(prediction)} if prediction else {}
    write_json(folder / INFO_NAME, {**content, **chosen, **hashes})


def count_parameters(path: Path) -> int:
    """Return how many numbers a file of weights holds.

    Read from the header of the safetensors file: its length as 8 bytes, then JSON.

    Raises:
        ModelError: It is no such file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MAX_HEADER_BYTES)))
        header.pop("__metadata__", None)
        return sum(math.prod(tensor["shape"]) for tensor in header.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is not a safetensors file.", hint=MODEL_RULE) from error


_MAX_HEADER_BYTES = 100 * 2**20  # the format's own limit

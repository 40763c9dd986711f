"""The networks by name, and the bundle that each is stored in and built from.

Owns the registry. Every network takes normalised pixels (N, 3, H, W) with H and W multiples
of 32 and returns logits (N, C, H / s, W / s) at its own stride s, which divides 32; in training
mode it may return a list of several, whose mean loss is what it learns from. Its pretrained part
is in ``.encoder``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import load_file
from torch import nn

from bunri.core.errors import ConfigError, MissingExtraError, ModelError
from bunri.model.bundle import WEIGHTS_NAME
from bunri.model.info import BundleInfo
from bunri.training.config import ModelConfig, ModelName
from bunri.training.networks.decoders import TIMM_TWINS, build_on_encoder
from bunri.training.networks.fcn8s import FCN8s
from bunri.training.networks.segnet import SegNet
from bunri.training.networks.weights import PretrainedWeights, load_weights, match_tensors

# Networks that are defined on one encoder: name -> (class, that encoder).
_ON_ONE_ENCODER: Mapping[ModelName, tuple[Callable[[int], nn.Module], str]] = {
    "fcn8s": (FCN8s, "vgg16"),
    "segnet": (SegNet, "vgg16_bn"),
}


def _import_hf() -> ModuleType:
    try:
        from bunri.training.networks import hf
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise MissingExtraError(
            "The networks named hf_* come from transformers, which is not installed.",
            hint='Install it with: pip install "bunri[hf]"',
        ) from error
    return hf


def _build_untrained(config: ModelConfig, num_classes: int) -> nn.Module:
    if config.name.startswith("hf_"):
        network: nn.Module = _import_hf().build_hf_network(config, num_classes)
        return network
    if config.name not in _ON_ONE_ENCODER:
        return build_on_encoder(config, num_classes)
    build, encoder = _ON_ONE_ENCODER[config.name]
    if config.encoder != encoder:
        raise ConfigError(
            f"model.encoder: {config.encoder!r} is not allowed: "
            f"{config.name} is defined on {encoder}.",
            hint=f"Use --set model.encoder={encoder}, or --set model.name=fpn for this encoder.",
        )
    return build(num_classes)


def build_network(
    config: ModelConfig, num_classes: int
) -> tuple[nn.Module, PretrainedWeights | None]:
    """Return a network to train, and the weights its encoder was given.

    Raises:
        ConfigError: The encoder does not exist or does not go with the network.
        WeightsError: Its pretrained weights cannot be had.
        MissingExtraError: It needs a library that is not installed.
    """
    if config.name.startswith("hf_"):
        hf = _import_hf()
        weights: PretrainedWeights | None = hf.load_hf_weights(config)
        tensors = None if weights is None else weights.tensors
        return hf.build_hf_network(config, num_classes, tensors), weights
    network = _build_untrained(config, num_classes)
    weights = load_weights(_name_weights(config))
    if weights is not None:
        load_start(network, weights)
    return network, weights


def _name_weights(config: ModelConfig) -> ModelConfig:
    """Return the settings under whose encoder name ImageNet weights are found."""
    return config.model_copy(update={"encoder": TIMM_TWINS.get(config.encoder, config.encoder)})


def load_start(network: nn.Module, weights: PretrainedWeights) -> None:
    """Put pretrained weights into a network's encoder, and its decoder if they have one that fits.

    What a model of other classes has for these stays behind.

    Raises:
        WeightsError: They do not fit the encoder.
    """
    if not weights.is_whole:
        encoder = network.get_submodule("encoder")
        encoder.load_state_dict(match_tensors(weights.tensors, encoder.state_dict()))
        return
    state = network.state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items()}
    fits = {n: tensor for n, tensor in weights.tensors.items() if tensor.shape == shapes.get(n)}
    of_encoder = {name: state[name] for name in state if name.startswith("encoder.")}
    network.load_state_dict({**state, **fits, **match_tensors(weights.tensors, of_encoder)})


def describe_network(config: ModelConfig, num_classes: int) -> dict[str, Any]:
    """Return what a bundle must store to build the same network again."""
    return {**config.model_dump(exclude={"weights", "weights_sha256"}), "num_classes": num_classes}


def load_network(folder: Path, info: BundleInfo) -> nn.Module:
    """Return the trained network of a bundle, ready to predict.

    Raises:
        ModelError: The architecture is unknown, or weights and architecture do not fit.
        MissingExtraError: It needs a library that is not installed.
    """
    try:
        row = dict(info.architecture)
        num_classes = int(row.pop("num_classes"))
        config = ModelConfig(**row, weights="none")
        network = _build_untrained(config, num_classes)
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except (KeyError, ValueError, TypeError, RuntimeError, ConfigError) as error:
        raise ModelError(f"The network of {folder} cannot be built: {error}") from error
    if num_classes != len(info.table):
        raise ModelError(
            f"{folder} has {num_classes} outputs for {len(info.table)} classes: it is damaged."
        )
    return network.eval()

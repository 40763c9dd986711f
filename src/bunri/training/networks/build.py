"""The registry of networks, and the way from settings or a bundle to a network.

Every network takes normalised pixels, float (N, 3, H, W) with H and W multiples of 32, and returns
logits (N, C, H / s, W / s) at a stride s of its own that divides 32. In training mode it may return
a list of logits, whose mean loss it then learns from. Its pretrained part is its module
``encoder``.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import load_file
from torch import nn

from bunri.core.errors import ConfigError, MissingExtraError, ModelError
from bunri.model.bundle import WEIGHTS_NAME
from bunri.model.info import BundleInfo
from bunri.training.config import ModelConfig
from bunri.training.networks.decoders import DECODERS, TIMM_TWINS, build_on_encoder
from bunri.training.networks.fcn8s import FCN8s
from bunri.training.networks.segnet import SegNet
from bunri.training.networks.weights import PretrainedWeights, load_weights, match_tensors

NetworkBuilder = Callable[[ModelConfig, int], nn.Module]
"""Builds a network with random weights from its settings and its number of classes."""


def _fix_encoder(network: Callable[[int], nn.Module], encoder: str) -> NetworkBuilder:
    """Return the builder of a network that is defined on one encoder."""

    def build(config: ModelConfig, num_classes: int) -> nn.Module:
        if config.encoder != encoder:
            raise ConfigError(
                f"model.encoder: {config.encoder!r} is not allowed: "
                f"{config.name} is defined on {encoder}.",
                hint=f"Use --set model.encoder={encoder}, or --set model.name=fpn for "
                "this encoder.",
            )
        return network(num_classes)

    return build


def _build_hf(config: ModelConfig, num_classes: int) -> nn.Module:
    network: nn.Module = _import_hf().build_hf_network(config, num_classes)
    return network


_HF_NAMES = ("hf_segformer", "hf_mask2former", "hf_eomt")
NETWORKS: dict[str, NetworkBuilder] = {
    "fcn8s": _fix_encoder(FCN8s, "vgg16"),
    "segnet": _fix_encoder(SegNet, "vgg16_bn"),
    **dict.fromkeys(DECODERS, build_on_encoder),
    **dict.fromkeys(_HF_NAMES, _build_hf),
}
"""Networks by name; ``ModelName`` in :mod:`bunri.training.config` lists the same names."""


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


def build_network(
    config: ModelConfig, num_classes: int
) -> tuple[nn.Module, PretrainedWeights | None]:
    """Return a network in training mode, and the weights that it starts from, if any."""
    if config.name in _HF_NAMES:
        hf = _import_hf()
        weights: PretrainedWeights | None = hf.load_hf_weights(config)
        return hf.build_hf_network(config, num_classes, weights and weights.tensors), weights
    network = NETWORKS[config.name](config, num_classes)
    encoder = TIMM_TWINS.get(config.encoder, config.encoder)  # the name of its ImageNet weights
    weights = load_weights(config.model_copy(update={"encoder": encoder}))
    if weights is not None:
        load_start(network, weights)
    return network, weights


def load_start(network: nn.Module, weights: PretrainedWeights) -> None:
    """Copy pretrained weights into a network.

    Weights of an encoder go into the network's encoder. Of a whole network, every tensor of a
    fitting name and shape is taken; the class layer of other classes does not fit.
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
    """Return the description of a network that :func:`load_network` reads from a bundle."""
    return {**config.model_dump(exclude={"weights", "weights_sha256"}), "num_classes": num_classes}


def load_network(folder: Path, info: BundleInfo) -> nn.Module:
    """Return the trained network of a bundle, in evaluation mode.

    Raises:
        ModelError: The architecture is unknown, or the weights do not fit it.
    """
    try:
        row = dict(info.architecture)
        num_classes = int(row.pop("num_classes"))
        config = ModelConfig(**row, weights="none")
        network = NETWORKS[config.name](config, num_classes)
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except (KeyError, ValueError, TypeError, RuntimeError, ConfigError) as error:
        raise ModelError(f"The network of {folder} cannot be built: {error}") from error
    if num_classes != len(info.table):
        raise ModelError(
            f"{folder} has {num_classes} outputs for {len(info.table)} classes: it is damaged."
        )
    return network.eval()

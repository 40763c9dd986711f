"""The networks by name, and the bundle that each is stored in and built from.

Owns the registry. Every network takes normalised pixels (N, 3, H, W) with H and W multiples
of 32 and returns logits (N, C, H, W), and keeps its pretrained part in ``.encoder``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from bunri.bundle import WEIGHTS_NAME, BundleInfo
from bunri.config import ModelConfig, ModelName
from bunri.contracts import ConfigError, ModelError, suggest
from bunri.learning.fcn8s import FCN8s
from bunri.learning.weights import PretrainedWeights, load_weights, match_tensors


def _build_fcn8s(config: ModelConfig, num_classes: int) -> nn.Module:
    if config.encoder != "vgg16":
        raise ConfigError(
            f"model.encoder: {config.encoder!r} is not allowed: fcn8s is defined on vgg16.",
            hint="Use --set model.encoder=vgg16, or --set model.name=fpn for this encoder.",
        )
    return FCN8s(num_classes)


def _build_fpn(config: ModelConfig, num_classes: int) -> nn.Module:
    """Build a feature pyramid network for segmentation (Kirillov et al. 2019)."""
    if not timm.is_model(config.encoder):
        raise ConfigError(
            f"model.encoder: timm has no encoder {config.encoder!r}."
            f"{suggest(config.encoder, timm.list_models())}"
        )
    try:
        network: nn.Module = smp.FPN(
            encoder_name=f"tu-{config.encoder}",
            encoder_weights=None,  # load_weights is the only provider
            classes=num_classes,
            decoder_pyramid_channels=config.decoder_channels,
            decoder_segmentation_channels=config.decoder_channels // 2,
            decoder_dropout=config.dropout,
        )
        # Some encoders take one size of photo only, and say so no earlier than here.
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, 64, 96))
    except Exception as error:  # each of timm's thousand encoders fails in its own way
        raise ConfigError(
            f"model.encoder: {config.encoder!r} cannot be the encoder of an fpn, which needs "
            f"features at strides 4 to 32 of photos of any size ({type(error).__name__}).",
            hint="Convolutional encoders can, for example tf_efficientnet_lite0 or resnet34.",
        ) from error
    return network.train()


_BUILDERS: Mapping[ModelName, Callable[[ModelConfig, int], nn.Module]] = {
    "fcn8s": _build_fcn8s,
    "fpn": _build_fpn,
}


def build_network(
    config: ModelConfig, num_classes: int
) -> tuple[nn.Module, PretrainedWeights | None]:
    """Return a network to train, and the weights its encoder was given.

    Raises:
        ConfigError: The encoder does not exist or does not go with the network.
        WeightsError: Its pretrained weights cannot be had.
    """
    network = _BUILDERS[config.name](config, num_classes)
    weights = load_weights(config)
    if weights is not None:
        load_encoder(network, weights)
    return network, weights


def load_encoder(network: nn.Module, weights: PretrainedWeights) -> None:
    """Put pretrained weights into a network's encoder.

    Raises:
        WeightsError: They do not fit.
    """
    encoder = network.get_submodule("encoder")
    encoder.load_state_dict(match_tensors(weights.tensors, encoder.state_dict()))


def describe_network(config: ModelConfig, num_classes: int) -> dict[str, Any]:
    """Return what a bundle must store to build the same network again."""
    return {**config.model_dump(exclude={"weights", "weights_sha256"}), "num_classes": num_classes}


def load_network(folder: Path, info: BundleInfo) -> nn.Module:
    """Return the trained network of a bundle, ready to predict.

    Raises:
        ModelError: The architecture is unknown, or weights and architecture do not fit.
    """
    try:
        row = dict(info.architecture)
        num_classes = int(row.pop("num_classes"))
        config = ModelConfig(**row, weights="none")
        network = _BUILDERS[config.name](config, num_classes)
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except (KeyError, ValueError, TypeError, RuntimeError, ConfigError) as error:
        raise ModelError(f"The network of {folder} cannot be built: {error}") from error
    if num_classes != len(info.table):
        raise ModelError(
            f"{folder} has {num_classes} outputs for {len(info.table)} classes: it is damaged."
        )
    return network.eval()

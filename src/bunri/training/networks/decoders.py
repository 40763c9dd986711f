"""Networks of an encoder by name and a decoder: segmentation_models.pytorch's, or U-Net 3+."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from segmentation_models_pytorch.encoders import get_encoder_names
from torch import Tensor, nn

from bunri.core.errors import ConfigError, suggest
from bunri.training.config import ModelConfig
from bunri.training.networks.unet3plus import UNet3Plus

PAN_MIN_PX = 128
"""Smallest frame of PAN: its attention pools features at stride 16 three times."""

TIMM_TWINS: Mapping[str, str] = {
    "inceptionresnetv2": "inception_resnet_v2",
    "inceptionv4": "inception_v4",
    "mobilenet_v2": "mobilenetv2_100",
    "se_resnet50": "legacy_seresnet50",
    "se_resnet101": "legacy_seresnet101",
    "se_resnet152": "legacy_seresnet152",
    "se_resnext50_32x4d": "legacy_seresnext50_32x4d",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d",
    "senet154": "legacy_senet154",
}
"""Encoders of segmentation_models.pytorch -> the timm model with the same tensors.

These encoders have features that timm's lack: Inception with padding, so that features halve
exactly; squeeze-and-excitation networks that can be dilated; MobileNetV2 with its last layer.
"""


class _PaddedPan(smp.PAN):  # type: ignore[misc]
    """PAN that pads frames too small for its attention with zeros, and crops their logits."""

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        missing = (0, max(0, PAN_MIN_PX - width), 0, max(0, PAN_MIN_PX - height))
        logits: Tensor = super().forward(F.pad(pixels, missing))
        stride = (height + missing[3]) // logits.shape[-2]
        return logits[..., : height // stride, : width // stride]


class _PooledNorm(nn.BatchNorm2d):
    """Batch normalisation that uses its running statistics for a single value per channel.

    An epoch's last batch may be one photo, and global pooling leaves one value of it.
    """

    def forward(self, features: Tensor) -> Tensor:  # (N, C, h, w)
        if not self.training or features.numel() > self.num_features:
            return super().forward(features)
        return F.batch_norm(
            features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Class of the network, its options from the settings, and its needs of the encoder."""

    network: Callable[..., nn.Module]
    read_options: Callable[[ModelConfig], dict[str, Any]]
    needs: str = "features at strides 4 to 32 of photos of any size"


_KEPT_AT_16 = "features that stay at stride 16 to the end, of photos of any size"
# smp would enlarge the logits of most decoders to the frame; the losses and the predictor do that.
_AS_DECODED = {"upsampling": 1}


def _read_fpn_options(config: ModelConfig) -> dict[str, Any]:
    return {
        "decoder_pyramid_channels": config.decoder_channels,
        "decoder_segmentation_channels": config.decoder_channels // 2,
        "decoder_dropout": config.dropout,
        **_AS_DECODED,
    }


def _read_unet_options(config: ModelConfig) -> dict[str, Any]:
    # Strides 16 to 1: 256 to 16 channels for the default of 128, which are smp's own.
    return {"decoder_channels": [config.decoder_channels * 2 // 2**i for i in range(5)]}


def _read_unet3plus_options(config: ModelConfig) -> dict[str, Any]:
    # Half: 64 for the default of 128, which is the paper's own.
    return {"branch_channels": config.decoder_channels // 2, "dropout": config.dropout}


DECODERS: Mapping[str, _Decoder] = {
    "fpn": _Decoder(smp.FPN, _read_fpn_options),
    "unet": _Decoder(smp.Unet, _read_unet_options),
    "unetplusplus": _Decoder(smp.UnetPlusPlus, _read_unet_options),
    "unet3plus": _Decoder(UNet3Plus, _read_unet3plus_options),
    "deeplabv3plus": _Decoder(
        smp.DeepLabV3Plus,
        lambda c: {
            "decoder_channels": c.decoder_channels,
            "decoder_aspp_dropout": c.dropout,
            **_AS_DECODED,
        },
        _KEPT_AT_16,
    ),
    # A quarter: 32 for the default of 128, which is smp's own.
    "pan": _Decoder(
        _PaddedPan,
        lambda c: {"decoder_channels": c.decoder_channels // 4, **_AS_DECODED},
        _KEPT_AT_16,
    ),
    "upernet": _Decoder(
        smp.UPerNet, lambda c: {"decoder_channels": c.decoder_channels, **_AS_DECODED}
    ),
    "segformer": _Decoder(
        smp.Segformer,
        lambda c: {"decoder_segmentation_channels": c.decoder_channels, **_AS_DECODED},
    ),
}
"""Decoders by the name of their network."""


def build_on_encoder(config: ModelConfig, num_classes: int) -> nn.Module:
    """Return the network ``config.name`` on ``config.encoder``, in training mode."""
    encoder_name = _find_encoder(config.encoder)
    decoder = DECODERS[config.name]
    try:
        network = decoder.network(
            encoder_name=encoder_name,
            encoder_weights=None,  # load_weights is the only provider
            classes=num_classes,
            **decoder.read_options(config),
        )
        _exchange_norms(network.get_submodule("decoder"))
        # Some encoders take one size of photo only, which shows no earlier than here.
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, 64, 96))
    except Exception as error:  # each of timm's thousand encoders fails in its own way
        article = "an" if config.name == "fpn" else "a"
        raise ConfigError(
            f"model.encoder: {config.encoder!r} cannot be the encoder of {article} {config.name}, "
            f"which needs {decoder.needs} ({type(error).__name__}).",
            hint="Convolutional encoders can, for example tf_efficientnet_lite0 or resnet34.",
        ) from error
    return network.train()


def _exchange_norms(decoder: nn.Module) -> None:
    """Put :class:`_PooledNorm` in place of every batch normalisation, under the same names."""
    for parent in decoder.modules():
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                norm = _PooledNorm(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                setattr(parent, name, norm)


def _find_encoder(name: str) -> str:
    """Return smp's name of an encoder; timm's encoder wins over smp's own of the same name."""
    if timm.is_model(name):
        return f"tu-{name}"
    # Those called timm-* are deprecated doubles of timm's own.
    own = [known for known in get_encoder_names() if not known.startswith("timm-")]
    if name in own:
        return name
    raise ConfigError(
        "model.encoder: timm and segmentation_models.pytorch have no encoder "
        f"{name!r}.{suggest(name, [*timm.list_models(), *own])}"
    )

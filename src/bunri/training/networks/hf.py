"""Sizes and published weights of transformers' networks.

transformers is imported with this file, which is therefore imported only for these networks.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    EomtConfig,
    Mask2FormerConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
)
from transformers.utils import logging

from bunri.core.errors import ConfigError, WeightsError, suggest
from bunri.training.config import ModelConfig
from bunri.training.networks.hf_networks import (
    EomtParts,
    HfEomt,
    HfMask2Former,
    HfSegformer,
    Mask2FormerParts,
)
from bunri.training.networks.weights import PretrainedWeights, load_hub_weights, load_weights


@dataclass(frozen=True, slots=True)
class _Size:
    """One size of a network: settings for transformers, and the repository of its weights."""

    settings: Mapping[str, Any]
    repo: str = ""
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class _Family:
    """A network in all its sizes by ``model.encoder``, and the origin of its published weights."""

    sizes: Mapping[str, _Size]
    configure: Callable[[Mapping[str, Any], ModelConfig, int], Any]
    parts: Any  # transformers' model class, with the names of the published weights
    network: Callable[[Any], nn.Module]  # assembles the parts
    own: str = "class_predictor."  # prefix of the names of tensors that the weights may lack
    trained_on: str = ""
    license: str = ""


def _configure_segformer(size: Mapping[str, Any], config: ModelConfig, num_classes: int) -> Any:  # noqa: ANN401 (transformers')
    return SegformerConfig(
        **size,
        num_labels=num_classes,
        # Twice: 256 for the default of 128, the authors' value for the two smallest sizes.
        decoder_hidden_size=2 * config.decoder_channels,
        classifier_dropout_prob=config.dropout,
    )


def _configure_mask2former(size: Mapping[str, Any], _: ModelConfig, num_classes: int) -> Any:  # noqa: ANN401
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = SwinConfig(**size["backbone"], drop_path_rate=0.3, out_features=stages)
    rest = {name: value for name, value in size.items() if name != "backbone"}
    return Mask2FormerConfig(backbone_config=backbone, num_labels=num_classes, **rest)


def _configure_eomt(size: Mapping[str, Any], _: ModelConfig, num_classes: int) -> Any:  # noqa: ANN401
    return EomtConfig(num_labels=num_classes, **size)


def _mit(widths: tuple[int, ...], depths: tuple[int, ...]) -> _Size:
    return _Size({"hidden_sizes": widths, "depths": depths})


def _swin(name: str, width: int, depth: int, window: int, revision: str = "main") -> _Size:
    heads = [width // 32 * 2**i for i in range(4)]
    backbone = {"embed_dim": width, "depths": [2, 2, depth, 2], "num_heads": heads}
    repo = f"facebook/mask2former-swin-{name}-ade-semantic"
    return _Size({"backbone": {**backbone, "window_size": window}}, repo, revision)


def _dinov2(name: str, width: int, layers: int, blocks: int) -> _Size:
    settings = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "num_blocks": blocks,
    }
    return _Size(settings, f"tue-mps/coco_panoptic_eomt_{name}")


_WIDE_MIT = (64, 128, 320, 512)
_FAMILIES: Mapping[str, _Family] = {
    "hf_segformer": _Family(
        {
            "mit_b0": _mit((32, 64, 160, 256), (2, 2, 2, 2)),
            "mit_b1": _mit(_WIDE_MIT, (2, 2, 2, 2)),
            "mit_b2": _mit(_WIDE_MIT, (3, 4, 6, 3)),
            "mit_b3": _mit(_WIDE_MIT, (3, 4, 18, 3)),
            "mit_b4": _mit(_WIDE_MIT, (3, 8, 27, 3)),
            "mit_b5": _mit(_WIDE_MIT, (3, 6, 40, 3)),
        },
        _configure_segformer,
        SegformerForSemanticSegmentation,
        HfSegformer,
        own="decode_head.",
    ),
    "hf_mask2former": _Family(
        {
            # Here the safetensors are in a pull request by the hub's own converter.
            "swin_tiny": _swin("tiny", 96, 6, 7, "refs/pr/2"),
            "swin_small": _swin("small", 96, 18, 7),
            "swin_base": _swin("base", 128, 18, 12),
            "swin_large": _swin("large", 192, 18, 12),
        },
        _configure_mask2former,
        Mask2FormerParts,
        HfMask2Former,
        trained_on="ImageNet and ADE20K",
        license="other (see the model card)",
    ),
    "hf_eomt": _Family(
        {
            "dinov2_small": _dinov2("small_640_2x", 384, 12, 3),
            "dinov2_base": _dinov2("base_640_2x", 768, 12, 3),
            "dinov2_large": _dinov2("large_640", 1024, 24, 4),
        },
        _configure_eomt,
        EomtParts,
        HfEomt,
        trained_on="DINOv2 and COCO",
        license="MIT",
    ),
}


def build_hf_network(
    config: ModelConfig, num_classes: int, tensors: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return a network in training mode, with pretrained tensors under their published names."""
    family, size = _find(config)
    hf_config = family.configure(size.settings, config, num_classes)
    if tensors is None:
        return family.network(family.parts(hf_config)).train()
    with _silence():
        parts, report = family.parts.from_pretrained(
            None,  # no folder: the tensors are given
            config=hf_config,
            state_dict=_rename_mit(tensors),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing = report["missing_keys"] | {name for name, *_ in report["mismatched_keys"]}
    if wrong := sorted(name for name in missing if not name.startswith(family.own)):
        raise WeightsError(
            f"The weights do not fit {config.name} with {config.encoder}: they lack {wrong[0]}, "
            "or have it in another shape.",
            hint="Use the weights of this size, or --set model.weights=none.",
        )
    return family.network(parts).train()


def load_hf_weights(config: ModelConfig) -> PretrainedWeights | None:
    """Return the weights that a network starts from; None for ``weights: none``.

    ``imagenet`` means the encoder for SegFormer, and everything but the class layer for the others,
    which hardly learn from few photos without it.
    """
    family, size = _find(config)
    if config.weights == "imagenet" and size.repo:
        return load_hub_weights(size.repo, size.revision, family.trained_on, family.license)
    return load_weights(config)


def _find(config: ModelConfig) -> tuple[_Family, _Size]:
    family = _FAMILIES[config.name]
    if config.encoder not in family.sizes:
        raise ConfigError(
            f"model.encoder: {config.encoder!r} is not allowed with {config.name}."
            f"{suggest(config.encoder, family.sizes)}"
        )
    return family, family.sizes[config.encoder]


# From the authors' names of MiT, which segmentation_models.pytorch uses, to transformers'.
_MIT_NAMES = (
    (r"^patch_embed(\d)\.norm\.", r"stages.\1.patch_embeddings.layer_norm."),
    (r"^patch_embed(\d)\.", r"stages.\1.patch_embeddings."),
    (r"^norm(\d)\.", r"stages.\1.layer_norm."),
    (r"^block(\d)\.", r"stages.\1.blocks."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.sr\.", ".attention.sequence_reduction.sequence_reduction."),
    (r"\.attn\.norm\.", ".attention.sequence_reduction.layer_norm."),
    (r"\.attn\.q\.", ".attention.q_proj."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
)


def _rename_mit(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of smp's MiT under transformers' names, and any others unchanged."""
    if "patch_embed1.proj.weight" not in tensors:
        return dict(tensors)
    renamed = {}
    for old, tensor in tensors.items():
        name = old
        for pattern, replacement in _MIT_NAMES:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"^stages\.(\d)", lambda found: f"segformer.stages.{int(found[1]) - 1}", name)
        if ".attn.kv." in name:
            for part, half in zip("kv", tensor.chunk(2), strict=True):
                renamed[name.replace(".attn.kv.", f".attention.{part}_proj.")] = half
        else:
            renamed[name] = tensor
    return renamed


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silence transformers' report of missing tensors, which are checked here."""
    level, shows_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_bar:
            logging.enable_progress_bar()

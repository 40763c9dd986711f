"""transformers' SegFormer, Mask2Former and EoMT behind the contract of every network here.

Owns their sizes, where their weights come from, and how masks with classes become logits for
each pixel. transformers' own layers do the work; its losses, which match masks with objects, are
not used: what trains these networks is the loss of every network here, on each pixel, and on
every depth at which the authors supervise.

``encoder`` is the pretrained backbone: MiT, Swin, or of EoMT the whole transformer with its
queries' blocks.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn
from transformers import (
    EomtConfig,
    Mask2FormerConfig,
    Mask2FormerModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
)
from transformers.models.eomt.modeling_eomt import (
    EomtEmbeddings,
    EomtLayer,
    EomtMaskHead,
    EomtPreTrainedModel,
    EomtScaleBlock,
)
from transformers.models.mask2former.modeling_mask2former import Mask2FormerPreTrainedModel
from transformers.utils import logging

from bunri.config import ModelConfig
from bunri.contracts import ConfigError, WeightsError, suggest
from bunri.learning.weights import PretrainedWeights, load_hub_weights, load_weights

_FLOOR = 1e-12
"""Added before a logarithm; far under what a pixel's most likely class has."""


def combine_queries(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Return the log of each class's share in each pixel, summed over the queries.

    That is log sum_q softmax(class)[q, c] * sigmoid(mask)[q, h, w], without the class "no
    object" (Cheng et al. 2021, MaskFormer's semantic inference); in float32 whatever the
    precision around it. Softmax over the classes makes it probabilities, so these are logits.
    No gradient is above 1: what the logarithm divides by, softmax and sigmoid multiply with.

    Args:
        class_logits: Float (N, Q, C + 1), "no object" last.
        mask_logits: Float (N, Q, h, w).

    Returns:
        float32 (N, C, h, w), at most log Q.
    """
    with _full_precision(class_logits.device.type):
        classes = class_logits.float().softmax(dim=-1)[..., :-1]
        masks = mask_logits.float().sigmoid()
        return (torch.einsum("nqc,nqhw->nchw", classes, masks) + _FLOOR).log()


def _full_precision(device_type: str) -> contextlib.AbstractContextManager[Any]:
    if device_type != "meta" and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


def _enlarge(logits: Tensor, pixels: Tensor) -> Tensor:
    return F.interpolate(logits, size=pixels.shape[-2:], mode="bilinear")


class HfSegformer(nn.Module):
    """SegFormer (Xie et al. 2021) as transformers has it.

    Args:
        model: Whose parts are taken over.
    """

    def __init__(self, model: SegformerForSemanticSegmentation) -> None:
        super().__init__()
        self.encoder = model.segformer
        self.decoder = model.decode_head

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32."""
        stages = self.encoder(pixels, output_hidden_states=True).hidden_states
        return _enlarge(self.decoder(stages), pixels)


class _Mask2FormerParts(Mask2FormerPreTrainedModel):  # type: ignore[misc]
    """Mask2Former under the names of its published weights, without its loss."""

    def __init__(self, config: Mask2FormerConfig) -> None:
        super().__init__(config)
        self.model = Mask2FormerModel(config)
        self.class_predictor = nn.Linear(config.hidden_dim, config.num_labels + 1)
        self.post_init()


class HfMask2Former(nn.Module):
    """Mask2Former (Cheng et al. 2022) on Swin.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: _Mask2FormerParts) -> None:
        super().__init__()
        self.encoder = parts.model.pixel_level_module.encoder
        # Its output is not used here; a parameter without gradient stops training on many GPUs.
        self.encoder.swin.layernorm = nn.Identity()
        self.pixel_decoder = parts.model.pixel_level_module.decoder
        self.transformer = parts.model.transformer_module
        self.class_predictor = parts.class_predictor

    def forward(self, pixels: Tensor) -> Tensor | list[Tensor]:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32.

        In training, a list of them: one for each layer of the decoder, the last one last.
        """
        decoded = self.pixel_decoder(self.encoder(pixels).feature_maps)
        layers = self.transformer(decoded.multi_scale_features, decoded.mask_features)
        queries = [states.transpose(0, 1) for states in layers.intermediate_hidden_states]
        pairs = list(zip(queries, layers.masks_queries_logits, strict=True))
        logits = [
            _enlarge(combine_queries(self.class_predictor(states), masks), pixels)
            for states, masks in (pairs if self.training else pairs[-1:])
        ]
        return logits if self.training else logits[0]


class _EomtParts(EomtPreTrainedModel):  # type: ignore[misc]
    """EoMT under the names of its published weights, without its loss."""

    def __init__(self, config: EomtConfig) -> None:
        super().__init__(config)
        self.embeddings = EomtEmbeddings(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.query = nn.Embedding(config.num_queries, config.hidden_size)
        self.layers = nn.ModuleList(EomtLayer(config) for _ in range(config.num_hidden_layers))
        self.upscale_block = EomtScaleBlock(config)
        self.mask_head = EomtMaskHead(config)
        self.class_predictor = nn.Linear(config.hidden_size, config.num_labels + 1)
        self.post_init()


class HfEomt(nn.Module):
    """EoMT (Kerssies et al. 2025): a plain ViT whose last blocks see queries beside patches.

    Frames of any multiple of the patch, 16 pixels: the position embeddings, learned for 640
    pixels, are interpolated. Queries attend to all patches, as the authors' do at the end of
    training; their masks for attention at its beginning, faded out later, are not there.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: _EomtParts) -> None:
        super().__init__()
        config = parts.config
        self.num_blocks: int = config.num_blocks
        self.patch_px: int = config.patch_size
        self.grid_side: int = config.image_size // config.patch_size
        self.encoder = nn.ModuleDict(
            {"embeddings": parts.embeddings, "layers": parts.layers, "norm": parts.layernorm}
        )
        self.query = parts.query
        self.upscale = parts.upscale_block
        self.mask_head = parts.mask_head
        self.class_predictor = parts.class_predictor

    def forward(self, pixels: Tensor) -> Tensor | list[Tensor]:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32.

        In training, a list of them: one for each block with queries, the last one last.
        """
        grid_hw = pixels.shape[-2] // self.patch_px, pixels.shape[-1] // self.patch_px
        tokens = self._embed(pixels, grid_hw)
        layers = list(self.encoder["layers"])
        logits = []
        for number, layer in enumerate(layers, start=self.num_blocks - len(layers)):
            if number == 0:
                queries = self.query.weight.expand(len(pixels), -1, -1)
                tokens = torch.cat((queries, tokens), dim=1)
            if number >= 0 and self.training:
                logits.append(_enlarge(self._read(tokens, grid_hw), pixels))
            tokens = layer(tokens)
        logits.append(_enlarge(self._read(tokens, grid_hw), pixels))
        return logits if self.training else logits[0]

    def _embed(self, pixels: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Return tokens (N, 1 + registers + patches, D)."""
        embeddings: Any = self.encoder["embeddings"]
        side = self.grid_side
        learned = embeddings.position_embeddings.weight.T.reshape(1, -1, side, side)
        positions = F.interpolate(learned, size=grid_hw, mode="bicubic", antialias=False)
        patches = embeddings.patch_embeddings(pixels) + positions.flatten(2).transpose(1, 2)
        first = torch.cat((embeddings.cls_token, embeddings.register_tokens), dim=1)
        return torch.cat((first.expand(len(pixels), -1, -1), patches), dim=1)

    def _read(self, tokens: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Return logits (N, C, h, w) at a quarter of the frame."""
        tokens = self.encoder["norm"](tokens)
        queries = tokens[:, : self.query.num_embeddings]
        patches = tokens[:, -grid_hw[0] * grid_hw[1] :]
        features = self.upscale(patches.transpose(1, 2).unflatten(-1, grid_hw))
        masks = torch.einsum("nqd,ndhw->nqhw", self.mask_head(queries), features)
        return combine_queries(self.class_predictor(queries), masks)


@dataclass(frozen=True, slots=True)
class _Size:
    """One size of a network: what it is built with, and the repository of its weights."""

    settings: Mapping[str, Any]
    repo: str = ""
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class _Family:
    """One of the networks by name.

    Attributes:
        sizes: By ``model.encoder``.
        configure: Makes transformers' configuration of a size.
        parts: transformers' model, under the names of published weights.
        network: Puts the parts together.
        own: Start of the names of tensors that weights need not have.
        trained_on: What the repositories' weights were trained on.
        license: Theirs.
    """

    sizes: Mapping[str, _Size]
    configure: Callable[[Mapping[str, Any], ModelConfig, int], Any]
    parts: Any
    network: Callable[[Any], nn.Module]
    own: str = "class_predictor."
    trained_on: str = ""
    license: str = field(default="see its model card", kw_only=True)


def _configure_segformer(size: Mapping[str, Any], config: ModelConfig, num_classes: int) -> Any:  # noqa: ANN401 (transformers')
    return SegformerConfig(
        **size,
        num_labels=num_classes,
        # Twice: 256 for the default of 128, which is the authors' for the two smallest.
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
            # There the safetensors are in a proposed change, made by the hub's own converter.
            "swin_tiny": _swin("tiny", 96, 6, 7, "refs/pr/2"),
            "swin_small": _swin("small", 96, 18, 7),
            "swin_base": _swin("base", 128, 18, 12),
            "swin_large": _swin("large", 192, 18, 12),
        },
        _configure_mask2former,
        _Mask2FormerParts,
        HfMask2Former,
        trained_on="ImageNet and ADE20K",
    ),
    "hf_eomt": _Family(
        {
            "dinov2_small": _dinov2("small_640_2x", 384, 12, 3),
            "dinov2_base": _dinov2("base_640_2x", 768, 12, 3),
            "dinov2_large": _dinov2("large_640", 1024, 24, 4),
        },
        _configure_eomt,
        _EomtParts,
        HfEomt,
        trained_on="DINOv2 and COCO",
    ),
}


def build_hf_network(
    config: ModelConfig, num_classes: int, tensors: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return a network in training mode.

    Args:
        config: Name, size and widths.
        num_classes: Channels of the output, background included.
        tensors: Pretrained ones, under published names; None for random ones.

    Raises:
        ConfigError: There is no such size.
        WeightsError: The tensors do not fit.
    """
    family, size = _find(config)
    hf_config = family.configure(size.settings, config, num_classes)
    if tensors is None:
        return family.network(family.parts(hf_config)).train()
    with _silence():
        parts, report = family.parts.from_pretrained(
            None,  # nothing but these tensors
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
            hint="Take the weights of this size, or --set model.weights=none.",
        )
    return family.network(parts).train()


def load_hf_weights(config: ModelConfig) -> PretrainedWeights | None:
    """Return the weights a network starts from; None for ``weights: none``.

    ``imagenet`` is of SegFormer the encoder; of the others, which hardly learn from few photos
    without it, everything but the class layer.

    Raises:
        ConfigError: There is no such size.
        WeightsError: They cannot be had; the ways out are named.
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


# From the authors' names of MiT, which segmentation_models.pytorch keeps, to transformers'.
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
    """Return an encoder of segmentation_models.pytorch under transformers' names; else all as is."""
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
    """Keep transformers from reporting what is checked here."""
    level, shows_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_bar:
            logging.enable_progress_bar()

"""SegFormer, Mask2Former and EoMT, assembled from transformers' layers.

transformers' own losses, which match masks with objects and need scipy, are not used: these
networks learn from the losses over pixels, like every other network, at every depth that the
authors supervise. ``encoder`` is the pretrained backbone: MiT, Swin, or EoMT's whole transformer.
"""

import contextlib
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn
from transformers import (
    EomtConfig,
    Mask2FormerConfig,
    Mask2FormerModel,
    SegformerForSemanticSegmentation,
)
from transformers.models.eomt.modeling_eomt import (
    EomtEmbeddings,
    EomtLayer,
    EomtMaskHead,
    EomtPreTrainedModel,
    EomtScaleBlock,
)
from transformers.models.mask2former.modeling_mask2former import Mask2FormerPreTrainedModel

_FLOOR = 1e-12
"""Added before the logarithm; far below the share of a pixel's most likely class."""


def combine_queries(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Return logits, float32 (N, C, h, w), from queries with a class and a mask each.

    log sum_q softmax(class)[q, c] * sigmoid(mask)[q, h, w], without the class "no object" (Cheng
    et al. 2021, MaskFormer's semantic inference), in float32 even under autocast. No gradient is
    above 1: softmax and sigmoid multiply with what the logarithm divides by.

    Args:
        class_logits: Float (N, Q, C + 1), "no object" last.
        mask_logits: Float (N, Q, h, w).
    """
    device = class_logits.device.type
    is_autocast = device != "meta" and torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if is_autocast else contextlib.nullcontext():
        classes = class_logits.float().softmax(dim=-1)[..., :-1]
        masks = mask_logits.float().sigmoid()
        return (torch.einsum("nqc,nqhw->nchw", classes, masks) + _FLOOR).log()


def _enlarge(logits: Tensor, pixels: Tensor) -> Tensor:
    return F.interpolate(logits, size=pixels.shape[-2:], mode="bilinear")


class HfSegformer(nn.Module):
    """SegFormer (Xie et al. 2021)."""

    def __init__(self, model: SegformerForSemanticSegmentation) -> None:
        super().__init__()
        self.encoder = model.segformer
        self.decoder = model.decode_head

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32."""
        stages = self.encoder(pixels, output_hidden_states=True).hidden_states
        return _enlarge(self.decoder(stages), pixels)


class Mask2FormerParts(Mask2FormerPreTrainedModel):  # type: ignore[misc]
    """Parts of Mask2Former under the names of its published weights, without its loss."""

    def __init__(self, config: Mask2FormerConfig) -> None:
        super().__init__(config)
        self.model = Mask2FormerModel(config)
        self.class_predictor = nn.Linear(config.hidden_dim, config.num_labels + 1)
        self.post_init()


class HfMask2Former(nn.Module):
    """Mask2Former (Cheng et al. 2022) on Swin."""

    def __init__(self, parts: Mask2FormerParts) -> None:
        super().__init__()
        self.encoder = parts.model.pixel_level_module.encoder
        # Its output is not used; a parameter without a gradient stops training on several GPUs.
        self.encoder.swin.layernorm = nn.Identity()
        self.pixel_decoder = parts.model.pixel_level_module.decoder
        self.transformer = parts.model.transformer_module
        self.class_predictor = parts.class_predictor

    def forward(self, pixels: Tensor) -> Tensor | list[Tensor]:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32.

        In training mode a list of logits, one per layer of the decoder, the last layer last.
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


class EomtParts(EomtPreTrainedModel):  # type: ignore[misc]
    """Parts of EoMT under the names of its published weights, without its loss."""

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
    """EoMT (Kerssies et al. 2025): a plain ViT whose last blocks process queries beside patches.

    The frame may be any multiple of the patch size of 16 pixels: the position embeddings, learned
    for 640 pixels, are interpolated. Queries attend to all patches from the start; the authors
    mask this attention at first and fade the masks out during training.
    """

    def __init__(self, parts: EomtParts) -> None:
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

        In training mode a list of logits, one per block with queries, the last block last.
        """
        grid_hw = pixels.shape[-2] // self.patch_px, pixels.shape[-1] // self.patch_px
        tokens = self._embed(pixels, grid_hw)
        blocks: Any = self.encoder["layers"]
        layers = list(blocks)
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
        features = self.upscale(patches.transpose(1, 2).reshape(len(tokens), -1, *grid_hw))
        masks = torch.einsum("nqd,ndhw->nqhw", self.mask_head(queries), features)
        return combine_queries(self.class_predictor(queries), masks)

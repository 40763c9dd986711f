"""U-Net 3+ (Huang et al. 2020, arXiv:2004.08790) on encoders of smp and timm.

Every depth of the decoder sees every scale and has a head of its own. Two things differ from the
paper:

* The finest feature of the encoders is at stride 2 (or 4), not 1. The finest depth of the decoder
  is there, too, and all heads are enlarged to the frame.
* The paper's classification-guided module learns from labels of its own whether a class is present
  and blanks the mask if not. Here each class has a score of presence, whose log-sigmoid is added to
  the class's logits: soft, so that the segmentation loss alone teaches it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

DEPTH = 5


class UNet3Plus(nn.Module):
    """U-Net 3+; ``branch_channels`` of each scale's branch into a depth are 64 in the paper."""

    def __init__(
        self,
        encoder_name: str,
        encoder_weights: str | None,
        classes: int,
        branch_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.encoder = get_encoder(encoder_name, depth=DEPTH, weights=encoder_weights)
        # Some encoders start at stride 4; smp gives them a stride-2 feature without channels.
        scales = [
            (channels, 2**level)
            for level, channels in enumerate(self.encoder.out_channels)
            if level and channels
        ]
        self.decoder = FullScaleDecoder(scales, branch_channels)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, classes, kernel_size=3, padding=1), _enlarge(float(stride))
            )
            for channels, stride in self.decoder.scales
        )
        self.presence = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(scales[-1][0], classes, kernel_size=1),
            nn.AdaptiveMaxPool2d(1),
        )
        initialize_decoder(self.decoder)
        initialize_head(self.heads)
        initialize_head(self.presence)

    def forward(self, pixels: Tensor) -> Tensor | list[Tensor]:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32.

        In training mode a list of logits, one per depth, finest first; in evaluation their mean.
        """
        features = [feature for feature in self.encoder(pixels)[1:] if feature.shape[1]]
        gate = F.logsigmoid(self.presence(features[-1]))  # (N, C, 1, 1)
        depths = self.decoder(features)
        logits = [head(depth) + gate for head, depth in zip(self.heads, depths, strict=True)]
        return logits if self.training else torch.stack(logits).mean(dim=0)


class FullScaleDecoder(nn.Module):
    """Decoder whose depths, from coarse to fine, are each made of all scales.

    ``scales`` are pairs (channels, stride), finest first: the argument those of the encoder's
    features, the attribute those of the output, whose coarsest is the encoder's own.
    """

    def __init__(self, scales: Sequence[tuple[int, int]], branch_channels: int) -> None:
        super().__init__()
        width = branch_channels * len(scales)
        self.scales = [*((width, stride) for _, stride in scales[:-1]), scales[-1]]
        self.depths = nn.ModuleList(
            # The scale itself and finer ones come from the encoder, coarser ones are decoded.
            _Depth([*scales[: i + 1], *self.scales[i + 1 :]], scales[i][1], branch_channels)
            for i in range(len(scales) - 1)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return one map per scale, finest first; the coarsest feature is returned unchanged."""
        maps = list(features)
        for i in reversed(range(len(self.depths))):
            maps[i] = self.depths[i](maps)
        return maps


class _Depth(nn.Module):
    """All scales brought to one stride, convolved and fused."""

    def __init__(
        self, scales: Sequence[tuple[int, int]], stride: int, branch_channels: int
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.MaxPool2d(stride // own) if own < stride else _enlarge(own / stride),
                *_convolve(channels, branch_channels),
            )
            for channels, own in scales
        )
        width = branch_channels * len(scales)
        self.fusion = nn.Sequential(*_convolve(width, width))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        branches = [branch(scale) for branch, scale in zip(self.branches, maps, strict=True)]
        fused: Tensor = self.fusion(torch.cat(branches, dim=1))
        return fused


def _enlarge(factor: float) -> nn.Module:
    return nn.Upsample(scale_factor=factor, mode="bilinear") if factor > 1 else nn.Identity()


def _convolve(before: int, after: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )

"""SegNet (Badrinarayanan et al. 2017, arXiv:1511.00561).

Every convolution is followed by batch normalisation, so the encoder is VGG16-BN, not VGG16.
"""

from itertools import pairwise

import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

STAGE_CHANNELS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, *3 * (512,)), 4 * (512,))
"""Channels before, between and after the convolutions of VGG16's five stages."""


class SegNet(nn.Module):
    """VGG16-BN and its mirror image, which upsamples by max-unpooling with stored indices."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(_build_stage(widths) for widths in STAGE_CHANNELS)
        mirrored = [widths[::-1] for widths in reversed(STAGE_CHANNELS)]
        # As in the authors' network, the last convolution is the classifier itself.
        self.decoder = nn.ModuleList(
            _build_stage(widths) for widths in (*mirrored[:-1], mirrored[-1][:-1])
        )
        self.classifier = nn.Conv2d(STAGE_CHANNELS[0][1], num_classes, kernel_size=3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, as in the paper
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32."""
        features, places = pixels, []
        for stage in self.encoder:
            features, indices = F.max_pool2d(stage(features), (2, 2), return_indices=True)
            places.append(indices)
        for stage in self.decoder:
            features = stage(F.max_unpool2d(features, places.pop(), (2, 2)))
        logits: Tensor = self.classifier(features)
        return logits


def _build_stage(widths: tuple[int, ...]) -> nn.Sequential:
    """Return 3x3 convolutions between the widths, in the order of torchvision's VGG16-BN."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [
            nn.Conv2d(before, after, kernel_size=3, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)

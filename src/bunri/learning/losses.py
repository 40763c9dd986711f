"""What training minimises: losses over logits and the masks they should become.

Owns each loss and their weighted sum. Knows nothing of data or optimisers.

Every loss takes logits, float (N, C, H, W), and targets, int64 (N, H, W) with 255 = ignore,
computes in float32 whatever the precision of the logits, and returns a scalar.
"""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

from bunri.config import LossConfig
from bunri.contracts import IGNORE_INDEX


def compute_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy over pixels that are not ignored; 0 if all are."""
    total = F.cross_entropy(logits.float(), targets, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (targets != IGNORE_INDEX).sum().clamp(min=1)


def compute_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - Dice, the mean over classes present in the batch's targets.

    Soft Dice (Milletari et al. 2016, V-Net) over the whole batch, so that a class that
    covers a corner of one photo weighs as much as the background. 0 if all is ignored.
    """
    probs = logits.float().softmax(dim=1)  # over classes, (N, C, H, W)
    valid = (targets != IGNORE_INDEX).unsqueeze(1)
    one_hot = F.one_hot(targets.clamp(max=logits.shape[1] - 1), logits.shape[1])
    truth = one_hot.permute(0, 3, 1, 2) * valid
    probs = probs * valid
    hits = (probs * truth).sum(dim=(0, 2, 3))  # (C,)
    sizes = truth.sum(dim=(0, 2, 3))
    dice = 2 * hits / (probs.sum(dim=(0, 2, 3)) + sizes).clamp(min=1e-6)
    present = sizes > 0
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def compute_loss(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Return the weighted sum of the losses whose weight is not 0."""
    total = torch.zeros((), device=logits.device)
    if config.ce:
        total = total + config.ce * compute_cross_entropy(logits, targets)
    if config.dice:
        total = total + config.dice * compute_dice(logits, targets)
    return total

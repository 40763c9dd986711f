"""What training minimises: losses over logits and the masks they should become.

Owns the losses over single pixels and the weighted sum of all. Regions and borders are
``region_losses``'. Knows nothing of data or optimisers.

Every loss takes logits, float (N, C, H, W), and targets, int64 (N, H, W) with 255 = ignore,
computes in float32, or in float64 where the logits are, and returns a scalar; it is 0, and
its gradient zeros, where all is ignored. Coarser logits are brought to the targets' size where
the losses are summed.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

from bunri.core.contracts import IGNORE_INDEX
from bunri.core.errors import ConfigError
from bunri.training.config import LossConfig, LossName
from bunri.training.losses.region import (
    compute_boundary,
    compute_dice,
    compute_jaccard,
    compute_lovasz,
    compute_tversky,
)
from bunri.training.numerics import widen


def compute_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the mean cross-entropy over pixels that are not ignored; 0 if all are.

    Args:
        logits: Float (N, C, H, W).
        targets: int64 (N, H, W), 255 = ignore.
        class_weights: One per class; the mean is then weighted by each pixel's true class.
        label_smoothing: Share of the truth spread over all classes (Szegedy et al. 2016);
            above 0 the smallest value is no longer 0.
    """
    weights = None
    valid = targets != IGNORE_INDEX
    counts = valid
    if class_weights is not None:
        weights = torch.tensor(class_weights, dtype=widen(logits).dtype, device=logits.device)
        counts = weights[targets[valid]]
    total = F.cross_entropy(
        widen(logits),
        targets,
        weights,
        ignore_index=IGNORE_INDEX,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    # No weight is under 0.001, so that the floor only replaces the 0 of no valid pixel.
    return total / counts.sum().clamp(min=1 if class_weights is None else 1e-3)


def compute_ohem(logits: Tensor, targets: Tensor, share: float) -> Tensor:
    """Return the mean cross-entropy over the hardest valid pixels of the batch.

    Online hard example mining (Shrivastava et al. 2016), by pixel instead of by box.

    Args:
        logits: Float (N, C, H, W).
        targets: int64 (N, H, W), 255 = ignore.
        share: Part of the valid pixels that is kept, rounded, at least one.
    """
    losses = _compute_each_pixel(logits, targets)
    count = max(round(share * len(losses)), 1)
    hardest = losses.topk(min(count, len(losses)), sorted=False).values
    return hardest.sum() / count


def compute_focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Return the mean of (1 - p)^gamma times the cross-entropy -log p; p: the true class's.

    Lin et al. 2017, without their alpha.
    """
    losses = _compute_each_pixel(logits, targets)
    # 1 - p without rounding to 0; at 0 a root would have no finite slope.
    unsure = (-torch.expm1(-losses)).clamp(min=1e-12)
    return (unsure**gamma * losses).sum() / max(len(losses), 1)


def _compute_each_pixel(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of every valid pixel, float32 (pixels,)."""
    valid = targets != IGNORE_INDEX
    losses = F.cross_entropy(widen(logits), targets, ignore_index=IGNORE_INDEX, reduction="none")
    return losses[valid]


_LOSSES: Mapping[LossName, Callable[[Tensor, Tensor, LossConfig], Tensor]] = {
    "ce": lambda x, y, c: compute_cross_entropy(x, y, c.class_weights, c.label_smoothing),
    "ohem": lambda x, y, c: compute_ohem(x, y, c.ohem_share),
    "focal": lambda x, y, c: compute_focal(x, y, c.focal_gamma),
    "dice": lambda x, y, _: compute_dice(x, y),
    "jaccard": lambda x, y, _: compute_jaccard(x, y),
    "tversky": lambda x, y, c: compute_tversky(x, y, c.tversky_alpha, c.tversky_beta),
    "lovasz": lambda x, y, _: compute_lovasz(x, y),
    "boundary": lambda x, y, _: compute_boundary(x, y),
}


def compute_loss(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Return the weighted sum of the losses whose weight is not 0.

    Args:
        logits: Float (N, C, h, w), of the targets' size or coarser.
        targets: int64 (N, H, W), 255 = ignore.
        config: Which losses, and their weights.
    """
    logits = _enlarge(logits, targets)
    total = torch.zeros((), device=logits.device)
    for name, compute in _LOSSES.items():
        weight: float = getattr(config, name)
        if weight:
            total = total + weight * compute(logits, targets, config)
    return total


def _enlarge(logits: Tensor, targets: Tensor) -> Tensor:
    """Return logits at the size of the targets: bilinear, as photos are resized."""
    size_hw = targets.shape[-2:]
    if logits.shape[-2:] == size_hw:
        return logits
    return F.interpolate(widen(logits), size_hw, mode="bilinear")


def compute_weighted_loss(
    logits: Tensor, targets: Tensor, is_pseudo: Tensor, config: LossConfig, pseudo_weight: float
) -> Tensor:
    """Return the loss of a batch in which photos with pseudo-labels count less.

    The mean of the loss over the photos with true labels and of that over the others, by what
    they count for in all: ``(t * L_true + w * p * L_pseudo) / (t + w * p)`` with ``t`` and ``p``
    photos of either kind. Where all photos count the same this is :func:`compute_loss` of the
    whole batch, since the losses of regions are not means over photos.

    Args:
        logits: As of :func:`compute_loss`.
        targets: int64 (N, H, W), 255 = ignore.
        is_pseudo: bool (N,).
        config: Which losses.
        pseudo_weight: ``w``; above 0, at most 1.
    """
    num_pseudo = int(is_pseudo.sum())
    num_true = len(is_pseudo) - num_pseudo
    if pseudo_weight == 1 or not num_pseudo or not num_true:
        return compute_loss(logits, targets, config)
    is_true = ~is_pseudo.to(logits.device)
    share = num_true / weigh_samples(is_pseudo, pseudo_weight)
    true_loss = compute_loss(logits[is_true], targets[is_true], config)
    pseudo_loss = compute_loss(logits[~is_true], targets[~is_true], config)
    return share * true_loss + (1 - share) * pseudo_loss


def compute_training_loss(
    outputs: Tensor | Sequence[Tensor],
    targets: Tensor,
    config: LossConfig,
    is_pseudo: Tensor | None = None,
    pseudo_weight: float = 1.0,
) -> Tensor:
    """Return the mean loss of what a network gave in training mode.

    Args:
        outputs: Logits, or several, of a network that is supervised at more than one depth.
        targets: int64 (N, H, W), 255 = ignore.
        config: Which losses, and their weights.
        is_pseudo: bool (N,), which photos have pseudo-labels; None: none of them.
        pseudo_weight: What these count for, see :func:`compute_weighted_loss`.
    """
    heads = [outputs] if isinstance(outputs, Tensor) else outputs
    if is_pseudo is None:
        is_pseudo = torch.zeros(len(targets), dtype=torch.bool)
    losses = [
        compute_weighted_loss(logits, targets, is_pseudo, config, pseudo_weight) for logits in heads
    ]
    return torch.stack(losses).mean()


def weigh_samples(is_pseudo: Tensor, pseudo_weight: float) -> float:
    """Return what samples, bool (N,), count for in all: the true ones 1 each."""
    num_pseudo = int(is_pseudo.sum())
    return len(is_pseudo) - num_pseudo + pseudo_weight * num_pseudo


def check_class_weights(config: LossConfig, num_classes: int) -> None:
    """Refuse class weights that are not one per class.

    Raises:
        ConfigError: Their number is another.
    """
    weights = config.class_weights
    if weights is not None and len(weights) != num_classes:
        raise ConfigError(
            f"loss.class_weights has {len(weights)} numbers, but there are {num_classes} classes.",
            hint="Give one number per class, in the order of the class table.",
        )

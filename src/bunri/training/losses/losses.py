"""Training losses: the registry, the weighted sum, and the losses over single pixels.

Every loss takes logits, float (N, C, H, W), and targets, int64 (N, H, W) with 255 = ignore,
computes in float32 (float64 for float64 logits) and returns a scalar. If all pixels are ignored,
the loss is 0 and its gradient zero.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

from bunri.core.contracts import IGNORE_INDEX
from bunri.core.errors import ConfigError
from bunri.training.config import LossConfig
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
    """Return the mean cross-entropy over valid pixels, weighted by each pixel's true class.

    ``label_smoothing`` is the share of the target spread over all classes (Szegedy et al. 2016);
    above 0 the smallest possible loss is above 0, too.
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
    # No weight is below 0.001, so the floor only replaces the sum of no valid pixel.
    return total / counts.sum().clamp(min=1 if class_weights is None else 1e-3)


def compute_ohem(logits: Tensor, targets: Tensor, share: float) -> Tensor:
    """Return the mean cross-entropy over the hardest valid pixels of the batch.

    Online hard example mining (Shrivastava et al. 2016), by pixel instead of by box; ``share`` of
    the valid pixels is kept, at least one.
    """
    losses = _compute_each_pixel(logits, targets)
    count = max(round(share * len(losses)), 1)
    hardest = losses.topk(min(count, len(losses)), sorted=False).values
    return hardest.sum() / count


def compute_focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Return the mean of (1 - p)^gamma * -log(p) over valid pixels, p of the true class.

    Lin et al. 2017, without their alpha.
    """
    losses = _compute_each_pixel(logits, targets)
    # 1 - p without rounding to 0, where the gradient of a root is infinite.
    unsure = (-torch.expm1(-losses)).clamp(min=1e-12)
    return (unsure**gamma * losses).sum() / max(len(losses), 1)


def _compute_each_pixel(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of every valid pixel, float32 (pixels,)."""
    losses = F.cross_entropy(widen(logits), targets, ignore_index=IGNORE_INDEX, reduction="none")
    return losses[targets != IGNORE_INDEX]


LOSSES: dict[str, Callable[[Tensor, Tensor, LossConfig], Tensor]] = {
    "ce": lambda x, y, c: compute_cross_entropy(x, y, c.class_weights, c.label_smoothing),
    "ohem": lambda x, y, c: compute_ohem(x, y, c.ohem_share),
    "focal": lambda x, y, c: compute_focal(x, y, c.focal_gamma),
    "dice": lambda x, y, _: compute_dice(x, y),
    "jaccard": lambda x, y, _: compute_jaccard(x, y),
    "tversky": lambda x, y, c: compute_tversky(x, y, c.tversky_alpha, c.tversky_beta),
    "lovasz": lambda x, y, _: compute_lovasz(x, y),
    "boundary": lambda x, y, _: compute_boundary(x, y),
}
"""Losses by name; ``LossConfig`` has a :data:`~bunri.training.config.LossWeight` of each name."""


def compute_loss(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Return the weighted sum of the losses; logits (N, C, h, w) may be coarser than targets."""
    if logits.shape[-2:] != targets.shape[-2:]:
        # Bilinear, as photos are resized.
        logits = F.interpolate(widen(logits), targets.shape[-2:], mode="bilinear")
    total = torch.zeros((), device=logits.device)
    for name, compute in LOSSES.items():
        weight: float = getattr(config, name)
        if weight:
            total = total + weight * compute(logits, targets, config)
    return total


def compute_weighted_loss(
    logits: Tensor, targets: Tensor, is_pseudo: Tensor, config: LossConfig, pseudo_weight: float
) -> Tensor:
    """Return the loss of a batch in which photos with pseudo-labels, bool (N,), weigh less.

    ``(t * L_true + w * p * L_pseudo) / (t + w * p)`` with ``t`` photos with true labels, ``p``
    photos with pseudo-labels and the weight ``w``. If all photos weigh the same, this is
    :func:`compute_loss` of the whole batch, because losses of regions are not means over photos.
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
    """Return the mean loss of a network's outputs: logits, or a list of them, one per depth.

    ``is_pseudo`` and ``pseudo_weight`` are those of :func:`compute_weighted_loss`.
    """
    heads = [outputs] if isinstance(outputs, Tensor) else outputs
    if is_pseudo is None:
        is_pseudo = torch.zeros(len(targets), dtype=torch.bool)
    losses = [
        compute_weighted_loss(logits, targets, is_pseudo, config, pseudo_weight) for logits in heads
    ]
    return torch.stack(losses).mean()


def weigh_samples(is_pseudo: Tensor, pseudo_weight: float) -> float:
    """Return the total weight of samples, bool (N,); samples with true labels weigh 1."""
    num_pseudo = int(is_pseudo.sum())
    return len(is_pseudo) - num_pseudo + pseudo_weight * num_pseudo


def check_class_weights(config: LossConfig, num_classes: int) -> None:
    """Raise :class:`ConfigError` if there are class weights, but not one per class."""
    weights = config.class_weights
    if weights is not None and len(weights) != num_classes:
        raise ConfigError(
            f"loss.class_weights has {len(weights)} numbers, but there are {num_classes} classes.",
            hint="Give one number per class, in the order of the class table.",
        )

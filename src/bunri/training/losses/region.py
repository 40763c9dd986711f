"""Losses over regions: Dice, Jaccard, Tversky, Lovasz-Softmax and the boundary loss.

Arguments and results are those of :mod:`bunri.training.losses.losses`. A class that is absent
from the batch's targets has no term of its own; predicting it costs the classes of its pixels.
"""

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor

from bunri.core.contracts import IGNORE_INDEX
from bunri.training.numerics import widen


def compute_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - Dice, the mean over classes present in the batch's targets.

    Soft Dice (Milletari et al. 2016, V-Net) over the whole batch, so that a class that
    covers a corner of one photo weighs as much as the background.
    """
    hits, predicted, sizes = _measure_overlap(logits, targets)
    return _average_present(2 * hits / (predicted + sizes).clamp(min=1e-6), sizes)


def compute_jaccard(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - IoU, the mean over classes present in the batch's targets.

    Soft Jaccard (Rahman and Wang 2016) over the whole batch.
    """
    hits, predicted, sizes = _measure_overlap(logits, targets)
    return _average_present(hits / (predicted + sizes - hits).clamp(min=1e-6), sizes)


def compute_tversky(logits: Tensor, targets: Tensor, alpha: float, beta: float) -> Tensor:
    """Return 1 - Tversky index, the mean over classes present in the batch's targets.

    Salehi et al. 2017, over the whole batch; ``alpha`` is the cost of false positives, ``beta`` of
    false negatives.
    """
    hits, predicted, sizes = _measure_overlap(logits, targets)
    whole = hits + alpha * (predicted - hits) + beta * (sizes - hits)
    return _average_present(hits / whole.clamp(min=1e-6), sizes)


def compute_lovasz(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the Lovasz-Softmax loss, the mean over classes present in the batch's targets.

    Berman et al. 2018: a convex surrogate of 1 - IoU, over the whole batch as one photo.
    Sorts all valid pixels once per class present.
    """
    valid = targets != IGNORE_INDEX
    probs = widen(logits).softmax(dim=1).movedim(1, 0)[:, valid]  # (C, pixels)
    truth = F.one_hot(targets[valid], logits.shape[1]).T  # (C, pixels)
    present = truth.any(dim=1)
    truth = truth[present]
    errors, order = (truth - probs[present]).abs().sort(dim=1, descending=True)
    terms = (errors * _compute_lovasz_gradient(truth.gather(1, order))).sum(dim=1)
    return terms.sum() / max(len(terms), 1)


def compute_boundary(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over valid pixels of wrong probability times distance to the true border.

    Kervadec et al. 2019: the signed distance to a class's border, negative inside, times the
    class's probability. Three things differ from the paper: the truth's own term is kept, so
    that a perfect prediction has loss 0; distances are city-block distances, which two sweeps per
    axis compute exactly on any device; and they are divided by H + W. Ignored pixels are on no
    side of a border. A class without a border in a photo has no term there.
    """
    probs = widen(logits).softmax(dim=1)
    truth, valid = _split_targets(targets, logits.shape[1])
    distances = _sign_distances(truth.bool(), valid)
    wrong = (probs - truth) * valid
    return (distances * wrong).sum() / valid.sum().clamp(min=1)


def _split_targets(targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the one-hot truth, int64 (N, C, H, W), 0 if ignored, and valid pixels (N, 1, H, W)."""
    valid = targets != IGNORE_INDEX
    one_hot = F.one_hot(targets.where(valid, 0), num_classes)
    return one_hot.permute(0, 3, 1, 2) * valid.unsqueeze(1), valid.unsqueeze(1)


def _measure_overlap(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels of each class (C,): correctly predicted, predicted and true."""
    probs = widen(logits).softmax(dim=1)  # over classes, (N, C, H, W)
    truth, valid = _split_targets(targets, logits.shape[1])
    probs = probs * valid
    hits = (probs * truth).sum(dim=(0, 2, 3))
    return hits, probs.sum(dim=(0, 2, 3)), truth.sum(dim=(0, 2, 3))


def _average_present(indices: Tensor, sizes: Tensor) -> Tensor:
    """Return the mean of 1 - index over the classes whose size is not 0."""
    present = sizes > 0
    return ((1 - indices) * present).sum() / present.sum().clamp(min=1)


def _compute_lovasz_gradient(truth: Tensor) -> Tensor:
    """Return the increase of 1 - IoU with each further error, for 0/1 truth (C, pixels).

    A false negative takes one pixel from the intersection I: 1 / U. A false positive adds one to
    the union U: I / (U - 1) - I / U. This form has no cancellation, however many pixels there are.
    """
    sizes = truth.sum(dim=1, keepdim=True)
    intersections = widen(sizes - truth.cumsum(dim=1))
    unions = widen(sizes + (1 - truth).cumsum(dim=1))
    return torch.where(truth.bool(), 1 / unions, intersections / unions / (unions - 1).clamp(min=1))


@torch.no_grad()
def _sign_distances(truth: Tensor, valid: Tensor) -> Tensor:
    """Return distances to the border as shares of H + W, negative inside; 0 without a border."""
    inside, outside = truth & valid, ~truth & valid
    far_px = sum(truth.shape[2:])
    to_inside, to_outside = _measure_distances_px(inside), _measure_distances_px(outside)
    signed = torch.where(inside, -to_outside, to_inside)
    return torch.where(signed.abs() < far_px, signed, 0.0) / far_px


def _measure_distances_px(seeds: Tensor) -> Tensor:
    """Return the city-block distance to the nearest true pixel (..., H, W); H + W if none."""
    distances = torch.where(seeds, 0.0, float(sum(seeds.shape[-2:])))
    for axis in (-1, -2):
        steps = torch.arange(seeds.shape[axis], device=seeds.device, dtype=torch.float32)
        steps = steps if axis == -1 else steps.unsqueeze(1)
        before = (distances - steps).cummin(dim=axis).values + steps
        after = (distances + steps).flip(axis).cummin(dim=axis).values.flip(axis) - steps
        distances = torch.minimum(before, after)
    return distances

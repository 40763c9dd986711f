"""Batch normalisation over the samples of all processes.

Owns the norm that takes the place of a network's own while several processes train it, and gives
what one process would with all samples. Torch's SyncBatchNorm knows GPUs alone and has no
place for a process without samples; this one is the same on every device.

Norms that are not torch's batch normalisation or made from it are left as they are.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bunri.training.numerics import widen
from bunri.training.processes import Processes


def sync_norms(network: nn.Module, processes: Processes) -> None:
    """Put a :class:`SyncedNorm` in place of every batch normalisation.

    Parameters and buffers stay the same objects under the same names.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if processes.count == 1 or not norms:
        return
    processes.reserve(1 + 2 * max(norm.num_features for norm in norms))
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, SyncedNorm(child, processes))


class SyncedNorm(_BatchNorm):
    """Batch normalisation by the statistics of all processes' samples.

    Takes its running statistics where all have one value a channel together, as the norms of
    decoders do. What timm appends to its norms (dropping, activation) follows.

    Args:
        norm: What it takes the place of.
        processes: With whom.
    """

    def __init__(self, norm: _BatchNorm, processes: Processes) -> None:
        super().__init__(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        self._parameters.update(norm._parameters)
        self._buffers.update(norm._buffers)
        for name, child in norm.named_children():
            self.add_module(name, child)
        self._processes = processes
        self.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (torch's name)
        """Take any (N, C, ...)."""

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features, (N, C, ...)."""
        normed = self._normalize(features) if self.training else super().forward(features)
        for child in self.children():
            normed = child(normed)
        return normed

    def _normalize(self, features: Tensor) -> Tensor:
        count, mean, deviations = self._measure(features)
        if count <= 1:
            return F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        self._follow(count, mean, deviations)
        scale = (deviations / count + self.eps).rsqrt()
        kind = widen(features).dtype
        normed: Tensor = _Normalize.apply(
            features, self.weight, self.bias, mean.to(kind), scale.to(kind), count, self._processes
        )
        return normed

    @torch.no_grad()
    def _measure(self, features: Tensor) -> tuple[int, Tensor, Tensor]:
        """Return values a channel, their mean and their summed squared deviations from it, (C,).

        Each process's own are merged (Chan et al. 1979): sums of squares alone would cancel.
        """
        axes = _list_axes(features)
        own_count = 0 if self._processes.is_idle else features.numel() // features.shape[1]
        variance, mean = torch.var_mean(widen(features), axes, correction=0)
        head = torch.tensor([own_count], dtype=torch.float64, device=features.device)
        message = torch.cat([head, mean.double(), variance.double() * own_count])
        received = self._processes.exchange(message)
        counts = received[:, :1]
        means, deviations = received[:, 1:].chunk(2, dim=1)
        means = means.where(counts > 0, 0.0)  # whatever the idle one saw
        deviations = deviations.where(counts > 0, 0.0)
        total = counts.sum()
        whole = (counts * means).sum(0) / total
        deviations = (deviations + counts * (means - whole) ** 2).sum(0)
        return int(total), whole, deviations

    @torch.no_grad()
    def _follow(self, count: int, mean: Tensor, deviations: Tensor) -> None:
        """Move the running statistics."""
        if self.running_mean is None or self.running_var is None:
            return
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = 1 / int(self.num_batches_tracked) if share is None else share
        self.running_mean.lerp_(mean.to(self.running_mean), share or 0.0)
        self.running_var.lerp_((deviations / (count - 1)).to(self.running_var), share or 0.0)


def _list_axes(features: Tensor) -> list[int]:
    """Return all axes but that of channels."""
    return [axis for axis in range(features.dim()) if axis != 1]


class _Normalize(torch.autograd.Function):
    """``(x - mean) * scale * weight + bias``, where mean and scale follow from all x."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        scale: Tensor,
        count: int,
        processes: Processes,
    ) -> Tensor:
        shape = [1, -1] + [1] * (features.dim() - 2)
        unit = (widen(features) - mean.view(shape)) * scale.view(shape)
        ctx.save_for_backward(features, weight, mean, scale)
        ctx.count, ctx.processes, ctx.shape = count, processes, shape
        ctx.is_idle = processes.is_idle
        if weight is not None and bias is not None:
            unit = unit * weight.view(shape) + bias.view(shape)
        return unit.to(features.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        features, weight, mean, scale = ctx.saved_tensors
        shape, gradient = ctx.shape, widen(gradients[0])
        axes = _list_axes(features)
        unit = (widen(features) - mean.view(shape)) * scale.view(shape)
        own = torch.cat([gradient.sum(axes), (gradient * unit).sum(axes)])
        total = ctx.processes.exchange(own).sum(0).to(unit)
        mean_slope, unit_slope = (total / ctx.count).chunk(2)
        inner = gradient - mean_slope.view(shape) - unit * unit_slope.view(shape)
        factor = scale if weight is None else scale * weight
        # The statistics do not depend on an idle process's samples, and nor does the loss.
        to_features = torch.zeros_like(features) if ctx.is_idle else inner * factor.view(shape)
        to_bias, to_weight = own.chunk(2)
        if weight is None:
            return to_features.to(features.dtype), None, None, None, None, None, None
        to_weight, to_bias = to_weight.to(weight.dtype), to_bias.to(weight.dtype)
        return to_features.to(features.dtype), to_weight, to_bias, None, None, None, None

"""Optimiser, learning rate over time, and averages of weights, as ``optim`` sets them."""

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bunri.training.config import OptimConfig


def build_optimizer(network: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Return an optimiser with one group per stage of the encoder, deepest last, then the rest.

    Each group carries its full rate as ``base_lr``; the schedule scales it. Without layer
    decay the whole encoder is one group.
    """
    encoder = list(network.get_submodule("encoder").named_parameters())
    in_encoder = {id(p) for _, p in encoder}
    rest = [p for p in network.parameters() if id(p) not in in_encoder]
    stages = split_stages(encoder) if config.layer_decay < 1 else [[p for _, p in encoder]]
    deepest_rate = config.lr * config.encoder_lr_scale
    rates = [deepest_rate * config.layer_decay**i for i in reversed(range(len(stages)))]
    groups = [
        {"params": params, "lr": rate, "base_lr": rate}
        for params, rate in zip([*stages, rest], [*rates, config.lr], strict=True)
    ]
    match config.name:
        case "adam":
            return torch.optim.Adam(groups, weight_decay=config.weight_decay)
        case "adamw":
            return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        case "sgd":
            return torch.optim.SGD(
                groups, momentum=config.momentum, weight_decay=config.weight_decay
            )


def split_stages(parameters: Sequence[tuple[str, nn.Parameter]]) -> list[list[nn.Parameter]]:
    """Return an encoder's parameters by stage, from the photo inwards.

    The first number in a parameter's name is its stage, as in ``layer1.0.conv1``,
    ``blocks.3.0.bn1`` or ``stages_2.blocks.0``, in every encoder of timm and of
    segmentation_models.pytorch. Parameters without a number belong to the stage of the one
    before, the first ones to the shallowest stage.
    """
    stages: dict[int, list[nn.Parameter]] = {}
    number = -1
    for name, parameter in parameters:
        found = re.search(r"\d+", name)
        number = int(found[0]) if found else number
        stages.setdefault(number, []).append(parameter)
    return [stages[number] for number in sorted(stages)]


class WeightAverage(AveragedModel):
    """Average of a network's weights and buffers over steps, which is kept in their place.

    Averaged weights generalise better than those of any single step (Polyak & Juditsky 1992),
    most of all when few photos make the steps noisy. Either an exponential moving average,
    which starts short and grows to its full length, so that a brief run is not held back by
    its first steps; or the plain average over the last share of all steps (Izmailov et al.
    2018, stochastic weight averaging, here over every step).
    """

    def __init__(self, network: nn.Module, config: OptimConfig, num_steps: int) -> None:
        super().__init__(network, avg_fn=self._blend, use_buffers=True)
        self._decay = config.ema_decay
        self._first_step = math.floor((1 - config.swa_share) * num_steps) if config.swa_share else 0

    def update(self, network: nn.Module, step: int) -> None:
        """Add the weights after a step, counted from 0, to the average."""
        if step <= self._first_step:
            self.n_averaged.zero_()  # so that the update copies
        self.update_parameters(network)

    def _blend(self, averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        num = int(num_averaged)
        share = 1 - min(self._decay, (1 + num) / (10 + num)) if self._decay else 1 / (num + 1)
        return averaged + (current - averaged) * share


def build_average(network: nn.Module, config: OptimConfig, num_steps: int) -> WeightAverage | None:
    """Return the average that the settings ask for; None if they ask for none."""
    if not (config.ema_decay or config.swa_share):
        return None
    return WeightAverage(network, config, num_steps)


def scale_rate(step: int, num_steps: int, config: OptimConfig) -> float:
    """Return the factor on the learning rate, 0 to 1, at a step of the run, counted from 0."""
    warmup_steps = config.warmup * num_steps
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / (num_steps - warmup_steps)
    match config.schedule:
        case "constant":
            return 1.0
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "poly":
            return math.pow(1 - done, config.poly_power)

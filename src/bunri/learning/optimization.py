"""How weights move: optimiser, learning rate over time, and number format.

Owns what ``optim`` and ``train.precision`` mean. Knows nothing of data or epochs.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bunri.config import OptimConfig, Precision
from bunri.contracts import ConfigError


def build_optimizer(network: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Return an optimiser with two groups: encoder, then the rest.

    Each group carries its full rate as ``base_lr``; the schedule scales it.
    """
    encoder = list(network.get_submodule("encoder").parameters())
    in_encoder = {id(p) for p in encoder}
    rest = [p for p in network.parameters() if id(p) not in in_encoder]
    rates = (config.lr * config.encoder_lr_scale, config.lr)
    groups = [
        {"params": params, "lr": rate, "base_lr": rate}
        for params, rate in zip((encoder, rest), rates, strict=True)
    ]
    match config.name:
        case "adam":
            return torch.optim.Adam(groups, weight_decay=config.weight_decay)
        case "adamw":
            return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        case "sgd":
            return torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay)


def build_average(network: nn.Module, config: OptimConfig) -> AveragedModel | None:
    """Return the exponential moving average of a network's weights and buffers, if wanted.

    Averaged weights generalise better than those of any single step (Polyak & Juditsky 1992),
    most of all when few photos make the steps noisy. The average starts short and grows to
    its full length, so that a brief run is not held back by its first steps.
    """
    if not config.ema_decay:
        return None

    def blend(averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        num = int(num_averaged)
        return averaged + (current - averaged) * (1 - min(config.ema_decay, (1 + num) / (10 + num)))

    return AveragedModel(network, avg_fn=blend, use_buffers=True)


def scale_rate(step: int, num_steps: int, config: OptimConfig) -> float:
    """Return the factor on the learning rate at a step, 0 to 1.

    Args:
        step: From 0.
        num_steps: Steps of the whole run.
        config: Schedule and warm-up.
    """
    warmup_steps = config.warmup * num_steps
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps)))


def choose_precision(precision: Precision) -> Any:  # noqa: ANN401 (fabric's literal)
    """Return Fabric's name of a precision; ``auto`` is half precision on a GPU, else float32.

    Raises:
        ConfigError: fp16 without a GPU.
    """
    on_gpu = torch.cuda.is_available()
    if precision == "auto":
        if not on_gpu:
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    if precision == "fp16" and not on_gpu:
        raise ConfigError(
            "train.precision: 'fp16' is not allowed: it needs a GPU, and there is none.",
            hint="Use --set train.precision=auto.",
        )
    return {"f32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision]

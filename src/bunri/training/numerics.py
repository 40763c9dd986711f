"""Number format and memory layout of a run: as set, or whichever is fastest here."""

import copy
import statistics
import time
import types
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from bunri.core.errors import ConfigError, RunError
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.training.config import TrainConfig
from bunri.training.plan import NEW_RUN_HINT

MIN_STEPS = 200  # of a run for which measuring pays; below, it takes longer than it saves
MIN_GAIN = 1.1  # factor by which another format must be faster than the first one
NUM_ROUNDS = 3
MEASURED_SAMPLES = 4  # enough to rank formats
_MIN_CHANNELS = 16  # outputs below which a convolution stays in float32 on a CPU

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
_FABRIC_NAMES = {"f32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed", "f64": "64-true"}
_AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Numerics(JsonRecord):
    """Content of ``numerics.json``: number format and memory layout of a run.

    ``step_ms`` are measured milliseconds by format, for example ``bf16 channels_last``.
    """

    precision: Literal["f32", "bf16", "fp16", "f64"]
    memory_format: Literal["channels_last", "contiguous"]
    step_ms: dict[str, float] = Field(default_factory=dict)

    @property
    def fabric_precision(self) -> Any:  # noqa: ANN401 (Fabric's literal)
        """Fabric's name of the number format."""
        return _FABRIC_NAMES[self.precision]

    @property
    def torch_format(self) -> torch.memory_format:
        """Torch's name of the layout."""
        return FORMATS[self.memory_format]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a stored choice; raise RunError if the file is damaged."""
        return read_json_record(path, cls, max_bytes=10_000, error=RunError, hint=NEW_RUN_HINT)

    def explain(self) -> str:
        """Return the choice with the measured times as a sentence."""
        text = f"Computes in {self.precision}, {self.memory_format.replace('_', ' ')}"
        ranked = sorted(self.step_ms.items(), key=lambda item: item[1])
        return f"{text} ({', '.join(f'{name} {ms:.0f} ms' for name, ms in ranked)})"


def widen(values: Tensor) -> Tensor:
    """Return half precision as float32, and wider formats as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def keep_convolutions_wide(network: nn.Module) -> None:
    """Let a CPU compute some convolutions in float32 when the rest is in half precision.

    oneDNN 3.12, torch's library for CPUs, computes gradients of depthwise convolutions five times
    slower in bfloat16 than in float32; for a 1x1 convolution with fewer than 16 outputs, such as
    a classifier over 4,096 channels, it writes beyond its memory where the CPU has AMX.
    The layers are changed in place; without autocast they compute as before.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and (
            module.groups > 1 or module.out_channels < _MIN_CHANNELS
        ):
            # A method, so that a copy of the network computes with the weights of the copy.
            module.forward = types.MethodType(_compute_wide, module)  # type: ignore[method-assign]


def _compute_wide(layer: nn.Module, features: Tensor) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = type(layer).forward(layer, widen(features))
    return result.to(features.dtype)


def list_candidates(config: TrainConfig, device: torch.device) -> list[Numerics]:
    """Return the formats that settings and device allow, the most trusted first."""
    on_gpu = device.type == "cuda"
    if config.precision == "fp16" and not on_gpu:
        raise ConfigError(
            "train.precision: 'fp16' is not allowed: it needs a GPU, and there is none.",
            hint="Use --set train.precision=auto.",
        )
    precisions: list[Any] = [config.precision]
    if config.precision == "auto" and on_gpu:
        precisions = ["bf16", "fp16", "f32"] if torch.cuda.is_bf16_supported() else ["fp16", "f32"]
    elif config.precision == "auto":
        precisions = ["f32", "bf16"]
    layouts: list[Any] = [config.memory_format]
    if config.memory_format == "auto":
        layouts = ["channels_last", "contiguous"]
    return [Numerics(precision=p, memory_format=m) for p, m in product(precisions, layouts)]


def choose_numerics(
    candidates: list[Numerics],
    network: nn.Module,
    pixels: Tensor,
    compute_loss: Callable[[Any], Tensor],
) -> Numerics:
    """Return the candidate whose forward and backward pass is fastest.

    The first keeps its place unless another is at least ``MIN_GAIN`` times as fast. Network,
    random generators and gradients are as before: a copy of the network is measured, on
    ``pixels`` of the training's frames, float32 (N, 3, h, w), on the network's device.
    """
    if len(candidates) == 1:
        return candidates[0]
    by_name = {f"{c.precision} {c.memory_format}": c for c in candidates}
    step_ms: dict[str, list[float]] = {name: [] for name in by_name}
    devices = [pixels.device] if pixels.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        trial = copy.deepcopy(network)
        for number, (name, candidate) in product(range(NUM_ROUNDS + 1), by_name.items()):
            seconds = _time_pass(candidate, trial, pixels, compute_loss)
            if number:  # the first round warms up
                step_ms[name].append(1000 * seconds)
    medians = {name: round(statistics.median(times), 1) for name, times in step_ms.items()}
    first, fastest = next(iter(medians)), min(medians, key=medians.__getitem__)
    chosen = by_name[fastest if medians[first] >= MIN_GAIN * medians[fastest] else first]
    return chosen.model_copy(update={"step_ms": medians})


def _time_pass(
    candidate: Numerics, network: nn.Module, pixels: Tensor, compute_loss: Callable[[Any], Tensor]
) -> float:
    network.to(memory_format=candidate.torch_format)
    network.zero_grad()
    kind = _AUTOCAST_TYPES.get(candidate.precision)
    started = time.perf_counter()
    with torch.autocast(pixels.device.type, kind, enabled=kind is not None):
        loss = compute_loss(network(pixels.contiguous(memory_format=candidate.torch_format)))
    torch.autograd.backward(loss)
    if pixels.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started

"""Number format and memory layout of a run: as set, or whichever is fastest here.

Owns what ``train.precision`` and ``train.memory_format`` mean, the measurement behind
``auto``, the file that remembers its outcome, and which layers half precision is kept from.
"""

import copy
import json
import statistics
import time
import types
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bunri.core.errors import ConfigError, RunError
from bunri.core.files import write_json
from bunri.training.config import MemoryFormat, Precision, TrainConfig

MIN_STEPS = 200
"""Of a run that is worth measuring for: below, measuring takes longer than it saves."""
MIN_GAIN = 1.1
"""How many times as fast another format must be than the first to be taken instead of it."""
NUM_ROUNDS = 3
MEASURED_SAMPLES = 4
"""Samples of the batch that is measured with: enough to rank formats."""
_MIN_CHANNELS = 16
"""Below, see :func:`keep_convolutions_wide`."""

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
_FABRIC_NAMES = {"f32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed", "f64": "64-true"}
_CHOICES: list[tuple[Precision, MemoryFormat]] = [
    (precision, memory_format)
    for precision in ("f32", "bf16", "fp16", "f64")
    for memory_format in ("channels_last", "contiguous")
]
_AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Numerics:
    """What was chosen.

    Attributes:
        precision: ``f32``, ``bf16``, ``fp16`` or ``f64``.
        memory_format: ``channels_last`` or ``contiguous``.
        step_ms: What was measured, for example ``bf16 channels_last`` -> milliseconds.
    """

    precision: Precision
    memory_format: MemoryFormat
    step_ms: dict[str, float] = field(default_factory=dict)

    @property
    def fabric_precision(self) -> Any:  # noqa: ANN401 (fabric's literal)
        """Fabric's name of the number format."""
        return _FABRIC_NAMES[self.precision]

    @property
    def torch_format(self) -> torch.memory_format:
        """Torch's name of the layout."""
        return FORMATS[self.memory_format]

    @property
    def number(self) -> int:
        """The choice as a number, for other processes."""
        return _CHOICES.index((self.precision, self.memory_format))

    @classmethod
    def from_number(cls, number: int) -> "Numerics":
        """Return the choice of a number."""
        return cls(*_CHOICES[number])

    def write(self, path: Path) -> None:
        """Store the choice, so that a run that goes on computes as it began."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Numerics":
        """Read a stored choice.

        Raises:
            RunError: The file is not as bunri wrote it.
        """
        try:
            choice = cls(**json.loads(path.read_text("utf-8")))
            if choice.precision not in _FABRIC_NAMES or choice.memory_format not in FORMATS:
                raise ValueError("unknown format")
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"{path} is not as bunri wrote it: {error}.",
                hint="Start the run again in another folder.",
            ) from error
        return choice

    def explain(self) -> str:
        """Return the choice in words, with what was measured."""
        text = f"Computes in {self.precision}, {self.memory_format.replace('_', ' ')}"
        ranked = sorted(self.step_ms.items(), key=lambda item: item[1])
        return f"{text} ({', '.join(f'{name} {ms:.0f} ms' for name, ms in ranked)})"


def widen(values: Tensor) -> Tensor:
    """Return half precision as float32, and what is wider as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def keep_convolutions_wide(network: nn.Module) -> None:
    """Let a CPU compute some convolutions in float32 when the rest is in half precision.

    Torch's own for CPUs (oneDNN 3.12) goes back through depthwise ones five times slower in
    bfloat16 than in float32; and through a 1x1 with fewer than 16 outputs, as a classifier over
    4,096 channels is, it writes beyond its memory where the CPU has AMX.

    Args:
        network: Its own layers are changed; without autocast they do as before.
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
    """Return what settings and device allow, the most trusted first.

    Raises:
        ConfigError: fp16 without a GPU.
    """
    on_gpu = device.type == "cuda"
    if config.precision == "fp16" and not on_gpu:
        raise ConfigError(
            "train.precision: 'fp16' is not allowed: it needs a GPU, and there is none.",
            hint="Use --set train.precision=auto.",
        )
    precisions: list[Precision] = [config.precision]
    if config.precision == "auto":
        precisions = _list_gpu_precisions() if on_gpu else ["f32", "bf16"]
    layouts: list[MemoryFormat] = [config.memory_format]
    if config.memory_format == "auto":
        layouts = ["channels_last", "contiguous"]
    return [Numerics(*pair) for pair in product(precisions, layouts)]


def _list_gpu_precisions() -> list[Precision]:
    return ["bf16", "fp16", "f32"] if torch.cuda.is_bf16_supported() else ["fp16", "f32"]


def choose_numerics(
    candidates: list[Numerics],
    network: nn.Module,
    pixels: Tensor,
    compute_loss: Callable[[Any], Tensor],
) -> Numerics:
    """Return the candidate whose forward and backward pass is fastest.

    The first keeps its place unless another is at least ``MIN_GAIN`` times as fast. Network,
    random generators and gradients are as before.

    Args:
        candidates: At least one.
        network: In training mode, on its device; a copy of it is measured.
        pixels: Float32 (N, 3, h, w) on the same device; the size of the training's frames.
        compute_loss: From the network's outputs to a scalar.
    """
    if len(candidates) == 1:
        return candidates[0]
    pixels = pixels[:MEASURED_SAMPLES]
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
    return Numerics(chosen.precision, chosen.memory_format, medians)


def _time_pass(
    candidate: Numerics, network: nn.Module, pixels: Tensor, compute_loss: Callable[[Any], Tensor]
) -> float:
    network.to(memory_format=candidate.torch_format)
    network.zero_grad()
    kind = _AUTOCAST_TYPES.get(candidate.precision)
    context = nullcontext() if kind is None else torch.autocast(pixels.device.type, kind)
    started = time.perf_counter()
    with context:
        loss = compute_loss(network(pixels.contiguous(memory_format=candidate.torch_format)))
    torch.autograd.backward(loss)
    if pixels.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started

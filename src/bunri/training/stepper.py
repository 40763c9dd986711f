"""One optimiser step from one batch.

A step that fails leaves no trace in weights and running statistics. A batch that does not fit into
memory is worked through in parts. In several processes, each computes the loss of its own share of
the batch, and DDP averages the gradients.
"""

import ctypes
import math
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import torch
from lightning_fabric import Fabric
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

from bunri.core.errors import RunError
from bunri.training.config import Config
from bunri.training.losses.losses import compute_training_loss, weigh_samples
from bunri.training.optimization import WeightAverage, scale_rate
from bunri.training.processes import ALONE, Processes
from bunri.training.samples.data import Batch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


class DivergenceError(Exception):
    """A loss or a gradient that is not finite; the loop catches it."""


def check_loss(loss: float, part: str) -> float:
    """Return a loss; raise DivergenceError, which names the part, if it is not finite."""
    if not math.isfinite(loss):
        raise DivergenceError(f"the {part} loss became {loss}")
    return loss


class Stepper:
    """Makes the steps of a run, ``num_steps`` in all; updates the network in place.

    The optimiser has a ``base_lr`` in every group, see :func:`build_optimizer`.
    """

    def __init__(
        self,
        fabric: Fabric,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
        config: Config,
        memory_format: torch.memory_format,
        num_steps: int,
        processes: Processes = ALONE,
    ) -> None:
        self._fabric = fabric
        self._processes = processes
        if processes.count > 1 and fabric.device.type == "cuda":  # on CPUs torch has no such norm
            module = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        self._module = module
        self._wrapped, self.optimizer = fabric.setup(module, optimizer)
        self._average = average
        self._config = config
        self._memory_format = memory_format
        self._num_steps = num_steps
        self._dtype = next(module.parameters()).dtype
        self._kept_buffers = [buffer.clone() for buffer in module.buffers()]
        self.num_parts = config.train.accumulate

    @property
    def scaler(self) -> Any:  # noqa: ANN401 (a class of torch that Fabric does not name)
        """Scaler that keeps small fp16 gradients from becoming 0; None in other number formats."""
        return getattr(self._fabric.strategy.precision, "scaler", None)

    def prepare_step(self, batch: Batch) -> float:
        """Leave the gradients of a batch in the parameters and return its loss.

        ``batch`` is this process's share of the batch. Whatever is raised, weights and running
        statistics are as they were before.
        """
        _copy_all(self._kept_buffers, self._module.buffers())
        while True:
            try:
                return self._work_through(batch)
            except BaseException as error:
                _copy_all(self._module.buffers(), self._kept_buffers)
                if not is_out_of_memory(error):
                    raise
                if self._processes.count > 1:
                    # The others wait for this process's gradients and cannot start over.
                    raise RunError(
                        f"Process {self._processes.rank} ran out of memory.",
                        hint="Set a larger train.accumulate in the run's config.yaml, and go on "
                        "with --resume.",
                    ) from error
            # Outside of the handler: its traceback would keep the tensors alive.
            self._halve_parts(len(batch[0]))

    def take_step(self, step: int, rate_scale: float) -> None:
        """Move the weights along the prepared gradients; steps count from 0 in the whole run."""
        rate = scale_rate(step, self._num_steps, self._config.optim) * rate_scale
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate
        self.optimizer.step()
        if self._average is not None:
            self._average.update(self._module, step)

    def _halve_parts(self, num_samples: int) -> None:
        self.optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.num_parts >= num_samples:
            raise RunError(
                "There is not enough memory for a single training sample.",
                hint="Use smaller frames (--set augment.crop_size_px=256), a smaller encoder, or "
                "a machine with more memory.",
            )
        self.num_parts = min(2 * self.num_parts, num_samples)

    def _work_through(self, batch: Batch) -> float:
        self.optimizer.zero_grad()
        is_pseudo = batch[2]
        num_samples = len(is_pseudo)
        total = 0.0
        for part in split_batch(num_samples, min(self.num_parts, num_samples)):
            is_last = part.stop == num_samples
            with self._fabric.no_backward_sync(self._wrapped, enabled=not is_last):
                loss = self._compute_loss(batch, part)
                loss = loss * (self._weigh(is_pseudo[part]) / self._weigh(is_pseudo))
                # The mean over processes, so that all of them notice where one is not finite.
                total += check_loss(float(self._processes.average(loss.detach())), "training")
                self._fabric.backward(loss)
        self._check_gradients()
        return total

    def _weigh(self, is_pseudo: Tensor) -> float:
        return weigh_samples(is_pseudo, self._config.data.pseudo_weight)

    def _compute_loss(self, batch: Batch, part: slice) -> Tensor:
        device = self._fabric.device
        pixels, targets, is_pseudo = (tensor[part] for tensor in batch)
        pixels = pixels.to(
            device, self._dtype, memory_format=self._memory_format, non_blocking=True
        )
        targets = targets.to(device, non_blocking=True)
        # Fabric's own wrapper is passed over, since it rounds logits to float32; inside of it is
        # DDP's, or the network itself where one process trains.
        with self._fabric.autocast():
            outputs = self._wrapped._forward_module(pixels)
        heads = [outputs] if isinstance(outputs, Tensor) else outputs
        return compute_training_loss(
            heads, targets, self._config.loss, is_pseudo, self._config.data.pseudo_weight
        )

    def _check_gradients(self) -> None:
        """Refuse gradients that are no numbers, and cut those that are too long."""
        clip_norm = self._config.optim.clip_norm
        if self.scaler is not None:  # which passes over such steps, and lowers its scale
            if clip_norm:
                self._fabric.clip_gradients(
                    self._module, self.optimizer, max_norm=clip_norm, error_if_nonfinite=False
                )
            return
        gradients = [p.grad for p in self._module.parameters() if p.grad is not None]
        norm = float(nn.utils.get_total_norm(gradients))
        if not math.isfinite(norm):
            raise DivergenceError(f"the gradient's norm became {norm}")
        if clip_norm and norm > clip_norm:
            for gradient in gradients:
                gradient.mul_(clip_norm / norm)


def split_batch(num_samples: int, num_parts: int) -> Iterator[slice]:
    """Yield the parts of a batch, as even as possible, the larger ones first."""
    size, more = divmod(num_samples, num_parts)
    edges = [part * size + min(part, more) for part in range(num_parts + 1)]
    return (slice(start, stop) for start, stop in pairwise(edges))


@torch.no_grad()
def _copy_all(to: Iterable[Tensor], from_: Iterable[Tensor]) -> None:
    for target, source in zip(to, from_, strict=True):
        target.copy_(source)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports that memory has run out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch has no class for it on the CPU.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next tensors; does nothing without glibc.

    It makes training on a CPU about a quarter faster: by default glibc gives every large tensor
    back to the kernel and asks for it again at the next step, and zeroing those pages anew costs
    more time than some layers do.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST)

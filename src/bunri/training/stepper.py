"""One optimiser step from one batch, or nothing at all.

Owns the order of forward, backward, checks and update; the parts that a batch is worked through
in; and that a step which fails leaves no trace. Knows nothing of epochs, data or files.

Several processes make one step together: each takes its samples through the network, and the
loss is that of all samples, in every process. So losses that are no means over photos are what
they are in one process; a gradient is the sum of what each process adds to it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bunri.core.errors import RunError
from bunri.training.config import Config
from bunri.training.divergence import check_gradients, check_loss
from bunri.training.losses.losses import compute_training_loss, weigh_samples
from bunri.training.memory import is_out_of_memory
from bunri.training.optimization import WeightAverage, scale_rate
from bunri.training.processes import ALONE, Processes, Share
from bunri.training.samples.data import Batch


class Stepper:
    """Makes the steps of a run.

    Args:
        fabric: Where and in which number format.
        module: The network; its tensors are what moves.
        optimizer: With ``base_lr`` in every group.
        average: The average of weights that is kept, or None.
        config: The run's settings.
        memory_format: Of pixels.
        num_steps: Of the whole run.
        processes: Who make it together.
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
        self._module = module
        # Fabric's wrapper of the network is left aside: it rounds logits to float32.
        _, self.optimizer = fabric.setup(module, optimizer)
        self._average = average
        self._config = config
        self._memory_format = memory_format
        self._num_steps = num_steps
        self._dtype = next(module.parameters()).dtype
        self._kept_buffers = [buffer.clone() for buffer in module.buffers()]
        self.num_parts = config.train.accumulate

    @property
    def scaler(self) -> Any:  # noqa: ANN401 (a class of torch that Fabric does not name)
        """What keeps small fp16 gradients from becoming 0; None in other number formats."""
        return getattr(self._fabric.strategy.precision, "scaler", None)

    def prepare_step(self, batch: Batch, num_samples: int | None = None) -> float:
        """Leave the gradients of a batch in the parameters and return its loss.

        Whatever is raised, weights and running statistics are as they were before.

        Args:
            batch: What this process has of it.
            num_samples: Of the whole batch, where other processes have some too.

        Raises:
            DivergenceError: The loss or a gradient is not a number.
            RunError: Not even a single sample fits into memory.
        """
        _copy_all(self._kept_buffers, self._module.buffers())
        try:
            return self._collect_gradients(batch, num_samples or len(batch[0]))
        except BaseException:
            _copy_all(self._module.buffers(), self._kept_buffers)
            raise

    def take_step(self, step: int, rate_scale: float) -> None:
        """Move the weights along the prepared gradients.

        Args:
            step: Its number in the run, from 0; decides the rate.
            rate_scale: On top of the schedule.
        """
        rate = scale_rate(step, self._num_steps, self._config.optim) * rate_scale
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate
        self.optimizer.step()
        if self._average is not None:
            self._average.update(self._module, step)

    def _collect_gradients(self, batch: Batch, num_samples: int) -> float:
        """Leave the gradients of a batch in the parameters; return its loss."""
        while True:
            try:
                with self._processes.sharing_fate():
                    return self._work_through(batch, num_samples)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler: its traceback would keep the tensors alive.
            _copy_all(self._module.buffers(), self._kept_buffers)
            self._halve_parts(num_samples)

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

    def _work_through(self, batch: Batch, num_samples: int) -> float:
        self.optimizer.zero_grad()
        (whole,) = self._processes.split_batch(num_samples, 1)
        is_pseudo = self._processes.gather_samples(batch[2].to(self._fabric.device), whole).cpu()
        total = 0.0
        for share in self._processes.split_batch(num_samples, min(self.num_parts, num_samples)):
            flags = is_pseudo[share.start : share.stop]
            self._processes.is_idle = share.is_idle
            loss = self._compute_loss(batch, share, flags)
            loss = loss * (self._weigh(flags) / self._weigh(is_pseudo))
            total += check_loss(loss, "training")
            self._fabric.backward(loss)
        self._processes.sum_gradients(self._module.parameters())
        self._check_gradients()
        return total

    def _weigh(self, is_pseudo: Tensor) -> float:
        return weigh_samples(is_pseudo, self._config.data.pseudo_weight)

    def _compute_loss(self, batch: Batch, share: Share, is_pseudo: Tensor) -> Tensor:
        """Return the loss of a part of the batch, all processes' samples in it."""
        device, processes = self._fabric.device, self._processes
        pixels, targets = (tensor[share.rows] for tensor in batch[:2])
        pixels = pixels.to(
            device, self._dtype, memory_format=self._memory_format, non_blocking=True
        )
        targets = targets.to(device, non_blocking=True)
        with self._fabric.autocast():
            outputs = self._module(pixels)
        heads = [outputs] if isinstance(outputs, Tensor) else outputs
        return compute_training_loss(
            [processes.gather_samples(logits, share) for logits in heads],
            processes.gather_samples(targets, share),
            self._config.loss,
            is_pseudo,
            self._config.data.pseudo_weight,
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
        norm = check_gradients(self._module.parameters())
        if clip_norm and norm > clip_norm:
            for parameter in self._module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(clip_norm / norm)


@torch.no_grad()
def _copy_all(to: Iterable[Tensor], from_: Iterable[Tensor]) -> None:
    for target, source in zip(to, from_, strict=True):
        target.copy_(source)

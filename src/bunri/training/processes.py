"""The processes that train one network together, connected by Lightning Fabric's DDP strategy.

One process alone is the same class with a count of 1; it exchanges nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor

from bunri.core.errors import BunriError, RunError

T = TypeVar("T")


class PeerError(RunError):
    """The failure of another process, which reports the reason itself."""


@dataclass(frozen=True)
class Processes:
    """All processes of a training as seen from one of them."""

    rank: int = 0
    count: int = 1
    num_local: int = 1  # on this machine
    options: Mapping[str, Any] = field(  # arguments of Fabric
        default_factory=lambda: {"accelerator": "auto", "devices": 1}
    )

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports progress for all."""
        return self.rank == 0

    @cached_property
    def fabric(self) -> Fabric:
        """Fabric for the device of this process, in float32."""
        return self.open_fabric()

    def open_fabric(self, precision: Any = None) -> Fabric:  # noqa: ANN401 (Fabric's literal)
        """Return Fabric for the device of this process; the first call connects the processes."""
        fabric = Fabric(**self.options, precision=precision)
        if self.count > 1:
            fabric.launch()
        return fabric

    def take_share(self, positions: Sequence[int]) -> list[int]:
        """Return the samples of a batch that belong to this process.

        All shares are equally large, as DDP averages gradients over processes: where the batch
        does not divide evenly, its first samples are taken twice.
        """
        size = -(-len(positions) // self.count)
        ends = range(self.rank, size * self.count, self.count)
        return [positions[number % len(positions)] for number in ends]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block in all processes; where it fails in one, the others raise PeerError."""
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            if self.count == 1:
                raise
            error = caught
        failed = self.count - self.agree_max(0 if error is None else self.count - self.rank)
        if failed == self.rank and error is not None:
            raise error
        if failed < self.count:
            raise PeerError(
                f"Process {failed} of {self.count} failed.", hint="Its own message names the cause."
            ) from error

    def do_first(self, work: Callable[[], object]) -> None:
        """Let the first process do something while the others wait; a failure is everyone's."""
        with self.together():
            if self.is_first:
                work()

    def take_first(self, value: T) -> T:
        """Return the first process's value."""
        return self.fabric.broadcast(value) if self.count > 1 else value

    def agree_max(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        return int(self._reduce(torch.tensor(number), "max"))

    def average(self, tensor: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        return self._reduce(tensor, "mean")

    def sum_up(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, on the tensor's own device."""
        return self._reduce(tensor, "sum")

    def _reduce(self, tensor: Tensor, operation: str) -> Tensor:
        if self.count == 1:
            return tensor
        result = self.fabric.all_reduce(tensor.detach().clone(), reduce_op=operation)
        return cast(Tensor, result).to(tensor.device)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors on this process's device with the first process's."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def refuse_difference(self, value: str, what: str) -> None:
        """Raise RunError, which names ``what``, unless all processes have the same value."""
        if self.agree_max(int(value != self.take_first(value))):
            hint = "All machines must see the same files; use a shared folder."
            raise self.report_once(RunError(f"The processes differ in {what}.", hint=hint))

    def report_once(self, error: BunriError) -> BunriError:
        """Return an error that all processes raise alike as one that only the first reports."""
        return error if self.is_first else PeerError(error.message)

    @contextmanager
    def noticing_loss(self) -> Iterator[None]:
        """Turn a lost connection into a RunError that says how to go on."""
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if self.count == 1 or not (isinstance(error, dist.DistError) or "gloo" in text):
                raise
            raise self.report_once(
                RunError(
                    "The connection to another process is lost; it may have been killed.",
                    hint="The last checkpoint is intact. Go on with --resume.",
                )
            ) from error


ALONE = Processes()

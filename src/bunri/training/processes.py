"""The processes that train one network together: who each is, and everything they exchange.

Owns how a batch is shared out, that a failure of one is everybody's, and what only the first
does. A process alone is the same thing with nobody to talk to, so that nothing else asks how
many there are. How processes are started is ``launching``'s; knows nothing of networks or files.

Sample ``i`` of a batch of ``n`` processes is process ``i % n``'s. So every run of neighbouring
samples, such as a part of a batch, is shared out evenly too, and holds the same samples however
many processes there are.

Every exchange begins with a message of one size in which each process says how it fares. One
that failed says so in place of its next message, whatever that was going to be; the others hear
it there, and nobody waits for what never comes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Self

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn

from bunri.core.errors import BunriError, RunError
from bunri.training.divergence import DivergenceError
from bunri.training.memory import is_out_of_memory

_KNOWN = "bunri_is_known_to_all_processes"
"""The attribute of an exception that every process has heard of."""


class PeerError(RunError):
    """Another process failed, and has said why."""


class _Fate(IntEnum):
    """How a process fares, the worst last."""

    WELL = 0
    OUT_OF_MEMORY = 1
    DIVERGED = 2
    FAILED = 3

    @classmethod
    def of(cls, error: BaseException) -> "_Fate":
        if is_out_of_memory(error):
            return cls.OUT_OF_MEMORY
        return cls.DIVERGED if isinstance(error, DivergenceError) else cls.FAILED


@dataclass(frozen=True, slots=True)
class Share:
    """Who has which samples of a part of a batch.

    Attributes:
        start: The part's first sample in the batch.
        stop: The first after it.
        rank: This process, from 0.
        count: Of processes.
    """

    start: int
    stop: int
    rank: int
    count: int

    def _find_row(self, number: int, rank: int) -> int:
        """Return how many samples before ``number`` are a process's."""
        return -((rank - number) // self.count)

    @property
    def rows(self) -> slice:
        """This process's, among the samples of the batch that it has.

        One is lent to a process without any: it takes part in all exchanges, and counts nothing.
        """
        if self.is_idle:
            return slice(0, 1)
        return slice(self._find_row(self.start, self.rank), self._find_row(self.stop, self.rank))

    @property
    def is_idle(self) -> bool:
        """Whether none of the samples is this process's."""
        first = self._find_row(self.start, self.rank)
        return first == self._find_row(self.stop, self.rank)

    @property
    def most_rows(self) -> int:
        """The samples of the process that has most."""
        return -((self.start - self.stop) // self.count)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Of each sample, whose it is, and which of those of that process in this part."""
        firsts = [self._find_row(self.start, rank) for rank in range(self.count)]
        numbers = range(self.start, self.stop)
        return [(i % self.count, i // self.count - firsts[i % self.count]) for i in numbers]


class Processes:
    """One process alone; also what :class:`Group` overrides.

    Attributes:
        rank: Which process this is, from 0.
        count: How many there are.
        num_local: How many of these are on this machine.
        is_idle: Whether the samples at hand count for nothing, see :attr:`Share.rows`.
    """

    rank = 0
    count = 1
    num_local = 1
    is_idle = False

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def open_fabric(self, precision: Any = None) -> Fabric:  # noqa: ANN401 (fabric's literal)
        """Return where this process computes."""
        return Fabric(accelerator="auto", devices=1, precision=precision)

    def take_share(self, positions: Sequence[int]) -> list[int]:
        """Return this process's positions of a batch; the first where there is none for it."""
        return list(positions[self.rank :: self.count] or positions[:1])

    def split_batch(self, num_samples: int, num_parts: int) -> list[Share]:
        """Return the parts of a batch, as even as possible, the larger ones first."""
        size, more = divmod(num_samples, num_parts)
        edges = [part * size + min(part, more) for part in range(num_parts + 1)]
        return [Share(start, stop, self.rank, self.count) for start, stop in pairwise(edges)]

    @contextmanager
    def sharing_fate(self) -> Iterator[None]:
        """Let whatever ends the block in one process end it in all.

        Where memory runs out or training diverges in one, the others raise the same; they
        raise :class:`PeerError` where it is something else.
        """
        yield

    def reserve(self, num_values: int) -> None:
        """Make room for messages of so many numbers, in all processes at once."""

    def exchange(self, values: Tensor) -> Tensor:
        """Return what each process gives, (count, numbers), for numbers, float (numbers,)."""
        return values.unsqueeze(0)

    def do_first(self, work: Callable[[], object]) -> None:
        """Let the first process do something while the others wait; it fails for all."""
        work()

    def agree_max(self, number: int) -> int:
        """Return the highest of the processes' numbers, below 2^53."""
        return number

    def take_first(self, number: int) -> int:
        """Return the first process's number, below 2^53."""
        return number

    def refuse_difference(self, numbers: Sequence[int], what: str) -> None:
        """Refuse to go on if the processes do not have the same numbers.

        Raises:
            RunError: They differ; ``what`` says in what.
        """

    def gather_samples(self, rows: Tensor, share: Share) -> Tensor:  # noqa: ARG002
        """Return a part's samples of all processes, in the order of the batch.

        The gradient flows back to this process's own; the others' flows in theirs.

        Args:
            rows: One a sample: those of ``share.rows``.
            share: Which samples these are.
        """
        return rows

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum over all processes in place of each gradient."""

    def sum_up(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        return tensor

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the first process's."""


ALONE = Processes()


class Group(Processes):
    """Several processes that ``torch.distributed`` has connected.

    Args:
        fabric_options: ``accelerator`` and ``devices`` of this process alone.
        num_local: How many of the processes are on this machine.
    """

    def __init__(self, fabric_options: dict[str, Any], num_local: int) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self.num_local = num_local
        self._options = fabric_options
        self._device = self.open_fabric().device
        self._is_lost = False
        self._make_room(32)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Stay what it is in copies of a network that knows it."""
        return self

    def open_fabric(self, precision: Any = None) -> Fabric:  # noqa: ANN401 (fabric's literal)
        """Return where this process computes."""
        return Fabric(**self._options, precision=precision)

    @contextmanager
    def sharing_fate(self) -> Iterator[None]:
        """Let whatever ends the block in one process end it in all."""
        try:
            yield
            self._talk()
        except BaseException as error:
            self._tell(error)
            raise

    def reserve(self, num_values: int) -> None:
        """Make room for messages of so many numbers, in all processes at once."""
        self._talk()  # one that has failed before this sends a message of the old size
        self._make_room(max(num_values + 1, self._message.numel()))

    def exchange(self, values: Tensor) -> Tensor:
        """Return what each process gives, float64 (count, numbers)."""
        return self._talk(values)

    def do_first(self, work: Callable[[], object]) -> None:
        """Let the first process do something while the others wait."""
        if self.is_first:
            work()
        self._talk()

    def agree_max(self, number: int) -> int:
        """Return the highest of the processes' numbers."""
        return int(self.exchange(torch.tensor([number])).max())

    def take_first(self, number: int) -> int:
        """Return the first process's number."""
        return int(self.exchange(torch.tensor([number]))[0, 0])

    def refuse_difference(self, numbers: Sequence[int], what: str) -> None:
        """Refuse to go on if the processes do not have the same numbers."""
        given = [tuple(map(int, row)) for row in self.exchange(torch.tensor(numbers)).tolist()]
        if len(set(given)) > 1:
            raise RunError(
                f"The processes differ in {what}:",
                problems=[f"process {rank}: {row}" for rank, row in enumerate(given)],
                hint="All machines must see the same files; use a shared folder.",
            )

    def gather_samples(self, rows: Tensor, share: Share) -> Tensor:
        """Return a part's samples of all processes, in the order of the batch."""
        gathered: Tensor = _GatherSamples.apply(rows, share, self)
        return gathered

    def gather_padded(self, rows: Tensor, share: Share) -> Tensor:
        """Return each process's samples, (count, most, ...); beyond its own, anything."""
        padded = rows.new_zeros((share.most_rows, *rows.shape[1:]))
        if not share.is_idle:
            padded[: len(rows)] = rows
        received = rows.new_empty((self.count, *padded.shape))
        self._talk()
        with self._noticing_loss():
            dist.all_gather(list(received.unbind()), padded)
        return received

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum over all processes in place of each gradient."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.sum_up(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def sum_up(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        total = tensor.to(self._device, copy=True)
        self._talk()
        with self._noticing_loss():
            dist.all_reduce(total)
        return total.to(tensor.device)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the first process's."""
        for tensor in tensors:
            content = tensor.detach().to(self._device, copy=True).contiguous()
            self._talk()
            with self._noticing_loss():
                dist.broadcast(content, 0)
            tensor.detach().copy_(content)

    def _make_room(self, num_numbers: int) -> None:
        self._message = torch.zeros(num_numbers, dtype=torch.float64, device=self._device)
        self._received = self._message.repeat(self.count, 1)

    def _talk(self, values: Tensor | None = None) -> Tensor:
        """Tell the others that this process is well, and its numbers; return theirs.

        Raises:
            Exception: One of them is not.
        """
        fates, received = self._swap(_Fate.WELL, values)
        if any(fates):
            raise self._explain(fates)
        return received

    def _tell(self, error: BaseException) -> None:
        """Tell the others that this process failed, unless they know.

        Raises:
            Exception: What happened to another at the same moment, if it is worse, or the same
                and that one speaks of it.
        """
        if self._is_lost or _KNOWN in vars(error):
            return
        vars(error)[_KNOWN] = True  # kept here, it would keep alive what its traceback holds
        own = _Fate.of(error)
        fates, _ = self._swap(own, None)
        is_spoken_of = isinstance(error, BunriError) and fates.index(own) < self.rank
        if max(fates) > own or is_spoken_of:
            raise self._explain(fates) from error

    def _swap(self, fate: _Fate, values: Tensor | None) -> tuple[list[_Fate], Tensor]:
        """Exchange one message: how each fares, and its numbers, (count, numbers)."""
        count = 0 if values is None else len(values)
        self._message[0] = fate
        if values is not None:
            self._message[1 : 1 + count] = values
        with self._noticing_loss():
            dist.all_gather(list(self._received.unbind()), self._message)
        fates = [_Fate(round(number)) for number in self._received[:, 0].tolist()]
        return fates, self._received[:, 1 : 1 + count].clone()

    def _explain(self, fates: list[_Fate]) -> Exception:
        """Return what another process's failure is in this one."""
        rank = fates.index(max(fates))
        error: Exception
        match max(fates):
            case _Fate.OUT_OF_MEMORY:
                error = MemoryError(f"in process {rank}")
            case _Fate.DIVERGED:
                error = DivergenceError(f"training blew up in process {rank}")
            case _:
                error = PeerError(
                    f"Process {rank} of {self.count} failed.",
                    hint="What is wrong stands in its own output.",
                )
        vars(error)[_KNOWN] = True
        return error

    @contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            self._is_lost = True
            raise RunError(
                "The connection to the other processes is lost; one of them may have been killed.",
                hint="The last checkpoint is intact. Go on with --resume.",
            ) from error


class _GatherSamples(torch.autograd.Function):
    """See :meth:`Processes.gather_samples`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, share: Share, group: Group) -> Tensor:  # noqa: ANN401
        received = group.gather_padded(rows, share)
        owners, places = map(list, zip(*share.places, strict=True))
        ctx.own = [place for place, owner in enumerate(owners) if owner == share.rank]
        ctx.shape = rows.shape
        return received[owners, places]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        gradient = gradients[0][ctx.own]
        if not ctx.own:
            gradient = gradients[0].new_zeros(ctx.shape)
        return gradient, None, None

"""Batches of training samples, loaded by processes that are replaced if they die or hang.

A sample depends on its position only, so a failed loader is restarted at the first missing batch.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from torch.nn import functional
from torch.utils.data import DataLoader, default_collate

from bunri.core.contracts import IGNORE_INDEX
from bunri.core.errors import RunError
from bunri.images.frames import pad_to_stride
from bunri.training.config import TrainConfig
from bunri.training.processes import ALONE, Processes
from bunri.training.samples.data import Batch, Sample, TrainingStream

MAX_RESTARTS = 3
"""Restarts without a batch in between; more of them mean that photos or machine are at fault."""
POLL_S = 5
"""Seconds between two checks of a silent loader process."""


def iterate_batches(
    stream: TrainingStream,
    epoch: int,
    config: TrainConfig,
    *,
    first_batch: int = 0,
    pin_memory: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    processes: Processes = ALONE,
    hold_signals: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Batch]:
    """Yield the batches of an epoch, each with the samples of this process only.

    Loader processes are started for each epoch, so that they see its number; they hold nothing but
    a view of the store. Epochs and batches are numbered from 0. ``warn`` receives a message when a
    loader process was replaced. ``hold_signals`` opens a block in which signals wait: Python prints
    the traceback of an exception that arrives while a process is forked.

    Raises:
        RunError: Loader processes keep dying or hanging.
    """
    stream.epoch = epoch
    size = config.batch_size
    starts = range(first_batch * size, len(stream), size)
    positions = range(len(stream))
    missing = [processes.take_share(positions[start : start + size]) for start in starts]
    failures = 0
    while missing:
        try:
            for batch in _load(stream, missing, config, pin_memory, hold_signals):
                missing, failures = missing[1:], 0
                yield batch
        except _WorkerError as error:
            failures += 1
            if failures > MAX_RESTARTS:
                photos = stream.name_photos(missing[0])
                after = sum(map(len, missing))
                raise RunError(
                    f"A loader process {error}, {failures} times in a row, among "
                    f"{', '.join(photos[:3])} and the {after} samples after.",
                    hint="Try --set train.num_workers=0: the training process then loads by itself "
                    "and shows the error.",
                ) from error
            warn(f"A loader process {error}; it was replaced.")


class _WorkerError(Exception):
    """A loader process died or hangs."""


class WaitClock:
    """Measures the time that training waits for its loader."""

    def __init__(self) -> None:
        self.waited_s = 0.0

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches, and add the time that each took to arrive to ``waited_s``."""
        while True:
            started = time.monotonic()
            batch = next(batches, None)
            self.waited_s += time.monotonic() - started
            if batch is None:
                return
            yield batch


def collate_samples(samples: list[Sample]) -> Batch:
    """Return samples as a batch, padded to multiples of 32 at the bottom and right.

    Padding is 0 in pixels (N, 3, h, w) and ignored in targets (N, h, w).
    """
    pixels, targets, is_pseudo = default_collate(samples)
    height, width = targets.shape[1:]
    padding = 0, pad_to_stride(width) - width, 0, pad_to_stride(height) - height
    if any(padding):
        pixels = functional.pad(pixels, padding)
        targets = functional.pad(targets, padding, value=IGNORE_INDEX)
    return pixels, targets, is_pseudo


def _load(
    stream: TrainingStream,
    batches: list[list[int]],
    config: TrainConfig,
    pin_memory: bool,
    hold_signals: Callable[[], AbstractContextManager[None]],
) -> Iterator[Batch]:
    """Yield batches, given by their positions, until the end or until a loader process is lost."""
    with hold_signals():
        iterator = _open_loader(stream, batches, config, pin_memory)
    silent_s = 0
    while True:
        try:
            batch = next(iterator, None)
        except (EOFError, ConnectionError) as error:  # its tensors are lost, too
            raise _WorkerError("died while it handed over a batch") from error
        except RuntimeError as error:
            text = str(error)
            if "DataLoader worker" in text and "exited unexpectedly" in text:
                raise _WorkerError("died (is there enough memory?)") from error
            if "DataLoader timed out" not in text:
                raise
            silent_s += POLL_S
            if config.worker_timeout_s and silent_s >= config.worker_timeout_s:
                what = f"was silent for {silent_s} s (train.worker_timeout_s)"
                raise _WorkerError(what) from error
            continue
        if batch is None:
            return
        silent_s = 0
        yield batch


def _open_loader(
    stream: TrainingStream, batches: list[list[int]], config: TrainConfig, pin_memory: bool
) -> Iterator[Batch]:
    num_workers = config.num_workers
    loader = DataLoader(
        stream,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=collate_samples,
        pin_memory=pin_memory,
        multiprocessing_context="fork" if num_workers else None,
        worker_init_fn=_ignore_hangups,
        timeout=POLL_S if num_workers else 0,
    )
    earlier = signal.getsignal(signal.SIGCHLD)
    iterator: Iterator[Batch] = iter(loader)
    # Torch's handler would raise an error wherever this process is when a worker dies, even in the
    # middle of an update or of writing a file; here the death shows when the next batch is read.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, earlier)
    return iterator


def _ignore_hangups(_worker: int) -> None:
    """Keep a worker from printing a traceback when training stops while it hands over a batch.

    Errors of loading itself reach the training process in another way.
    """

    def print_others(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, ConnectionError | EOFError):
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = print_others

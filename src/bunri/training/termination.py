"""Stopping on request: SIGTERM and Ctrl-C, at moments at which nothing is lost.

Owns the two signal handlers while training runs. What is saved then is the loop's.

Where several processes train together, they stop together: a signal waits until all meet.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from bunri.training.processes import ALONE, Processes


class TerminatedError(BaseException):
    """The process was asked to end by SIGTERM.

    Like KeyboardInterrupt no Exception, so that nothing on the way takes it for a fault.
    """


class Termination:
    """Turns SIGTERM and SIGINT into exceptions, except while they are held back.

    A context manager around training. Outside of the main thread, where Python has no
    signals, it does nothing.

    Args:
        processes: Who stop together. Several hold signals back until they :meth:`meet`.
    """

    def __init__(self, processes: Processes = ALONE) -> None:
        self._processes = processes
        self._pending: type[BaseException] | None = None
        self._is_held_back = processes.count > 1
        self._earlier: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._earlier[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier.clear()

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let a signal wait until the block is done: its work must not be cut in two."""
        if self._is_held_back:
            yield
            return
        self._is_held_back = True
        try:
            yield
        finally:
            self._is_held_back = False
        if self._pending is not None:
            error, self._pending = self._pending, None
            raise error

    def settle(self) -> None:
        """Forget the signal: it has been heard, and what follows from it is being done."""
        self._pending = None

    def meet(self) -> None:
        """End training in all processes if one of them was told to.

        Called by all, at the same points of the work.

        Raises:
            TerminatedError: By SIGTERM.
            KeyboardInterrupt: By SIGINT.
        """
        told = _ERRORS.index(self._pending)
        error = _ERRORS[self._processes.agree_max(told)]
        if error is not None:
            self._pending = None
            raise error

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        # Kept although it is raised: in a finaliser, or in an import that some library guards
        # with a bare except, it would be lost; it is then raised again at the next safe point.
        self._pending = TerminatedError if number == signal.SIGTERM else KeyboardInterrupt
        if not self._is_held_back:
            raise self._pending


_ERRORS: tuple[type[BaseException] | None, ...] = (None, KeyboardInterrupt, TerminatedError)

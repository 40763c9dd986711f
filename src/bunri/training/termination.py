"""Stop of a training by SIGTERM or Ctrl-C, at moments at which nothing is lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class TerminatedError(BaseException):
    """Request by SIGTERM to end the process.

    Like KeyboardInterrupt no Exception, so that nothing on the way takes it for a fault.
    """


class Termination:
    """Turns SIGTERM and SIGINT into exceptions, except while they are held back.

    A context manager that the command line enters around a training. Unless entered, and outside
    of the main thread, where Python has no signals, it sets no handlers and raises nothing.
    """

    def __init__(self) -> None:
        # Returns the largest of all processes' numbers; signals then wait until all meet().
        self.agree: Callable[[int], int] | None = None
        self._pending: type[BaseException] | None = None
        self._is_held_back = False
        self._earlier: dict[int, signal._HANDLER] = {}

    @property
    def is_active(self) -> bool:
        """Whether signals are handled here."""
        return bool(self._earlier)

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
        self._is_held_back = True
        try:
            yield
        finally:
            self._is_held_back = False
        if self._pending is not None and self.agree is None:
            error, self._pending = self._pending, None
            raise error

    def settle(self) -> None:
        """Forget a signal that has been handled."""
        self._pending = None

    def meet(self) -> None:
        """End training in all processes if one of them received a signal.

        Called by all processes at the same points of their work; a process alone raises at once
        and needs no such points.
        """
        if self.agree is None:
            return
        error = _ERRORS[self.agree(_ERRORS.index(self._pending))]
        if error is not None:
            self._pending = None
            raise error

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        # Kept although it is raised: in a finaliser, or in an import that some library guards
        # with a bare except, it would be lost; it is then raised again at the next safe point.
        self._pending = TerminatedError if number == signal.SIGTERM else KeyboardInterrupt
        if not self._is_held_back and self.agree is None:
            raise self._pending


_ERRORS: tuple[type[BaseException] | None, ...] = (None, KeyboardInterrupt, TerminatedError)

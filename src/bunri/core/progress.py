"""The protocol by which long work reports its progress.

A function that takes long takes ``progress: Progress = show_nothing``. The command line passes a
progress bar, a server or a notebook whatever it likes, a test nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[], None]
"""Called once for each item that is done."""

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Opens a display from a label and the number of items; the display yields an :data:`Advance`."""


@contextmanager
def show_nothing(label: str, total: int) -> Iterator[Advance]:  # noqa: ARG001 (the protocol's)
    """Report no progress; the default of every function that takes a :data:`Progress`."""
    yield lambda: None

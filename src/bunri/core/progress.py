"""The protocol by which long work reports its progress."""

from collections.abc import Callable
from contextlib import AbstractContextManager

Tracker = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a progress bar from a label and a total; what it gives is called after each item."""

"""A switch that overlapping uses by several threads hold together."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SharedUse:
    """Switches a resource over with the first of several overlapping uses, back with the last.

    Args:
        num_at_once: Number of photos to predict at once while it is switched over; nothing is
            ever switched where that is 1.
        switch: Called with True and with False, never by two threads at once.
    """

    def __init__(self, num_at_once: int, switch: Callable[[bool], None]) -> None:
        self.num_at_once = num_at_once
        self._switch = switch
        self._lock = threading.Lock()
        self._num_users = 0

    @contextmanager
    def hold(self) -> Iterator[int]:
        """Keep the resource switched over until the block ends; yield ``num_at_once``."""
        if self.num_at_once == 1:
            yield 1
            return
        with self._lock:
            if not self._num_users:
                self._switch(True)
            self._num_users += 1
        try:
            yield self.num_at_once
        finally:
            with self._lock:
                self._num_users -= 1
                if not self._num_users:
                    self._switch(False)

"""A switch that overlapping uses by several threads hold together."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SharedUse:
    """Switches a resource over with the first of several overlapping uses, back with the last.

    Args:
        switch: Called with True and with False, never by two threads at once.
    """

    def __init__(self, switch: Callable[[bool], None]) -> None:
        self._switch = switch
        self._lock = threading.Lock()
        self._num_users = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the resource switched over until the block ends."""
        with self._lock:
            if not self._num_users:
                self._switch(True)
            self._num_users += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_users -= 1
                if not self._num_users:
                    self._switch(False)

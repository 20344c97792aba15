"""Permits: what cannot be worked on soon is refused at once.

One thread a process does the work, as the encoder has one: more would only share its time, and
slow each other down. What waits for it waits in order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from softanswer.domain import Full

T = TypeVar("T")


class Work:
    """The work of one process, at most `permits` drafts of it at once. Made before the fork, begun after it."""

    def __init__(self, permits: int) -> None:
        self.permits = permits
        self._free = permits
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None

    @property
    def taken(self) -> int:
        """How many permits are out."""
        return self.permits - self._free

    @property
    def full(self) -> bool:
        """Whether nothing more is taken on."""
        return self._free <= 0

    def do(self, cost: int, task: Callable[[], T]) -> T:
        """Do a task that costs as many permits as it has drafts; a large batch takes all there are.

        Raises `Full` where they are not free, and whatever the task raises.
        """
        cost = min(cost, self.permits)
        with self._lock:
            if cost > self._free:
                raise Full
            self._free -= cost
            self._thread = self._thread or ThreadPoolExecutor(1, "work")
        try:
            return self._thread.submit(task).result()
        finally:
            with self._lock:
                self._free += cost

"""Looks at the machine beside the event loop: in one thread, one at a time, when asked.

A driver may take seconds to answer, or never do. The thread is a daemon, so that it cannot keep the node from leaving;
asking while it is busy does nothing. What silence means is decided in core/offer.py, or it means that nothing is known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

__all__ = ["Watch"]

log = logging.getLogger(__name__)
T = TypeVar("T")


class Watch(Generic[T]):
    """Looks at the machine again and again.

    Args:
        look: returns what it sees; called in the thread.
        found: takes it; called in the thread.
    """

    def __init__(self, look: Callable[[], T], found: Callable[[T], None]) -> None:
        self._look = look
        self._found = found
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._busy = False
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """Have it look, unless it does already."""
        if self._busy:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="maze-watch", daemon=True)
            self._thread.start()
        self._busy = True
        self._orders.put(True)

    def stop(self) -> None:
        """End the thread once it is free."""
        self._orders.put(False)

    def _run(self) -> None:
        while self._orders.get():
            try:
                seen = self._look()
            except Exception:
                log.exception("the machine cannot be measured")
            else:
                self._found(seen)
            self._busy = False

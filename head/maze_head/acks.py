"""Acknowledgements of results gather for some milliseconds, per link, and go in one message.

A node keeps a result until it is acknowledged, so nothing is lost by waiting, and nobody waits for it; but each message
wakes two threads on either side, which costs more than all that a head does about a short task. A node that leaves
waits for them, so they gather no longer than nobody notices. If the link goes in the meantime, the node says its
results again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from maze_protocol.messages import AckItem, ResultAck

__all__ = ["Acks"]

GATHER_SECONDS: Final = 0.02
MOST: Final = 512
"""So many go at once."""


class Acks:
    """What is to be acknowledged, by link. Used on the event loop."""

    def __init__(self, send: Callable[[bytes, ResultAck], None]) -> None:
        self._send = send
        self._items: dict[bytes, list[AckItem]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, link: bytes, items: Sequence[AckItem]) -> None:
        """Acknowledge results soon."""
        waiting = self._items.setdefault(link, [])
        waiting += items
        if len(waiting) >= MOST:
            self._send(link, ResultAck(tuple(self._items.pop(link))))
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Send all that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._items = self._items, {}
        for link, items in waiting.items():
            self._send(link, ResultAck(tuple(items)))

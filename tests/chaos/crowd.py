"""A crowd of nodes in one process: the real transport of a node each, and no workers behind it."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType

from maze_node.core.events import Event, LinkLost, Welcomed
from maze_node.identity import HeadAddress
from maze_node.transport import Transport
from maze_node.turns import Turns
from maze_protocol.messages import Heartbeat
from support.messages import make_hello

BEAT_SECONDS = 0.9


class Crowd:
    """`count` nodes that join, beat, and come back; on an event loop in a thread of its own."""

    def __init__(self, endpoint: str, count: int) -> None:
        self.endpoint = endpoint
        self.count = count
        self.live: dict[int, float] = {}
        """When each node that has a session got it."""
        self.refusals: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._transports: list[Transport] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        self._loop.call_soon_threadsafe(self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = threading.Event()
        self._loop.call_soon_threadsafe(self._end, ended)
        ended.wait(60)
        self._thread.join(60)
        self._loop.close()

    @property
    def complete(self) -> bool:
        """Whether all have a session."""
        return len(self.live) == self.count

    def _start(self) -> None:
        for number in range(self.count):
            self._transports.append(
                Transport(
                    Turns(self._loop, lambda events, number=number: self._on(number, events)),  # type: ignore[misc]
                    lambda: HeadAddress(self.endpoint),
                    lambda number=number: make_hello(f"node-{number}", number + 1),  # type: ignore[misc]
                    self.refusals.append,
                )
            )
            # As machines do: not all in the same instant.
            self._loop.call_later(number / self.count, self._transports[-1].start)

    def _on(self, number: int, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Welcomed):
                self.live[number] = time.monotonic()
                self._beat(number)
            elif isinstance(event, LinkLost):
                self.live.pop(number, None)

    def _beat(self, number: int) -> None:
        if number in self.live:
            self._transports[number].send(Heartbeat(time.time()))
            self._loop.call_later(BEAT_SECONDS, self._beat, number)

    def _end(self, ended: threading.Event) -> None:
        self.live.clear()
        for transport in self._transports:
            transport.close()
        # What was called for later finds nothing to do; the loop need not wait for it.
        self._loop.call_soon(self._loop.stop)
        ended.set()

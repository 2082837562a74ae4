"""When the agent's core is asked: at the end of the callback in which something happened, with all that happened in it.

Rules
* A callback of a descriptor that may bring events is wrapped by `ending`: its events are taken before the loop goes on,
  since each further iteration of the loop costs as much as a small turn.
* Steps that are to be done at one moment are done together, and are one turn.
* What is posted elsewhere (by other timers, by other tasks, in the midst of a turn) is taken in the next iteration.
* Events are taken in the order in which they were posted, each once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from maze_node.core.events import Event

__all__ = ["Turns"]


class Turns:
    """Collects events for turns.

    Args:
        loop: all calls are made in its thread.
        take: handles the events of one turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[list[Event]], None]) -> None:
        self.loop = loop
        self._take = take
        self._events: list[Event] = []
        self._inside = False
        """Whether a wrapped callback or a turn is going on."""
        self._due = False
        self._later: dict[float, list[Callable[[], object]]] = {}
        """Steps, by the moments at which they are to be done."""
        self._at_last = self.ending(self._do)

    def post(self, event: Event) -> None:
        """Take an event into the coming turn."""
        self._events.append(event)
        if not self._inside:
            self._soon()

    def ending(self, step: Callable[..., object]) -> Callable[..., None]:
        """Return a callback that does a step, and then takes the turn for what was posted in it."""

        def run(*args: Any) -> None:
            self._inside = True
            try:
                step(*args)
            finally:
                self._inside = False
            if self._events:
                self._turn()

        return run

    def at(self, when: float, step: Callable[[], object]) -> None:
        """Do a step at that moment, by the clock of the loop."""
        steps = self._later.get(when)
        if steps is None:
            steps = self._later[when] = []
            self.loop.call_at(when, self._at_last, when)
        steps.append(step)

    def _do(self, when: float) -> None:
        for step in self._later.pop(when):
            step()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self.loop.call_soon(self._late)

    def _late(self) -> None:
        self._due = False
        if self._events:
            self._turn()

    def _turn(self) -> None:
        events, self._events = self._events, []
        self._inside = True
        try:
            self._take(events)
        finally:
            self._inside = False
        if self._events:
            self._soon()

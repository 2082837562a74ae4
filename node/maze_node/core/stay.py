"""How long the node stays by itself: until its time is over, or until it has had no work for long.

Rules
* The drain begins `lead` before the end, and what still runs is ended `reserve` before it: a process needs its grace
  after SIGTERM, and results have to be taken. Of a short time at most half goes into that.
* The head is told how long tasks may run here (`remaining`): up to the moment at which they would be ended.
* Idleness counts from the first session on: a node that never found its head was not idle, it was lost.
"""

from __future__ import annotations

from typing import Final

from maze_node.core.events import DrainAsked

__all__ = ["RESERVE", "Stay"]

RESERVE: Final = 6.0
NO_TIME: Final = 0.001
"""What is told when nothing remains: 0 would mean that there is no end."""


class Stay:
    """When this node leaves, and why.

    Args:
        ends_at: when it must be gone, by `Instant.mono`; None: never.
        lead: how long before that it begins to drain, in seconds.
        idle_timeout: leave after so many seconds without work; 0: never.
    """

    def __init__(self, ends_at: float | None = None, lead: float = 0.0, idle_timeout: float = 0.0) -> None:
        self._ends_at = ends_at
        self._lead = lead
        self._reserve = min(RESERVE, lead / 2)
        self._idle_timeout = idle_timeout
        self._idle_since: float | None = None

    @classmethod
    def of(cls, mono: float, limit: float | None, drain_timeout: float, idle_timeout: float) -> Stay:
        """Return the stay of a node that starts now and may live for `limit` seconds."""
        if limit is None:
            return cls(idle_timeout=idle_timeout)
        return cls(mono + limit, min(drain_timeout, limit / 2), idle_timeout)

    def remaining(self, mono: float) -> float:
        """Return for how many seconds tasks may run here; 0 if there is no end."""
        return 0.0 if self._ends_at is None else max(NO_TIME, self._ends_at - self._reserve - mono)

    def welcomed(self, mono: float) -> None:
        """Note that there is a head."""
        if self._idle_since is None:
            self._idle_since = mono

    def look(self, mono: float, *, busy: bool) -> DrainAsked | None:
        """Return the drain that is due now, if any."""
        if busy and self._idle_since is not None:
            self._idle_since = mono
        if self._ends_at is not None and mono >= self._ends_at - self._lead:
            return DrainAsked("time limit", max(0.0, self._ends_at - self._reserve - mono))
        if self._idle_timeout and self._idle_since is not None and mono - self._idle_since >= self._idle_timeout:
            return DrainAsked(f"no work for {self._idle_timeout:g} s", 0.0)
        return None

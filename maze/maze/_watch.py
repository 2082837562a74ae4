"""When `show_results` looks beyond the events of a run, and which of the reasons that it finds are news.

Pure; time is an argument. Two looks:
* at the nodes, when nothing has happened for two seconds; then less and less often;
* at the reasons why tasks have not started, while there are such, three seconds apart. A task is named when two looks
  in a row have found it waiting for anything but its inputs, so for three seconds; a reason is told once for tasks
  that ask for the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from maze_protocol.waiting import WaitingGroup

__all__ = ["Look", "Wait", "Watch"]

QUIET_SECONDS: Final = 2.0
MOST_QUIET_SECONDS: Final = 30.0
FIRST_LOOK_SECONDS: Final = 0.25
"""Runs that are over sooner are never looked at."""
REASONS_SECONDS: Final = 3.0
_NO_NEWS: Final = frozenset({"over", "held", "run_cancelling", "waiting_inputs", "backoff", "no_node", "next"})
"""Codes of what is no waiting, takes no time, or is told in other lines: retries, and that there is no node."""


class Look(Enum):
    """What to look at."""

    NODES = 1
    REASONS = 2


class Wait(NamedTuple):
    """A task that waits, and how many others do for the same reason."""

    task_id: str
    others: int
    reason: str


class Watch:
    """One `show_results`."""

    def __init__(self, now: float) -> None:
        self._pause = QUIET_SECONDS
        self._nodes_at = now + QUIET_SECONDS
        self._reasons_at = now + FIRST_LOOK_SECONDS
        self._unstarted = 0
        self._waited: set[str] = set()
        """Tasks that were found waiting at the last look."""
        self._told: set[tuple[str, str]] = set()

    def patience(self, now: float) -> float:
        """Return how many seconds to wait for events at most."""
        next_look = min(self._nodes_at, self._reasons_at) if self._unstarted else self._nodes_at
        return max(0.0, next_look - now)

    def note(self, now: float, *, heard: bool, unstarted: int) -> None:
        """Take note of whether events came, and of how many tasks have not started yet."""
        self._unstarted = unstarted
        if heard:
            self._pause = QUIET_SECONDS
            self._nodes_at = now + QUIET_SECONDS

    def due(self, now: float) -> list[Look]:
        """Return what to look at now; the next look is counted from here."""
        looks = []
        if now >= self._nodes_at:
            self._pause = min(MOST_QUIET_SECONDS, self._pause * 2)
            self._nodes_at = now + self._pause
            looks.append(Look.NODES)
        if self._unstarted and now >= self._reasons_at:
            self._reasons_at = now + REASONS_SECONDS
            looks.append(Look.REASONS)
        return looks

    def news(self, groups: Iterable[WaitingGroup]) -> list[Wait]:
        """Return what is to be told of the reasons that a look has found."""
        waiting = [group for group in groups if group.code not in _NO_NEWS]
        found = [wait for group in waiting if (wait := self._wait(group)) is not None]
        self._waited = {task.task_id for group in waiting for task in group.tasks}
        return found

    def _wait(self, group: WaitingGroup) -> Wait | None:
        key = group.code, repr(group.shape)
        patient = [task.task_id for task in group.tasks if task.task_id in self._waited]
        if key in self._told or not patient:
            return None
        self._told.add(key)
        return Wait(patient[0], group.count - 1, group.text)

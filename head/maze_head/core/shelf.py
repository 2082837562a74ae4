"""Which workflows have their tasks at hand: those used last, so many tasks in all.

Rules
* Only a workflow whose newest revision is saved, as the graph of a run, stands here: it can be put away, which is to
  forget its tasks and edges until somebody edits, runs or shows it (fetching.py). Name, revision, size and edit ids
  stay. So what is over leaves no tasks in memory, however many workflows there are.
* One whose newest revision was never run does not stand here and stays at hand.
* Data only: who puts what away is the business of state.py.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from maze_head.core.events import Command

__all__ = ["Shelf"]

OVERHEAD: Final = 4
"""What a workflow takes beside its tasks, in tasks."""


class Shelf:
    """The workflows at hand that can be put away, the one used longest ago first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._weights: OrderedDict[bytes, int] = OrderedDict()
        self._weight = 0
        self.awaited: dict[bytes, list[Command]] = {}
        """Per workflow that is being fetched, the commands that wait for it."""

    def __contains__(self, workflow_id: bytes) -> bool:
        return workflow_id in self._weights

    def __len__(self) -> int:
        return len(self._weights)

    def put(self, workflow_id: bytes, tasks: int) -> list[bytes]:
        """Note that a workflow of so many tasks was used just now; return those for which there is no more room.

        They do not stand here any more. The one that was just used always has room.
        """
        self.take(workflow_id)
        weight = self._weights[workflow_id] = tasks + OVERHEAD
        self._weight += weight
        surplus: list[bytes] = []
        while self._weight > self._room and len(self._weights) > 1:
            oldest = next(iter(self._weights))
            self.take(oldest)
            surplus.append(oldest)
        return surplus

    def take(self, workflow_id: bytes) -> None:
        """Let a workflow stand here no longer, if it does."""
        self._weight -= self._weights.pop(workflow_id, 0)

"""An event of a run as the SDK's readers get it: rendered by the head, or as the log has it and rendered here.

Both kinds answer the same questions, and what most readers never ask of an event is never made.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

import msgspec

from maze_protocol.events import RunEvent, TaskFinished, TaskReused
from maze_protocol.ids import TASK, WORKFLOW, format_id
from maze_protocol.rendering import Names, data_of, packed, type_of
from maze_protocol.streams import LogPart, PackedEvent
from maze_protocol.values import OutputValue

__all__ = ["Event", "LogEvent", "events_of"]

_RETURNING: Final = frozenset({TaskFinished, TaskReused})
_NOBODY: Final = ("", "")


class _Names(Names):
    """Texts for the numbers in one part of a log, which came with it."""

    __slots__ = ("_retries", "_tasks")

    def __init__(self, run_id: str, part: LogPart) -> None:
        super().__init__(run_id, format_id(part.workflow_id, WORKFLOW))
        self._tasks = {number: (format_id(raw, TASK), name) for number, raw, name in part.tasks}
        self._retries = dict(part.retries)

    def called(self, task: int) -> tuple[str, str]:
        return self._tasks.get(task, _NOBODY)

    def retries(self, task: int) -> int:
        return self._retries.get(task, 0)


class LogEvent(msgspec.Struct, gc=False):
    """An event as the log has it, and what it takes to render it."""

    seq: int
    epoch: int
    time: float
    type: str
    names: _Names
    event: RunEvent
    outputs: tuple[OutputValue, ...] = ()
    result: dict[str, Any] | None = None
    """As of PackedEvent."""

    @property
    def carries_all(self) -> bool:
        """Tell whether all values of its result are known to be here."""
        for output in self.outputs:  # noqa: SIM110 -- `all` of a generator takes three times as long
            if output.value.ref is not None:
                return False
        return True

    def whole(self) -> dict[str, Any]:
        """Return its data, with values as they are encoded."""
        data: dict[str, Any] = msgspec.to_builtins(data_of(self.event, self.names), builtin_types=(bytes,))
        if type(self.event) in _RETURNING:
            data["result"] = packed(self.outputs)
        return data

    def start(self) -> tuple[str, str, str]:
        """Return workflow, task and address of the node of a start_task."""
        names, event = self.names, self.event
        return names.workflow_id, names.called(event.task)[0], event.node_ip  # type: ignore[union-attr]  # it has them

    def task(self) -> tuple[str, str]:
        """Return workflow and task of an event about a task."""
        names = self.names
        return names.workflow_id, names.called(self.event.task)[0]  # type: ignore[union-attr]  # it has one

    def returned(self) -> dict[str, Any]:
        """Return the result of a finish_task or task_reused, with values as they are encoded."""
        return packed(self.outputs)


Event = PackedEvent | LogEvent


def events_of(run_id: str, part: LogPart, wanted: Container[str] | None = None) -> list[LogEvent]:
    """Return the events of a part of a log: those of the wanted types, or all."""
    names, outputs, epoch, time = _Names(run_id, part), iter(part.outputs), part.epoch, part.time
    found = []
    for seq, event in enumerate(part.events, part.first_seq):
        returned = next(outputs, ()) if type(event) in _RETURNING else ()
        kind = type_of(event)
        if wanted is None or kind in wanted:
            found.append(LogEvent(seq, epoch, time, kind, names, event, returned))
    return found

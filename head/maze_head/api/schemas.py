"""Bodies that only the HTTP API has; those it shares with the SDK are in maze_protocol.http."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from maze_protocol.http import CodeBody, TaskBody

__all__ = ["Counters", "EdgeBody", "EdgeList", "EventPage", "Health", "NewTask", "TaskList"]


_EVENT: Final = {"$ref": "#/components/schemas/ClientEvent"}
"""An event is encoded already when it gets here, so its type does not tell what it is."""


class NewTask(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A task with the functions it needs, for clients that do not build edits."""

    task: TaskBody
    codes: list[CodeBody] = []


class TaskList(msgspec.Struct):
    """The tasks of a workflow, in the order in which they were added."""

    tasks: list[TaskBody]


class EdgeBody(msgspec.Struct, forbid_unknown_fields=True):
    """One edge between two tasks of the workflow."""

    source: str
    target: str


class EdgeList(msgspec.Struct):
    """All edges, and those of them that no input reference carries."""

    edges: list[tuple[str, str]]
    manual_edges: list[tuple[str, str]]


class EventPage(msgspec.Struct):
    """A piece of a run's log. Ask again with `after=last_seq` until `sealed`."""

    events: list[Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema=_EVENT)]]
    last_seq: int
    sealed: bool


class Health(msgspec.Struct):
    """`status` is `ok`."""

    status: str = "ok"


class Counters(msgspec.Struct):
    """Counters and gauges by name."""

    counters: dict[str, float]

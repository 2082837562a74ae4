"""The one WebSocket on which a client submits runs and reads their events, any number of them: `GET /api/v1/events`.

Binary frames, one MessagePack map each, told apart by `op`. The client subscribes to runs under numbers of its own;
every answer carries the number that it is meant for. A subscription ends with the last event of its run, or with an
End; its number is free again then. What was on its way when a client unsubscribed is to be dropped.

Who opens it with `?log=N` knows the first N kinds of events (events.py) and is sent the log as it is, a sixth of the
bytes, unless the head knows more kinds than that: then it gets rendered events, as everybody else does.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from maze_protocol.events import TYPE_NAMES, RunEvent
from maze_protocol.http import RunBody, RunRequest
from maze_protocol.values import OutputValue

__all__ = [
    "FOLLOW_SINCE", "KINDS", "MAX_PAUSE", "MAX_SEQ", "MAX_SUBSCRIPTIONS", "SEALED", "Asked", "End", "Events", "Log",
    "LogPart", "PackedEvent", "Submit", "Submitted", "Subscribe", "Told", "Unsubscribe",
]  # fmt: skip

KINDS: Final = len(TYPE_NAMES)
"""How many kinds of events there are, as far as is known here."""
FOLLOW_SINCE: Final = 2
"""The second number of the version of the API from which on a Submit may `follow`, and `leases` may be unwanted."""

MAX_SEQ: Final = 2**53
MAX_SUBSCRIPTIONS: Final = 4096
"""On one connection, at one time."""
SEALED: Final = "sealed"
"""Code of the End of a subscription that began behind the last event of its run."""
MAX_PAUSE: Final = 10.0

Number = Annotated[int, Meta(ge=0, le=MAX_SEQ)]


class _Asked(msgspec.Struct, tag_field="op", forbid_unknown_fields=True, omit_defaults=True):
    pass


class Subscribe(_Asked, tag="subscribe"):
    """Send the events of `run` after number `after`, past ones first, then each as it is committed.

    Events may wait `pause` seconds for more of them; with the last one nothing waits. Without `leases`, a third of a
    log, which tells where tasks were placed, is left out where it is sent as it is: TaskLeased.
    """

    id: Number
    run: Annotated[str, Meta(max_length=100)]
    after: Number = 0
    pause: Annotated[float, Meta(ge=0.0, le=MAX_PAUSE)] = 0.0
    leases: bool = True


class Unsubscribe(_Asked, tag="unsubscribe"):
    """Send no more of a subscription; one that has ended is left as it is."""

    id: Number


class Submit(_Asked, tag="submit"):
    """Run a workflow, as `POST /api/v1/runs` does with this body; answered by Submitted, or by an End that refuses.

    With `follow` its events come behind the Submitted, as if one had subscribed to them under the same number, from
    the first on, with that `pause`, and with or without `leases`.
    """

    id: Number
    request: RunRequest
    follow: bool = False
    pause: Annotated[float, Meta(ge=0.0, le=MAX_PAUSE)] = 0.0
    leases: bool = True


Asked = Subscribe | Unsubscribe | Submit


class PackedEvent(msgspec.Struct, gc=False, omit_defaults=True):
    """A ClientEvent (http.py) whose `data` nobody has looked into yet."""

    seq: int
    epoch: int
    time: float
    type: str
    data: msgspec.Raw
    result: dict[str, Any] | None = None
    """Never sent: where a reader keeps the result once it has fetched what the message does not carry."""

    @property
    def carries_all(self) -> bool:
        """Tell whether all values of its result are known to be here: not before it is decoded."""
        return False

    def whole(self) -> dict[str, Any]:
        """Return its data, with values as they are encoded."""
        return _whole(self.data)

    def start(self) -> tuple[str, str, str]:
        """Return workflow, task and address of the node of a start_task."""
        found = _of_start(self.data)
        return found.workflow_id, found.task_id, found.node_ip

    def task(self) -> tuple[str, str]:
        """Return workflow and task of an event about a task."""
        found = _of_task(self.data)
        return found.workflow_id, found.task_id

    def returned(self) -> dict[str, Any]:
        """Return the result of a finish_task or task_reused, with values as they are encoded."""
        return _of_finish(self.data).result


# Of what every task has, only what is asked for is decoded.


class _Task(msgspec.Struct, gc=False):
    workflow_id: str
    task_id: str


class _Started(_Task):
    node_ip: str


class _Finished(msgspec.Struct, gc=False):
    result: dict[str, Any]


_of_start: Final = msgspec.msgpack.Decoder(_Started).decode
_of_task: Final = msgspec.msgpack.Decoder(_Task).decode
_of_finish: Final = msgspec.msgpack.Decoder(_Finished).decode
_whole: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Events(msgspec.Struct, tag_field="op", tag="events"):
    """Events of a subscription, in order, as on the WebSocket of one run.

    `sealed`: the last event of the run is among them, and the subscription is over without another word.
    """

    id: int
    sealed: bool
    events: list[PackedEvent]


class LogPart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Events of one commit as the log has them, with what the numbers in them stand for."""

    epoch: int
    time: float
    workflow_id: bytes
    first_seq: int
    events: tuple[RunEvent, ...]
    tasks: tuple[tuple[int, bytes, str], ...]
    """Number, id and name of each task that they name."""
    outputs: tuple[tuple[OutputValue, ...], ...]
    """What the finished and the reused ones among them returned, in their order."""
    retries: tuple[tuple[int, int], ...] = ()
    """How many retries those tasks allow of which an attempt was lost."""


class Log(msgspec.Struct, tag_field="op", tag="log"):
    """Events of a subscription, in order, as the log has them; `sealed` as in Events. Some may be known already."""

    id: int
    sealed: bool
    parts: list[LogPart]


class End(msgspec.Struct, tag_field="op", tag="end", omit_defaults=True):
    """A subscription is over: `code` is that of a refusal, with its HTTP status, or `sealed` (200): it began there.

    404: there is no such run. 410: it was removed. 429: too many subscriptions. 500: the head failed on it; its log
    tells more.
    """

    id: int
    code: str
    status: int
    message: str = ""
    hint: str = ""


class Submitted(msgspec.Struct, tag_field="op", tag="submitted"):
    """A run is committed; the number of its Submit is free again, unless the run is followed."""

    id: int
    run: RunBody


Told = Events | Log | End | Submitted

"""The one WebSocket on which a client submits runs and reads their events, any number of them: `GET /api/v1/events`.

Binary frames, one MessagePack map each, told apart by `op`. The client subscribes to runs under numbers of its own;
every answer carries the number that it is meant for. A subscription ends with the last event of its run, or with an
End; its number is free again then. What was on its way when a client unsubscribed is to be dropped.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from maze_protocol.http import RunBody, RunRequest

__all__ = [
    "MAX_PAUSE", "MAX_SEQ", "MAX_SUBSCRIPTIONS", "SEALED", "Asked", "End", "Events", "PackedEvent", "Submit",
    "Submitted", "Subscribe", "Told", "Unsubscribe",
]  # fmt: skip

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

    Events may wait `pause` seconds for more of them; with the last one nothing waits.
    """

    id: Number
    run: Annotated[str, Meta(max_length=100)]
    after: Number = 0
    pause: Annotated[float, Meta(ge=0.0, le=MAX_PAUSE)] = 0.0


class Unsubscribe(_Asked, tag="unsubscribe"):
    """Send no more of a subscription; one that has ended is left as it is."""

    id: Number


class Submit(_Asked, tag="submit"):
    """Run a workflow, as `POST /api/v1/runs` does with this body; answered by Submitted, or by an End that refuses."""

    id: Number
    request: RunRequest


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


class Events(msgspec.Struct, tag_field="op", tag="events"):
    """Events of a subscription, in order, as on the WebSocket of one run.

    `sealed`: the last event of the run is among them, and the subscription is over without another word.
    """

    id: int
    sealed: bool
    events: list[PackedEvent]


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
    """A run is committed; the number of its Submit is free again."""

    id: int
    run: RunBody


Told = Events | End | Submitted

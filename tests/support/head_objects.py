"""A head whose tasks made objects, and what it said of them."""

from __future__ import annotations

from typing import Any

from maze_head.core import effects as fx
from maze_head.core.settings import Settings
from maze_protocol.messages import Message
from maze_protocol.values import ObjectRef
from support.head_core import Head, add, large

__all__ = ["MIB", "parts", "produced", "sent"]

MIB = 1 << 20


def sent(head: Head, kind: type[Message], link: bytes = b"L1") -> list[Any]:
    """Take all sends; return the messages of a kind on a link."""
    return [send.message for send in head.take(fx.Send) if isinstance(send.message, kind) and send.link == link]


def produced(*consumers: int, nodes: int = 1, cpu: int = 4, **given: Any) -> tuple[Head, int]:
    """Return a head whose task 0 made an object on node n1 that tasks need, and the lease that made it."""
    head = Head(Settings(object_ttl=60.0), **given)
    head.workflow(add(0), *(add(number, 0, resources={"cpu": cpu}) for number in consumers))
    head.meet()
    head.run()
    (lease,) = head.leases()
    for number in range(2, nodes + 1):
        head.meet(b"L%d" % number, f"n{number}")
    head.result(large(lease))
    return head, lease


def parts(assigned: fx.AssignTask) -> list[ObjectRef | None]:
    return [source.ref for _, _, sources in assigned.inputs for source in sources]

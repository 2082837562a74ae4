"""What a consumer is told of an object: who has it, with a ticket for each (docs/adr/0022).

* A reference names few holders, in an order that differs from consumer to consumer, and then the head; to a node that
  has the object itself it names the head only. None of those is a node that the head does not hear.
* Of a large object a consumer is told first of the one who was told to fetch it before, then of holders.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final
from zlib import crc32

from maze_protocol.limits import CHUNK, CHUNK_WINDOW, TICKET_SECONDS
from maze_protocol.tickets import make_ticket
from maze_protocol.values import Holder, ObjectRef

if TYPE_CHECKING:
    from maze_head.core.nodes import Node
    from maze_head.core.objects import Copies, Part
    from maze_head.core.state import State

__all__ = ["CHAINED", "HEAD", "NAMED_HOLDERS", "named", "reachable", "reference"]

HEAD: Final = ""
"""The head, as a consumer."""
NAMED_HOLDERS: Final = 4
CHAINED: Final = CHUNK * CHUNK_WINDOW
"""Bytes from which on an object is worth asking for where it is on its way."""


def reachable(state: State, part: Part) -> list[Node]:
    """Return the holders of an object that the head hears, in order of arrival."""
    nodes = [state.nodes[node_id] for node_id in part.holders]
    return [node for node in nodes if node.link is not None and not node.suspected]


def reference(state: State, copies: Copies, output: int, consumer: str) -> ObjectRef:
    """Return the reference to an object for one consumer.

    Args:
        consumer: the id of the node that fetches, or `HEAD`. The head asks over the connections that nodes opened: for
            it holders are named by their ids, and need no port for peers.
    """
    part = copies.parts[output]
    nodes = [*_ahead(state, part, consumer), *named(state, part, consumer)]
    holders = tuple([_holder(state, node, copies.lease, output, consumer) for node in nodes])
    if consumer != HEAD:
        # The head itself comes last, without an address: it has the object, or gets it.
        holders += (("", "", _ticket(state, state.secret, copies.lease, output, consumer)),)
    return ObjectRef(copies.lease, output, part.meta.size, part.meta.crc, holders)


def named(state: State, part: Part, consumer: str) -> list[Node]:
    """Return the holders that a consumer is told of, the first to be asked first."""
    nodes = [] if consumer in part.holders else reachable(state, part)
    if consumer != HEAD:
        nodes = [node for node in nodes if node.hello.peer_endpoint]
    turn = crc32(consumer.encode()) % len(nodes) if nodes else 0
    return [*nodes[turn:], *nodes[:turn]][:NAMED_HOLDERS]


def _ahead(state: State, part: Part, consumer: str) -> list[Node]:
    """Return the node that was told to fetch a large object last before this one, which is noted as the next.

    It gives what has come to it: a broadcast to many nodes goes as a chain and costs the first holder one copy. Nobody
    is told of one who was told later, so none wait for each other.
    """
    if consumer == HEAD or consumer in part.holders or part.meta.size < CHAINED:
        return []
    part.coming.setdefault(consumer)
    before = list(takewhile(lambda each: each != consumer, part.coming))
    nodes = (state.nodes[node_id] for node_id in reversed(before) if node_id in state.nodes)
    return list(islice((node for node in nodes if _serves(node)), 1))


def _serves(node: Node) -> bool:
    return node.link is not None and not node.suspected and bool(node.hello.peer_endpoint)


def _holder(state: State, node: Node, lease: int, output: int, consumer: str) -> Holder:
    endpoint = node.id if consumer == HEAD else node.hello.peer_endpoint
    return endpoint, node.hello.peer_key, _ticket(state, node.secret, lease, output, consumer)


def _ticket(state: State, secret: bytes, lease: int, output: int, consumer: str) -> bytes:
    return make_ticket(secret, lease, output, b"", consumer, state.now.wall + TICKET_SECONDS)

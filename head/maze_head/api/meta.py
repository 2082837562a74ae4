"""The head about itself: who answers, whether it lives, whether it takes work, and what it counted."""

from __future__ import annotations

import msgspec

from maze_head.api.call import Call
from maze_head.api.schemas import Counters, Health
from maze_head.core.errors import Unavailable
from maze_head.core.events import CountersAsked, DescribeNodes
from maze_protocol.cluster import InfoBody, NodeList

__all__ = ["info", "livez", "metrics", "readyz"]


async def info(call: Call) -> InfoBody:
    """Tell who answers and under which promises."""
    nodes: NodeList = await call.ask(DescribeNodes)
    ready = sum(node.state == "ready" for node in nodes.nodes)
    return msgspec.structs.replace(call.services.info(), nodes_ready=ready)


async def livez(call: Call) -> Health:
    """Answer while the process serves requests."""
    return Health()


async def readyz(call: Call) -> Health:
    """Answer 200 while submissions are taken: the driver runs, the disk has room and the head is not stopping."""
    if call.services.shutting_down.is_set():
        raise Unavailable("not_ready", "the head is stopping")
    if not call.services.driver.running:
        raise Unavailable("not_ready", "the head is not taking work yet, or cannot write its journal")
    if call.services.info().read_only:
        raise Unavailable("not_ready", "the disk of the head's state directory is full: it takes nothing new")
    return Health()


async def metrics(call: Call) -> Counters:
    """Return all counters: those of the core, of the shells and of this API."""
    core: dict[str, int | float] = await call.ask(CountersAsked)
    traffic = {f"http_{name}": value for name, value in vars(call.traffic).items()}
    encoded = {"http_segments_encoded_total": call.encoder.made}
    return Counters({**core, **call.services.counters(), **traffic, **encoded})

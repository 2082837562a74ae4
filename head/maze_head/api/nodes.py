"""Nodes: what the head knows of its machines."""

from __future__ import annotations

from maze_head.api.call import Call
from maze_head.core.errors import NotFound
from maze_head.core.events import DemandAsked, DescribeNodes
from maze_protocol.cluster import NodeBody, NodeList
from maze_protocol.waiting import Demand

__all__ = ["demand", "describe", "list_all"]


async def list_all(call: Call) -> NodeList:
    """List all nodes."""
    found: NodeList = await call.ask(DescribeNodes)
    return found


async def describe(call: Call) -> NodeBody:
    """Return one node."""
    wanted = call.path("node_id")
    for node in (await list_all(call)).nodes:
        if node.node_id == wanted:
            return node
    raise NotFound("unknown_node", f"no node {wanted[:100]!a}")


async def demand(call: Call) -> Demand:
    """Say what waits for nodes, for whoever starts and stops them."""
    found: Demand = await call.ask(DemandAsked)
    return found

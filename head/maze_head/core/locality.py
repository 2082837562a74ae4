"""Tasks with large inputs go where most of their bytes are, if there is room: what need not travel, does not.

Only inputs that are objects count, and only from LARGE_INPUTS bytes on, all together; others are placed as ever. Nobody
waits for such a node: with no room there, another one gets its inputs. Nodes from before protocol 1.3 know no objects.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.made import needs_of
from maze_head.core.nodes import Node
from maze_head.core.objects import OBJECT_MINOR
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_protocol.limits import MIB

__all__ = ["LARGE_INPUTS", "closest", "is_too_old"]

LARGE_INPUTS: Final = 1 * MIB


def closest(state: State, run: Run, task: int) -> list[Node]:
    """Return the nodes that hold of a task's large inputs, most bytes first; of equals, who was first to have some."""
    at: dict[str, int] = {}
    total = 0
    for source, outputs in needs_of(run, run.graph.spec(task)).items():
        parts = state.objects.of(run.no, source).parts
        for part in [parts[output] for output in outputs]:
            total += part.meta.size
            for node_id in part.holders:
                at[node_id] = at.get(node_id, 0) + part.meta.size
    if total < LARGE_INPUTS:
        return []
    return [state.nodes[node_id] for node_id in sorted(at, key=lambda each: -at[each])]


def is_too_old(node: Node, run: Run, task: int) -> bool:
    """Tell whether a task has inputs that a node would not know how to get: objects, or uploads."""
    if node.hello.minor >= OBJECT_MINOR:
        return False
    return task in run.graph.uploads or bool(run.objects.made and needs_of(run, run.graph.spec(task)))

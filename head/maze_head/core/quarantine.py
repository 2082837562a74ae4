"""Nodes that cannot work are left alone for a while: black holes, cripples and flappers.

A node that ends every task at once would drain a whole queue, since it is always the one with room. Signs against it:

* a worker of its died under each of five different tasks in a row, and no other node has seen a crash of their
  functions (else the function is at fault, and a bad task shall hurt only itself), though others could take the task
  (else nothing can tell the two apart, and whoever needs this very node would wait for it in vain);
* it says itself that workers keep dying before they get a task;
* it comes back for the fifth time within a minute.

Then it gets no work, gives back what it has not begun, and is tried again after 5 s. On trial one more sign puts it
aside for twice as long, up to a minute; one success ends the matter. While nobody else takes work, a node is put aside
only for the second sign: slow work is better than none.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from maze_head.core.backlog import shape_of
from maze_head.core.effects import AppendCluster, Send
from maze_head.core.fitness import could_ever
from maze_head.core.graph import Shape
from maze_head.core.leases import Lease
from maze_head.core.nodes import Node
from maze_head.core.state import State
from maze_head.core.transitions import LEASED
from maze_protocol.messages import Recall

__all__ = ["acquit", "judge_crash", "judge_forks", "judge_return", "parole"]

CRASHES: Final = 5
FORK_FAILURES: Final = 5
RETURNS: Final = 5
RETURN_SECONDS: Final = 60.0
FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 60.0
FUNCTIONS_REMEMBERED: Final = 1024
SEVERAL: Final = ""
"""In place of a node's name: more than one has seen it."""


def judge_crash(state: State, lease: Lease) -> None:
    """Note that a worker died under a task."""
    node, run, task = lease.node, lease.run, lease.task
    if _crashed_on(state, run.graph.spec(task).code, node.id) == SEVERAL:
        return
    if not _others_could(state, node, shape_of(run, task)):
        return
    health = node.health
    health.crashed[run.no, task] = None
    if len(health.crashed) >= CRASHES or health.on_trial:
        _put_aside(state, node, f"its workers died under {len(health.crashed)} different tasks in a row")


def _others_could(state: State, node: Node, shape: Shape) -> bool:
    """Tell whether a task could run without a node: else its crash there says nothing of whose fault it is."""
    able = [other for other in state.nodes.values() if other is not node and other.takes_work]
    return sum(could_ever(other, shape) for other in able) >= shape.terms.nodes


def _crashed_on(state: State, code: bytes, node_id: str) -> str:
    """Return the only node that has seen a function crash, or SEVERAL."""
    seen = state.crashed_codes.get(code, node_id)
    state.crashed_codes[code] = node_id if seen == node_id else SEVERAL
    state.crashed_codes.move_to_end(code)
    if len(state.crashed_codes) > FUNCTIONS_REMEMBERED:
        state.crashed_codes.popitem(last=False)
    return state.crashed_codes[code]


def judge_forks(state: State, node: Node, failures: int) -> None:
    """Note how many workers in a row died before they had a task, as the node tells."""
    node.health.fork_failures = failures
    if failures >= FORK_FAILURES and not node.quarantined:
        _put_aside(state, node, f"{failures} of its workers in a row died before they had a task")


def judge_return(state: State, node: Node) -> None:
    """Note that a node that was here comes again."""
    returns = node.health.returns
    returns.append(state.now.mono)
    while returns[0] <= state.now.mono - RETURN_SECONDS:
        returns.popleft()
    if len(returns) >= RETURNS and not node.quarantined and _others_work(state, node):
        _put_aside(state, node, f"it came back {len(returns)} times within {RETURN_SECONDS:.0f} s")


def acquit(node: Node) -> None:
    """Note that a node finished a task."""
    health = node.health
    if health.crashed or health.on_trial:
        health.crashed.clear()
        health.on_trial = False
        health.sentences = 0


def parole(state: State, node: Node) -> None:
    """Try a node again when its time is over, or when nobody else is left to work."""
    if not node.quarantined:
        return
    health = node.health
    if health.fork_failures >= FORK_FAILURES:
        return
    if state.now.mono >= health.aside_until or not _others_work(state, node):
        node.quarantined = False
        health.on_trial = True
        health.crashed.clear()
        state.gain(node)


def _others_work(state: State, node: Node) -> bool:
    return any(other.takes_work for other in state.nodes.values() if other is not node)


def _put_aside(state: State, node: Node, reason: str) -> None:
    if not state.settings.quarantine:
        return
    health = node.health
    seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0**health.sentences)
    health.sentences += 1
    health.aside_until = state.now.mono + seconds
    health.returns = deque(maxlen=health.returns.maxlen)
    node.quarantined = True
    state.counters.nodes_quarantined += 1
    facts = {"node_id": node.id, "incarnation": node.hello.incarnation, "reason": reason, "seconds": seconds}
    state.emit(AppendCluster("node_quarantined", {**facts, "time": state.now.wall}))
    unbegun = tuple([lease.token for lease in node.leases.values() if lease.run.phase[lease.task] == LEASED])
    if unbegun and node.link is not None:
        state.emit(Send(node.link, Recall(unbegun)))

"""Why a task has not started: an enumerated reason and a sentence, from the core's own state.

The reasons are looked for in the order of `maze_protocol.waiting.Reason`, from what concerns the task alone to what
concerns the nodes; the first that holds is told. Each sentence names the facts and what to do, if there is something
to do. Who may go where is decided by the very predicates that placement asks (fitness.py, `placement.bar`); lacks.py
only finds the words. A task that nothing holds back may still be behind another one of its queue: then that one's
reason is its own.

A question costs a look at every node; whoever asks for many tasks asks once per kind of them (waiting.py).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nsmallest
from typing import Final, NamedTuple

import msgspec

from maze_head.core.backlog import place_of
from maze_head.core.fitness import admits, suits
from maze_head.core.lacks import lacks_now, least, lists
from maze_head.core.nodes import Node
from maze_head.core.placement import SHUN_SECONDS, bar
from maze_head.core.prospects import Survey, few, few_nodes, lacking, no_prospect, say, survey_of
from maze_head.core.ready import Place, Queue
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import FINISHED, IS_OVER, LEASED, PHASE_NAMES, READY, RUNNING, WAITING
from maze_protocol.ids import RUN, TASK, format_id
from maze_protocol.waiting import Explanation, Nearest, Reason

__all__ = ["explain", "over"]

COMPARED_AT_MOST: Final = 64
"""Of busy nodes, so many of the least loaded are looked at for the one that lacks least."""


class _Asked(NamedTuple):
    """A ready task with all that bears on its start."""

    state: State
    run: Run
    task: int
    place: Place
    queue: Queue | None
    survey: Survey
    working: list[Node]
    """The nodes that could take it and take work: only its own, if it has to run there."""


def explain(state: State, run: Run, task: int) -> Explanation:
    """Return why a task of a live run has not started, or that it has."""
    for look in _AT_TASK:
        found = look(state, run, task)
        if found is not None:
            return found
    asked = _asked(state, run, task)
    found = _held_back(asked)
    if found is None and asked.queue is not None:
        found = _behind(asked, asked.queue)
    return found or say(Reason.NEXT, "there is room for it, and it is placed at once")


def over(status: str) -> Explanation:
    """Return the answer for a task of a run that is over."""
    return say(Reason.OVER, f"the run is {status}")


# -- what concerns the task and its run -----------------------------------------------------------------------------


def _settled(state: State, run: Run, task: int) -> Explanation | None:
    phase = run.phase[task]
    return say(Reason.OVER, f"the task is {PHASE_NAMES[phase]}") if IS_OVER[phase] else None


def _held(state: State, run: Run, task: int) -> Explanation | None:
    phase = run.phase[task]
    if phase not in (LEASED, RUNNING):
        return None
    lease = state.leases.current[run.lease[task]]
    node = lease.node
    if run.halting:
        # Tasks that no node has end with the decision to stop, so only these can be met in a run that is stopping.
        return say(Reason.RUN_CANCELLING, f"the run is stopping; node {node.id} was told to stop the task", [node])
    early = lease.follows
    then = "" if early is None else f", and begins there when {run.graph.task_name(early.task)!r} has ended well"
    return say(Reason.HELD, f"the task is {PHASE_NAMES[phase]} on node {node.id}{then}", [node])


def _inputs(state: State, run: Run, task: int) -> Explanation | None:
    if run.phase[task] != WAITING:
        return None
    graph = run.graph
    sources = [graph.index[task_id] for task_id in graph.spec(task).sources()]
    sources += [source for source, target in graph.manual if target == task]
    sources += [graph.anchors[task]] if task in graph.anchors else []
    before = [source for source in dict.fromkeys(sources) if run.phase[source] != FINISHED]
    named = [f"{graph.task_name(source)!r} ({PHASE_NAMES[run.phase[source]]})" for source in before]
    return say(Reason.WAITING_INPUTS, f"the task waits for {few(named)}")


def _pause(state: State, run: Run, task: int) -> Explanation | None:
    until = run.not_before.get(task, 0.0)
    pause = until - state.now.wall
    if pause <= 0:
        return None
    text = f"the task failed {len(run.faults[task])}x and is tried again in {pause:.1f} s"
    return say(Reason.BACKOFF, text, until=until)


def _disk(state: State, run: Run, task: int) -> Explanation | None:
    if not state.read_only:
        return None
    return say(Reason.DISK_FULL, "the disk of the head's state directory is full; free space there, and it goes on")


_AT_TASK: Final[tuple[Callable[[State, Run, int], Explanation | None], ...]] = (
    _settled,
    _held,
    _inputs,
    _pause,
    _disk,
)

# -- what concerns the cluster --------------------------------------------------------------------------------------


def _asked(state: State, run: Run, task: int) -> _Asked:
    place = place_of(state, run, task)
    survey = survey_of(state, place.shape)
    working = [node for node in survey.fitting if node.takes_work and place.pin in ("", node.id)]
    return _Asked(state, run, task, place, state.ready.queues.get(place), survey, working)


def _held_back(asked: _Asked) -> Explanation | None:
    for look in _AT_CLUSTER:
        found = look(asked)
        if found is not None:
            return found
    return None


def _prospect(asked: _Asked) -> Explanation | None:
    return no_prospect(asked.survey)


def _limit(asked: _Asked) -> Explanation | None:
    limits, now = asked.place.shape.terms.limits, asked.state.now
    lack = asked.state.allowances.lacking(limits, now.mono)
    if lack is None:
        return None
    never = asked.state.allowances.impossible(limits) == lack.name
    text = f"{lack.why}; that is more than is ever allowed: raise it, or ask for less" if never else lack.why
    until = now.wall + lack.seconds if lack.seconds is not None else None
    return Explanation(Reason.LIMIT_REACHED.value, text, until=until, limit=lack.name)


def _cap(asked: _Asked) -> Explanation | None:
    project, shape, shares = asked.place.project, asked.place.shape, asked.state.shares
    lack = shares.lacking(project, shape.request, shape.terms.nodes)
    if lack is None:
        return None
    text = f"project {project!r} has {lack} that its cap allows"
    if shares.impossible(project, shape.request, shape.terms.nodes) is not None:
        text += ", and the task asks for more than all of it: raise the cap, or ask for less"
    return say(Reason.PROJECT_CAP, text)


def _pinned(asked: _Asked) -> Explanation | None:
    """Look whether the one node where it has to run has room."""
    place, now = asked.place, asked.state.now.mono
    if not place.pin:
        return None
    node = asked.state.nodes[place.pin]
    if suits(node, place.shape) and admits(node, place.shape, now):
        return None
    anchor = asked.run.graph.task_name(asked.run.graph.anchors[asked.task])
    where = f"it has to run on {node.id}, where {anchor!r} ran"
    if not node.takes_work:
        return say(Reason.SAME_NODE, f"{where}, and that node is {node.state}", [node])
    found = lacks_now(node, place.shape, now)
    text = f"{where}, and {lacking(node, found)}"
    return say(Reason.SAME_NODE, text, [node], nearest=Nearest(node.id, lists(found)))


def _room(asked: _Asked) -> Explanation | None:
    """Look whether enough nodes have room."""
    now, shape = asked.state.now.mono, asked.place.shape
    busy = [node for node in asked.working if not admits(node, shape, now)]
    if len(asked.working) - len(busy) >= shape.terms.nodes:
        return None
    emptiest = nsmallest(COMPARED_AT_MOST, busy, key=lambda node: (node.ledger.load, node.serial))
    node, found = least((node, lacks_now(node, shape, now)) for node in emptiest)
    running = few_nodes(busy, lambda node: f"{node.id} ({node.ledger.attempts} running)")
    text = f"every node that could take it is busy: {running}; nearest fit: {lacking(node, found)}{_kept(asked)}"
    return say(Reason.NO_CAPACITY_NOW, text, busy, nearest=Nearest(node.id, lists(found)))


def _kept(asked: _Asked) -> str:
    """Say where room is kept for the task, or nothing."""
    kept = asked.queue.reservation if asked.queue is not None else None
    if kept is None or asked.queue is None or _head(asked.state, asked.queue) != (asked.run, asked.task):
        return ""
    return f"; room is kept for it on {few([node.id for node in kept.nodes])}"


def _bars(asked: _Asked) -> Explanation | None:
    """Look whether the nodes with room may take this very task."""
    state, run, task, queue = asked.state, asked.run, asked.task, asked.queue
    if queue is None:
        return None
    wanted, now = asked.place.shape.terms.nodes, state.now.mono
    open_ = [node for node in asked.working if admits(node, asked.place.shape, now)]
    barred = [(node, reason) for node in open_ if (reason := bar(state, node, queue, run, task)) is not None]
    if len(open_) - len(barred) < wanted:
        return _barred(asked, barred)
    shunned = [node for node in open_ if node.id in run.avoid.get(task, ())]
    since = state.shunning.get((run.no, task))
    if since is None or len(open_) - len(barred) - len(shunned) >= wanted:
        return None
    left = max(0.0, since + SHUN_SECONDS - now)
    text = f"it failed on {few([node.id for node in shunned])}, and waits {left:.1f} s for another node"
    return say(Reason.SHUNNING, text, shunned, until=state.now.wall + left)


def _barred(asked: _Asked, barred: list[tuple[Node, Reason]]) -> Explanation:
    """Say why no node with room may take it; what it shall wait for longest comes first."""
    for reason, words in _BARRED.items():
        nodes = [node for node, why in barred if why is reason]
        if nodes:
            return words(asked, nodes)
    raise AssertionError("a bar without words")


def _for_another(asked: _Asked, nodes: list[Node]) -> Explanation:
    names, kept = few([node.id for node in nodes]), nodes[0].reservation
    whose = _head(asked.state, kept.queue) if kept is not None else None
    if whose is None:
        return say(Reason.RESERVED, f"room on {names} is kept for a task that has waited longer", nodes)
    run, task = whose
    waited = asked.state.now.mono - run.ready_at[task]
    task_id = format_id(run.graph.ids[task], TASK)
    text = (
        f"room on {names} is kept for {run.graph.task_name(task)!r} of {format_id(run.submitted.run_id, RUN)}, "
        f"which has waited {waited:.0f} s"
    )
    return msgspec.structs.replace(say(Reason.RESERVED, text, nodes), reserved_for=task_id)


def _company(asked: _Asked, nodes: list[Node]) -> Explanation:
    word = asked.place.shape.terms.apart
    names = few([node.id for node in nodes])
    text = f"it keeps apart from the tasks of its run that say {word!r}, and one is on each node with room: {names}"
    return say(Reason.APART, text, nodes)


def _too_late(asked: _Asked, nodes: list[Node]) -> Explanation:
    seconds = asked.place.shape.seconds or asked.state.longest_seconds(asked.run, asked.task) or 0.0
    text = f"it takes about {seconds:.3g} s, and the nodes with room leave before: {few([node.id for node in nodes])}"
    return say(Reason.LEAVING, f"{text}; it waits for others", nodes)


def _too_old(asked: _Asked, nodes: list[Node]) -> Explanation:
    names = few([node.id for node in nodes])
    text = f"it has large inputs, and the nodes with room are of a version that cannot fetch them: {names}; update them"
    return say(Reason.OLD_NODE, text, nodes)


_BARRED: Final[dict[Reason, Callable[[_Asked, list[Node]], Explanation]]] = {
    Reason.RESERVED: _for_another,
    Reason.APART: _company,
    Reason.LEAVING: _too_late,
    Reason.OLD_NODE: _too_old,
}
_AT_CLUSTER: Final[tuple[Callable[[_Asked], Explanation | None], ...]] = (
    _prospect,
    _limit,
    _cap,
    _pinned,
    _room,
    _bars,
)


def _behind(asked: _Asked, queue: Queue) -> Explanation | None:
    """Return what holds back the task whose turn it is in the queue, if that is another one."""
    head = _head(asked.state, queue)
    if head is None or head == (asked.run, asked.task):
        return None
    run, task = head
    found = _held_back(asked._replace(run=run, task=task))
    if found is None:
        return None
    return msgspec.structs.replace(found, text=f"it is behind {run.graph.task_name(task)!r}: {found.text}")


def _head(state: State, queue: Queue) -> tuple[Run, int] | None:
    """Return the task whose turn it is in a queue."""
    if queue.best() is None:
        return None
    run_no, task = queue.head()
    run = state.runs.get(run_no)
    return (run, task) if run is not None and run.phase[task] == READY else None

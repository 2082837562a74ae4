"""Why a task has not started: an enumerated reason and a sentence, from the core's own state.

The reasons are looked for in the order of `maze_protocol.waiting.Reason`, from what concerns the task alone to what
concerns the nodes; the first that holds is told. Each sentence names the facts and what to do, if there is something
to do. Who may go where is decided by the very predicates that placement asks; lacks.py only finds the words.

A question costs a look at every node; whoever asks for many tasks asks once per kind of them (waiting.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from maze_head.core.graph import Shape
from maze_head.core.lacks import LABEL, Lack, lacks, lacks_now, least, lists
from maze_head.core.nodes import Node
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import FINISHED, IS_OVER, LEASED, PHASE_NAMES, RUNNING, WAITING
from maze_protocol.waiting import Explanation, Nearest, Reason

__all__ = ["explain", "hopeless", "over", "unfit"]

NAMED_AT_MOST: Final = 3


class _Survey(NamedTuple):
    """The members of the cluster, as a shape sees them."""

    state: State
    shape: Shape
    members: list[Node]
    fitting: list[Node]
    """Those that could take it if they were idle and took work."""


def explain(state: State, run: Run, task: int) -> Explanation:
    """Return why a task of a live run has not started, or that it has."""
    for look in _AT_TASK:
        found = look(state, run, task)
        if found is not None:
            return found
    survey = _survey(state, run.graph.shape(task))
    for look_at in _AT_NODES:
        found = look_at(survey)
        if found is not None:
            return found
    return _say(Reason.NEXT, "there is room for it, and it is placed at once")


def over(status: str) -> Explanation:
    """Return the answer for a task of a run that is over."""
    return _say(Reason.OVER, f"the run is {status}")


def unfit(state: State, shape: Shape) -> Explanation | None:
    """Return why no member could ever take a shape, or None if one could, or if there is none to judge by."""
    survey = _survey(state, shape)
    return _unfit(survey) if survey.members else None


def hopeless(state: State, shape: Shape) -> Explanation | None:
    """Return why no member that stays could ever take a shape, also for want of any, or None if one could."""
    survey = _survey(state, shape)
    if sum(not node.draining for node in survey.fitting) >= shape.terms.nodes:
        return None
    if all(node.draining for node in survey.members):
        return _nobody(survey)
    return _unfit(survey) or _away(survey)


def _say(
    reason: Reason, text: str, nodes: Sequence[Node] = (), *, nearest: Nearest | None = None, until: float | None = None
) -> Explanation:
    return Explanation(reason.value, text, nearest, [node.id for node in nodes[:NAMED_AT_MOST]], until)


# -- what concerns the task and its run -----------------------------------------------------------------------------


def _settled(state: State, run: Run, task: int) -> Explanation | None:
    phase = run.phase[task]
    return _say(Reason.OVER, f"the task is {PHASE_NAMES[phase]}") if IS_OVER[phase] else None


def _held(state: State, run: Run, task: int) -> Explanation | None:
    phase = run.phase[task]
    if phase not in (LEASED, RUNNING):
        return None
    node = state.leases.current[run.lease[task]].node
    if run.halting:
        # Tasks that no node has end with the decision to stop, so only these can be met in a run that is stopping.
        return _say(Reason.RUN_CANCELLING, f"the run is stopping; node {node.id} was told to stop the task", [node])
    return _say(Reason.HELD, f"the task is {PHASE_NAMES[phase]} on node {node.id}", [node])


def _inputs(state: State, run: Run, task: int) -> Explanation | None:
    if run.phase[task] != WAITING:
        return None
    graph = run.graph
    sources = [graph.index[task_id] for task_id in graph.spec(task).sources()]
    sources += [source for source, target in graph.manual if target == task and source not in sources]
    before = [source for source in sources if run.phase[source] != FINISHED]
    named = [f"{graph.task_name(source)!r} ({PHASE_NAMES[run.phase[source]]})" for source in before[:NAMED_AT_MOST]]
    return _say(Reason.WAITING_INPUTS, f"the task waits for {_few(named, len(before))}")


def _pause(state: State, run: Run, task: int) -> Explanation | None:
    until = run.not_before.get(task, 0.0)
    pause = until - state.now.wall
    if pause <= 0:
        return None
    text = f"the task failed {len(run.faults[task])}x and is tried again in {pause:.1f} s"
    return _say(Reason.BACKOFF, text, until=until)


def _disk(state: State, run: Run, task: int) -> Explanation | None:
    if not state.read_only:
        return None
    return _say(Reason.DISK_FULL, "the disk of the head's state directory is full; free space there, and it goes on")


_AT_TASK: Final[tuple[Callable[[State, Run, int], Explanation | None], ...]] = (
    _settled,
    _held,
    _inputs,
    _pause,
    _disk,
)

# -- what concerns the nodes ----------------------------------------------------------------------------------------


def _survey(state: State, shape: Shape) -> _Survey:
    members = [node for node in state.nodes.values() if not node.gone]
    now = state.now.mono
    fitting = [node for node in members if could_ever(node, shape) and has_time(node, shape.seconds, now)]
    return _Survey(state, shape, members, fitting)


def _nobody(survey: _Survey) -> Explanation | None:
    if any(node.takes_work for node in survey.members):
        return None
    nodes = survey.members or list(survey.state.nodes.values())
    states = _states(nodes) or "none has joined"
    return _say(Reason.NO_NODE, f"no node can take work: {states}; start one: maze-node --head ADDRESS", nodes)


def _unfit(survey: _Survey) -> Explanation | None:
    fitting = {node.id: None for node in survey.fitting}
    if len(fitting) >= survey.shape.terms.nodes:
        return None
    return _never(survey, [node for node in survey.members if node.id not in fitting])


def _away(survey: _Survey) -> Explanation | None:
    away = [node for node in survey.fitting if not node.takes_work]
    if len(survey.fitting) - len(away) >= survey.shape.terms.nodes:
        return None
    return _say(Reason.NODE_UNAVAILABLE, f"the nodes that could take it take no work now: {_states(away)}", away)


def _busy(survey: _Survey) -> Explanation | None:
    now, shape = survey.state.now.mono, survey.shape
    working = [node for node in survey.fitting if node.takes_work]
    busy = [node for node in working if not admits(node, shape, now)]
    if len(working) - len(busy) >= shape.terms.nodes:
        return None
    node, found = least((node, lacks_now(node, shape, now)) for node in busy)
    running = _few([f"{node.id} ({node.ledger.attempts} running)" for node in busy[:NAMED_AT_MOST]], len(busy))
    text = f"every node that could take it is busy: {running}; {_lacking(node, found)}"
    return _say(Reason.NO_CAPACITY_NOW, text, busy, nearest=Nearest(node.id, lists(found)))


_AT_NODES: Final[tuple[Callable[[_Survey], Explanation | None], ...]] = (_nobody, _unfit, _away, _busy)


def could_ever(node: Node, shape: Shape) -> bool:
    """Tell whether a node, were it idle, would take a shape."""
    labels = node.hello.labels
    return (
        node.runs_python(shape.python)
        and all(key in labels and value in ("", labels[key]) for key, value in shape.terms.require)
        and node.ledger.could_fit(shape.request)
    )


def has_time(node: Node, seconds: float, now: float) -> bool:
    """Tell whether a node stays for so long."""
    return node.leaves_at is None or now + seconds <= node.leaves_at


def admits(node: Node, shape: Shape, now: float) -> bool:
    """Tell whether a node that suits takes one more attempt of a shape now."""
    return node.takes_work and node.ledger.fits(shape.request)


# -- why never ------------------------------------------------------------------------------------------------------


def _never(survey: _Survey, others: list[Node]) -> Explanation:
    """Say what keeps too many nodes from ever taking a shape; `others` are those that could not."""
    shape, fitting = survey.shape, len(survey.fitting)
    wanted, now = shape.terms.nodes, survey.state.now.mono
    if not others:
        text = f"it asks for {wanted} nodes at once, and there are {fitting}; start more, or ask for fewer"
        return _say(Reason.INFEASIBLE, text, nearest=Nearest("", {"nodes": (wanted, fitting)}))
    each = [(node, lacks(node, shape, now)) for node in others]
    node, found = least(each)
    reason = _common(each, found)
    text, missing = "no node could ever take it", lists(found)
    if wanted > 1:
        text = f"it asks for {wanted} nodes at once, and {fitting} could take their part"
        missing["nodes"] = wanted, fitting
    text = f"{text}; {_lacking(node, found)}; {_REMEDY[reason](shape)}"
    return _say(reason, text, others, nearest=Nearest(node.id, missing))


def _common(each: list[tuple[Node, list[Lack]]], nearest: list[Lack]) -> Reason:
    """Return the code: one of its own if the same is missing everywhere, or is all that the nearest lacks."""
    kinds = [{_kind(lack) for lack in found} for _, found in each]
    for reason in (Reason.PYTHON_MISMATCH, Reason.LABEL_MISMATCH):
        if all(reason in of_node for of_node in kinds):
            return reason
    alike = list(dict.fromkeys(_kind(lack) for lack in nearest))
    return alike[0] if len(alike) == 1 else Reason.INFEASIBLE


def _kind(lack: Lack) -> Reason:
    if lack.what.startswith(LABEL):
        return Reason.LABEL_MISMATCH
    return _KIND.get(lack.what, Reason.INFEASIBLE)


_KIND: Final = {"python": Reason.PYTHON_MISMATCH, "seconds": Reason.LEAVING}


def _python_remedy(shape: Shape) -> str:
    return f"start a node with Python {shape.python[0]}.{shape.python[1]}, or submit it from theirs"


def _label_remedy(shape: Shape) -> str:
    wanted = " ".join(f"--label {key}={value or 'VALUE'}" for key, value in shape.terms.require)
    return f"start a node with {wanted}"


_REMEDY: Final[dict[Reason, Callable[[Shape], str]]] = {
    Reason.INFEASIBLE: lambda shape: "ask for less, or start a node that has it",
    Reason.PYTHON_MISMATCH: _python_remedy,
    Reason.LABEL_MISMATCH: _label_remedy,
    Reason.LEAVING: lambda shape: "start a node that stays, or give it a shorter timeout",
}

# -- words ----------------------------------------------------------------------------------------------------------


def _lacking(node: Node, found: list[Lack]) -> str:
    return f"nearest fit: {node.id} {', and '.join(lack.text for lack in found)}"


def _states(nodes: Sequence[Node]) -> str:
    return _few([f"{node.id} is {node.state}" for node in nodes[:NAMED_AT_MOST]], len(nodes))


def _few(words: list[str], of: int) -> str:
    more = f" and {of - NAMED_AT_MOST} more" if of > NAMED_AT_MOST else ""
    return ", ".join(words) + more

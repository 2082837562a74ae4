"""Whether any member of the cluster could ever take a shape, and if not, why: the part of explain that needs no task.

What a member could take is decided by fitness.py, as for placement. Of what is missing the *nearest fit* is told: the
node that lacks least, and what it lacks (lacks.py). If that is another Python, a label or time alone, the code says
so, since the remedy is another one; and if the same Python or a label is missing everywhere, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from maze_head.core.fitness import could_ever, has_time
from maze_head.core.graph import Shape
from maze_head.core.lacks import LABEL, Lack, lacks, least, lists
from maze_head.core.nodes import Node
from maze_head.core.state import State
from maze_protocol.waiting import Explanation, Nearest, Reason

__all__ = ["Survey", "few", "few_nodes", "hopeless", "lacking", "no_prospect", "say", "survey_of", "unfit"]

NAMED_AT_MOST: Final = 3


class Survey(NamedTuple):
    """The members of the cluster, as a shape sees them."""

    state: State
    shape: Shape
    members: list[Node]
    fitting: list[Node]
    """Those that could take it if they were idle and took work."""


def survey_of(state: State, shape: Shape) -> Survey:
    """Look at all members for a shape."""
    members = [node for node in state.nodes.values() if not node.gone]
    now = state.now.mono
    fitting = [node for node in members if could_ever(node, shape) and has_time(node, shape.seconds, now)]
    return Survey(state, shape, members, fitting)


def unfit(state: State, shape: Shape) -> Explanation | None:
    """Return why no member could ever take a shape, or None if one could, or if there is none to judge by."""
    survey = survey_of(state, shape)
    return _unfit(survey) if survey.members else None


def hopeless(state: State, shape: Shape) -> Explanation | None:
    """Return why no member that stays could ever take a shape, also for want of any, or None if one could."""
    survey = survey_of(state, shape)
    if sum(not node.draining for node in survey.fitting) >= shape.terms.nodes:
        return None
    if all(node.draining for node in survey.members):
        return _nobody(survey)
    return _unfit(survey) or _away(survey)


def no_prospect(survey: Survey) -> Explanation | None:
    """Return why it is no use to ask which node has room: none works, none could, or none of those that could."""
    return _nobody(survey) or _unfit(survey) or _away(survey)


def say(
    reason: Reason, text: str, nodes: Sequence[Node] = (), *, nearest: Nearest | None = None, until: float | None = None
) -> Explanation:
    """Return an explanation; of the nodes the first are named."""
    return Explanation(reason.value, text, nearest, [node.id for node in nodes[:NAMED_AT_MOST]], until)


def lacking(node: Node, found: list[Lack]) -> str:
    """Say what a node lacks."""
    return f"{node.id} {', and '.join(lack.text for lack in found)}"


def few(words: Sequence[str]) -> str:
    """Join some words, and count the rest."""
    return ", ".join(words[:NAMED_AT_MOST]) + _more(len(words))


def few_nodes(nodes: Sequence[Node], words: Callable[[Node], str]) -> str:
    """Say something of the first of some nodes, and count the rest."""
    return ", ".join([words(node) for node in nodes[:NAMED_AT_MOST]]) + _more(len(nodes))


def _more(count: int) -> str:
    return f" and {count - NAMED_AT_MOST} more" if count > NAMED_AT_MOST else ""


def _nobody(survey: Survey) -> Explanation | None:
    if any(node.takes_work for node in survey.members):
        return None
    nodes = survey.members or list(survey.state.nodes.values())
    states = _states(nodes) or "none has joined"
    return say(Reason.NO_NODE, f"no node can take work: {states}; start one: maze-node --head ADDRESS", nodes)


def _away(survey: Survey) -> Explanation | None:
    away = [node for node in survey.fitting if not node.takes_work]
    if len(survey.fitting) - len(away) >= survey.shape.terms.nodes:
        return None
    return say(Reason.NODE_UNAVAILABLE, f"the nodes that could take it take no work now: {_states(away)}", away)


def _states(nodes: Sequence[Node]) -> str:
    return few_nodes(nodes, lambda node: f"{node.id} is {node.state}")


def _unfit(survey: Survey) -> Explanation | None:
    shape, fitting = survey.shape, {node.id: None for node in survey.fitting}
    wanted, now = shape.terms.nodes, survey.state.now.mono
    if len(fitting) >= wanted:
        return None
    others = [node for node in survey.members if node.id not in fitting]
    if not others:
        text = f"it asks for {wanted} nodes at once, and there are {len(fitting)}; start more, or ask for fewer"
        return say(Reason.INFEASIBLE, text, nearest=Nearest("", {"nodes": (wanted, len(fitting))}))
    each = [(node, lacks(node, shape, now)) for node in others]
    node, found = least(each)
    reason = _common(each, found)
    text, missing = "no node could ever take it", lists(found)
    if wanted > 1:
        text = f"it asks for {wanted} nodes at once, and {len(fitting)} could take their part"
        missing["nodes"] = wanted, len(fitting)
    text = f"{text}; nearest fit: {lacking(node, found)}; {_REMEDY[reason](shape)}"
    return say(reason, text, others, nearest=Nearest(node.id, missing))


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

"""Why tasks wait and for what: the reason codes, and the bodies in which the HTTP API tells them.

A code is for programs and never changes its meaning; the text beside it is for people and may. What else an
explanation knows stands in fields of its own, so that nobody has to read the text. Amounts are as declared: CPUs,
devices, MiB.
"""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = [
    "Demand", "Explanation", "Nearest", "NamedTask", "Reason", "RunExplanation", "ShapeBody", "ShapeDemand",
    "WaitingGroup",
]  # fmt: skip


class Reason(Enum):
    """Why a task has not started, in the order in which they are looked for."""

    OVER = "over"
    """It has ended, or its run has."""
    RUN_CANCELLING = "run_cancelling"
    """Its run is stopping, and its node was told to stop it."""
    HELD = "held"
    """A node has it: leased or running."""
    WAITING_INPUTS = "waiting_inputs"
    """Tasks before it are not finished."""
    BACKOFF = "backoff"
    """It failed and is tried again after a pause (`until`)."""
    DISK_FULL = "disk_full"
    """The head has no room to write down what it would start."""
    NO_NODE = "no_node"
    """No node takes any work: none has joined, or all are suspect, draining, quarantined or gone."""
    INFEASIBLE = "infeasible"
    """No node has what it asks for, even when idle (`nearest`)."""
    PYTHON_MISMATCH = "python_mismatch"
    """Nodes have room for it, but none runs the Python that its code needs."""
    LABEL_MISMATCH = "label_mismatch"
    """Nodes have room for it, but none has the labels that it requires."""
    LEAVING = "leaving"
    """All nodes that could take it leave before it can finish."""
    NODE_UNAVAILABLE = "node_unavailable"
    """The nodes that could take it take no work now: suspect, draining or quarantined; others do."""
    LIMIT_REACHED = "limit_reached"
    """A named limit is used up (`limit`; `until`, if it is a rate)."""
    PROJECT_CAP = "project_cap"
    """Its project has all that its cap allows."""
    SAME_NODE = "same_node"
    """It has to run on one certain node, which is busy or takes no work now."""
    NO_CAPACITY_NOW = "no_capacity_now"
    """All nodes that could take it are busy (`nearest`)."""
    RESERVED = "reserved"
    """Nodes have room, which is kept for a task that has waited longer (`reserved_for`)."""
    APART = "apart"
    """Every node with room has a task from which it has to keep apart."""
    OLD_NODE = "old_node"
    """It has large inputs, which the nodes with room are too old to fetch."""
    SHUNNING = "shunning"
    """It failed on the nodes that have room, and waits for another one for a moment."""
    NEXT = "next"
    """There is room: it is placed within the next pass."""


class Nearest(msgspec.Struct, frozen=True):
    """The node that lacks least of what a task asks for."""

    node: str
    lacks: dict[str, tuple[float | str, float | str]] = {}
    """What is missing (cpu, cpu_mem, gpu, gpu_mem, workers, python, seconds, label:NAME): [asked, had]."""


class Explanation(msgspec.Struct, frozen=True):
    """Why one task has not started."""

    code: str
    text: str
    nearest: Nearest | None = None
    """Of infeasible and no_capacity_now."""
    nodes: list[str] = []
    """The nodes that the code is about; some of them, if there are many."""
    until: float | None = None
    """Wall-clock time at which it goes on, if that is known."""
    limit: str = ""
    """The named limit that is used up."""
    reserved_for: str = ""
    """The id of the task for which room is kept."""


class ShapeBody(msgspec.Struct, frozen=True):
    """What tasks of one kind ask for."""

    cpu: float
    cpu_mem: int = 0
    gpu: float = 0.0
    """Whole devices, or a fraction of one; 0 with gpu_mem: a share of one by memory alone."""
    gpu_mem: int = 0
    """Per device."""
    nodes: int = 1
    require: dict[str, str] = {}
    limits: dict[str, int] = {}
    python: str = ""
    """The minor version that its code needs; empty: any."""
    seconds: float = 0.0
    """Its time limit; 0: not known."""
    sandbox: bool = False


class NamedTask(msgspec.Struct, frozen=True):
    """A task by its id and its name."""

    task_id: str
    name: str


class WaitingGroup(msgspec.Struct, frozen=True):
    """Tasks of a run that wait for the same reason and ask for the same."""

    code: str
    text: str
    """As of one of them."""
    count: int
    tasks: list[NamedTask]
    """Some of them, in the order of the graph."""
    shape: ShapeBody | None = None
    """What they ask for, where the reason has to do with it."""


class RunExplanation(msgspec.Struct, frozen=True):
    """Why tasks of a run have not started, grouped by the reason; empty if none waits."""

    run_id: str
    groups: list[WaitingGroup]
    more: int = 0
    """Tasks of further kinds, which were not looked at."""


class ShapeDemand(msgspec.Struct, frozen=True):
    """Ready tasks that ask for the same, over all runs; also those that pause before they are tried again."""

    shape: ShapeBody
    count: int
    oldest_s: float
    """Seconds that the one that has waited longest is ready."""
    code: str
    """Why they wait, as of the one that has waited longest."""


class Demand(msgspec.Struct, frozen=True):
    """What waits for nodes, by shape."""

    waiting: list[ShapeDemand]
    """The most numerous first."""
    more: int = 0
    """Tasks of further shapes."""

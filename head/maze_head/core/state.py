"""Everything the head knows, in one place, and the two ways to change it: `record` an event, `emit` an effect.

`State` holds data and no rules; the modules beside it decide (nodes.py, results.py, ends.py, placement.py, …) and
are plain functions of a State. `now` is set once per call from outside, so that all of one turn happens at one time.
The effects of one call leave in the order in which a recovery needs them: graphs, one `Append` per run, everything
else as emitted. What waits for a commit and what does not is the driver's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from maze_head.core.codes import CodeFacts
from maze_head.core.counters import Counters
from maze_head.core.effects import Append, Effect, SaveGraph
from maze_head.core.events import Instant, NodeSaid
from maze_head.core.graph import Graph
from maze_head.core.leases import Leases
from maze_head.core.nodes import Node
from maze_head.core.ready import Queue, ReadyQueues
from maze_head.core.runs import Run
from maze_head.core.workflows import Workflow
from maze_protocol import limits
from maze_protocol.events import RunEvent
from maze_protocol.http import RunBody

__all__ = ["Sealed", "Settings", "State"]

KEPT_NODES: Final = 256
"""How many lost or departed nodes are still listed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers an operator may turn. Times in seconds."""

    heartbeat: float = limits.HEARTBEAT
    suspect_after: float = limits.SUSPECT_AFTER
    lost_after: float = limits.LOST_AFTER
    disconnect_grace: float = 1.0
    """A node whose connection broke while it was well heard has so long to say HELLO again (decisions, 10)."""
    orphan_timeout: float = limits.ORPHAN_TIMEOUT
    crash_budget: int = limits.CRASH_BUDGET
    node_loss_budget: int = limits.NODE_LOSS_BUDGET
    max_pending_tasks: int = 5_000_000
    cancel_grace: float = 5.0


@dataclass(frozen=True, slots=True)
class Sealed:
    """What stays in memory of a run that is over."""

    body: RunBody
    attempts: dict[int, int]
    """Of tasks that had more than one."""


@dataclass(slots=True)
class State:
    """The head's knowledge."""

    settings: Settings
    epoch: int
    cluster_id: bytes
    now: Instant = field(default_factory=lambda: Instant(0.0, 0.0))
    workflows: dict[bytes, Workflow] = field(default_factory=dict)
    codes: dict[bytes, CodeFacts] = field(default_factory=dict)
    graphs: dict[tuple[bytes, int], Graph] = field(default_factory=dict)
    """Compiled versions: those that live runs use, and the newest that ran."""
    saved_graphs: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    """Bodies of all saved versions, during recovery only: a run may repeat one that was let go of long before."""
    runs: dict[int, Run] = field(default_factory=dict)
    """Live runs only."""
    sealed: dict[int, Sealed] = field(default_factory=dict)
    """Summaries of runs that are over; everything else about them is in the journal."""
    run_numbers: dict[bytes, int] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    links: dict[bytes, Node] = field(default_factory=dict)
    sessions: int = 0
    ready: ReadyQueues = field(default_factory=ReadyQueues)
    counters: Counters = field(default_factory=Counters)
    leases: Leases = field(init=False)
    queues: dict[int, list[Queue]] = field(default_factory=dict)
    """Per live run: its queues by the graph's number of the shape."""
    touched: dict[int, list[RunEvent]] = field(default_factory=dict)
    """Per run, the events of this call that are not emitted yet."""
    read_only: bool = False
    """The disk is full (readonly.py)."""
    unheard: list[NodeSaid] = field(default_factory=list)
    """What nodes said meanwhile, in order."""
    gained: dict[str, None] = field(default_factory=dict)
    """Nodes that have more room than at the end of the last pass."""
    graphs_to_save: list[Effect] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Tie the leases to the epoch."""
        self.leases = Leases(self.epoch)

    def emit(self, effect: Effect) -> None:
        """Order something."""
        self.effects.append(effect)

    def record(self, run: Run, event: RunEvent) -> None:
        """Let something happen in a run: its state, its log, the ready queues."""
        run.apply(event)
        events = self.touched.get(run.no)
        if events is None:
            self.touched[run.no] = [event]
        else:
            events.append(event)
        if run.fresh or run.again:
            self.enqueue(run)

    def enqueue(self, run: Run) -> None:
        """Move the tasks that became ready to their queues."""
        queues, shape_of = self.queues[run.no], run.graph.shape_of
        for task in run.fresh:
            self.ready.push(queues[shape_of[task]], run.no, task)
        for task in run.again:
            self.ready.push_front(queues[shape_of[task]], run.no, task)
        run.fresh.clear()
        run.again.clear()

    def open_run(self, run: Run) -> None:
        """Begin to keep a live run."""
        graph = run.graph
        graph.live_runs += 1
        self.runs[run.no] = run
        self.run_numbers[run.submitted.run_id] = run.no
        self.queues[run.no] = [self.ready.use(shape) for shape in graph.shapes]

    def close_run(self, run: Run, summary: RunBody) -> None:
        """Keep only the summary of a sealed run."""
        graph = run.graph
        graph.live_runs -= 1
        del self.runs[run.no]
        del self.queues[run.no]
        for shape in graph.shapes:
            self.ready.leave(shape)
        attempts = {task: count for task, count in enumerate(run.attempt) if count > 1}
        self.sealed[run.no] = Sealed(summary, attempts)
        self.drop_graph(graph)

    def drop_graph(self, graph: Graph) -> None:
        """Let go of a compiled version that no live run uses and that is not the newest."""
        workflow = self.workflows.get(graph.workflow_id)
        newest = workflow is not None and workflow.revision == graph.version
        if not graph.live_runs and not newest:
            self.graphs.pop((graph.workflow_id, graph.version), None)

    def save_graph(self, graph: Graph) -> None:
        """Have a version saved, once, ahead of the log of the run that needs it."""
        if not graph.saved:
            graph.saved = True
            self.graphs_to_save.append(SaveGraph(graph.workflow_id, graph.version, graph.encode()))

    def take_effects(self) -> list[Effect]:
        """Return the effects of this call and forget them."""
        effects = [*self.graphs_to_save, *self._appends(), *self.effects]
        self.graphs_to_save.clear()
        self.effects.clear()
        return effects

    def _appends(self) -> list[Effect]:
        effects: list[Effect] = []
        for no, events in self.touched.items():
            if events:
                effects.append(Append(no, self.runs[no].next_seq - len(events), tuple(events)))
        self.touched.clear()
        return effects

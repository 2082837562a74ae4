"""Everything the head knows, in one place, and the two ways to change it: `record` an event, `emit` an effect.

`State` holds data and no rules; the modules beside it decide (nodes.py, results.py, ends.py, placement.py, …) and
are plain functions of a State. `now` is set once per call from outside, so that all of one turn happens at one time.
The effects of one call leave in the order in which a recovery needs them: graphs, one `Append` per run, everything
else as emitted. What waits for a commit and what does not is the driver's business.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from maze_head.core.admission import Gate
from maze_head.core.allowances import Allowances
from maze_head.core.backlog import enqueue, places_of, rank_of
from maze_head.core.candidates import Rooms
from maze_head.core.codes import CodeFacts, CodeUsers
from maze_head.core.counters import Counters
from maze_head.core.discipline import Discipline
from maze_head.core.effects import Append, DropGraph, Effect, SaveGraph
from maze_head.core.events import Instant, NodeSaid
from maze_head.core.graph import Graph, Shape
from maze_head.core.keys import Keys
from maze_head.core.leases import Grant, Leases
from maze_head.core.nodes import Node
from maze_head.core.objects import Objects
from maze_head.core.observed import Observed
from maze_head.core.ready import Queue, ReadyQueues
from maze_head.core.reservation import Reservation
from maze_head.core.runs import Run
from maze_head.core.sealed import Sealed
from maze_head.core.settings import Settings
from maze_head.core.shares import Shares
from maze_head.core.shelf import Shelf
from maze_head.core.workflows import Workflow
from maze_protocol.events import (
    CancelRequested,
    ObjectGone,
    ObjectLost,
    ObjectRebuilt,
    RunEvent,
    TaskAdopted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReused,
    TaskSkipped,
    TaskStarted,
)  # fmt: skip
from maze_protocol.http import RunBody
from maze_protocol.ids import WORKFLOW, parse_id
from maze_protocol.messages import Hello
from maze_protocol.resources import Claim
from maze_protocol.waiting import Explanation

__all__ = ["EXPIRED", "REMOVED", "LostLease", "Recovered", "State"]

KEPT_NODES: Final = 256
"""How many lost or departed nodes are still listed."""
KEPT_LOST: Final = 65_536
"""How many leases given up as lost are remembered, in case their node comes back with the work done."""
EXPIRED: Final = "expired"
REMOVED: Final = "removed"
"""Why something is gone: retention, or somebody's wish."""
GONE_REMEMBERED: Final = 100_000
"""Of how many removed things it is still known that they were there."""

TASK_ENDS: Final = (TaskFinished, TaskReused, TaskFailed, TaskSkipped, TaskCancelled)
REOPENING: Final = frozenset({CancelRequested, ObjectLost, ObjectRebuilt, ObjectGone})
"""Events by which several tasks may be over, or not be over any more."""
HELD_ANYWAY: Final = frozenset({TaskLeased, TaskStarted})
"""Events that end no task, bring none back and make none ready: the most frequent ones."""

GraphKey = tuple[bytes, int]
"""Workflow id and version."""


class LostLease(NamedTuple):
    """An attempt that was given up because its node was lost."""

    run_no: int
    task: int
    claim: Claim
    holder: tuple[str, int]
    """Node id and incarnation."""
    charged: bool
    """The loss counts against the task's budget."""


@dataclass(slots=True)
class Recovered:
    """What only a recovery needs of the journal; forgotten at its end."""

    nodes: dict[str, tuple[Hello, float]] = field(default_factory=dict)
    """Members when the head died, with the time of their joining."""
    incarnations: dict[str, int] = field(default_factory=dict)
    """Of each node that was lost."""
    held: dict[int, dict[int, TaskLeased | TaskAdopted]] = field(default_factory=dict)
    """Per run, the last lease of each task that has no result."""


@dataclass(slots=True)
class State:
    """The head's knowledge."""

    settings: Settings
    epoch: int
    cluster_id: bytes
    secret: bytes = b""
    """By which the secrets of sessions are made (maze_protocol.tickets)."""
    blob_endpoint: str = ""
    """Where nodes reach the head for objects; its host is the one that they know the head by if it is empty there."""
    now: Instant = field(default_factory=lambda: Instant(0.0, 0.0))
    workflows: dict[bytes, Workflow] = field(default_factory=dict)
    codes: dict[bytes, CodeFacts] = field(default_factory=dict)
    graphs: dict[tuple[bytes, int], Graph] = field(default_factory=dict)
    """Compiled versions: those that live runs use, and the newest that ran of workflows that are at hand."""
    saved_graphs: dict[tuple[bytes, int], bytes | None] = field(default_factory=dict)
    """All saved versions, with the bodies of those that live runs are of; during recovery only."""
    runs: dict[int, Run] = field(default_factory=dict)
    """Live runs only."""
    impatient: dict[int, Run] = field(default_factory=dict)
    """Those of them that do not wait for nodes that could take their tasks."""
    sealed: dict[int, Sealed] = field(default_factory=dict)
    """Summaries of runs that are over; everything else about them is in the journal."""
    unsaved_sealed: list[int] = field(default_factory=list)
    """Runs whose summary is not in the journal yet."""
    pending: int = 0
    """Tasks of live runs that are not over."""
    run_numbers: dict[bytes, int] = field(default_factory=dict)
    last_run_no: int = 0
    graph_runs: dict[bytes, dict[int, int]] = field(default_factory=dict)
    """Per workflow and saved version of it, how many runs of that are kept."""
    idle: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    """Workflows without a name of which no run is kept, and since when (wall clock): the longest first."""
    code_users: CodeUsers = field(default_factory=CodeUsers)
    uploads: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    """Per workflow, the content hashes of uploads that were ever inputs of it: its runs may need them again."""
    gone: OrderedDict[bytes, str] = field(default_factory=OrderedDict)
    """Ids of runs and workflows that were removed, and why; the newest of them."""
    nodes: dict[str, Node] = field(default_factory=dict)
    links: dict[bytes, Node] = field(default_factory=dict)
    roster: int = 0
    """Grows whenever the members, or what they could ever take, change."""
    verdicts: dict[tuple[Shape, bool], tuple[int, float, Explanation | None]] = field(default_factory=dict)
    """Whether shapes could be taken at all: of which roster, until when (monotonic), and why not (infeasible.py)."""
    sessions: int = 0
    ready: ReadyQueues = field(init=False)
    counters: Counters = field(default_factory=Counters)
    lost: OrderedDict[int, LostLease] = field(default_factory=OrderedDict)
    crashed_codes: OrderedDict[bytes, str] = field(default_factory=OrderedDict)
    """Functions under which workers died, with the only node that has seen it (quarantine.py)."""
    shunning: dict[tuple[int, int], float] = field(default_factory=dict)
    """Since when tasks (run number, task number) wait for another node than the one that failed them."""
    recovered: Recovered = field(default_factory=Recovered)
    gate: Gate = field(default_factory=Gate)
    observed: Observed = field(default_factory=Observed)
    discipline: Discipline = field(init=False)
    leases: Leases = field(init=False)
    chains: dict[int, Grant] = field(default_factory=dict)
    """Grants that have moved on in this turn, and that early leases may follow (early.py)."""
    queues: dict[int, list[Queue]] = field(default_factory=dict)
    """Per live run: its queues by the graph's number of the shape."""
    touched: dict[int, list[RunEvent]] = field(default_factory=dict)
    """Per run, the events of this call that are not emitted yet."""
    read_only: bool = False
    """The disk is full (readonly.py)."""
    unheard: list[NodeSaid] = field(default_factory=list)
    """What nodes said meanwhile, in order."""
    rooms: Rooms = field(default_factory=Rooms)
    """Which nodes have room for what."""
    reservations: list[Reservation] = field(default_factory=list)
    looked_at: float = 0.0
    """When it was last seen to that nobody waits too long."""
    shares: Shares = field(default_factory=Shares)
    allowances: Allowances = field(default_factory=Allowances)
    turn: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    """When each project was served last, in turns."""
    objects: Objects = field(default_factory=Objects)
    shelf: Shelf = field(init=False)
    keys: Keys = field(default_factory=Keys)
    set_aside: list[tuple[Queue, int, int]] = field(default_factory=list)
    """Of the pass that is made: tasks out of their queues until its end (run number, task number)."""
    generation: int = 0
    """Of the discipline, for which all ranks are right."""
    graphs_to_save: list[Effect] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Tie together what belongs together, and make the discipline of the settings."""
        self.leases = Leases(self.epoch, self.shares, self.allowances)
        self.rooms.nodes = self.nodes
        self.ready = ReadyQueues(partial(rank_of, self), self.rooms.candidates)
        self.discipline = self.settings.order(self.observed)
        self.shelf = Shelf(self.settings.tasks_at_hand)

    def emit(self, effect: Effect) -> None:
        """Order something."""
        self.effects.append(effect)

    def record(self, run: Run, event: RunEvent) -> None:
        """Let something happen in a run: its state, its log, the ready queues."""
        (self.touched.get(run.no) or self._touch(run)).append(event)
        if type(event) in HELD_ANYWAY:
            run.apply(event)
            return
        self._apply(run, event)
        if run.fresh or run.again or run.later:
            enqueue(self, run)

    def _touch(self, run: Run) -> list[RunEvent]:
        """Return the events of this call."""
        events = self.touched.get(run.no)
        if events is None:
            events = self.touched[run.no] = []
        return events

    def record_leases(self, run: Run, leases: Sequence[TaskLeased]) -> None:
        """Let tasks of a run that are ready be leased: `record` of one after the other."""
        self._touch(run).extend(leases)
        run.apply_leases(leases)

    def record_both(self, run: Run, started: TaskStarted, finished: TaskFinished) -> None:
        """Let a task of a run begin and finish: `record` of one after the other."""
        events = self.touched.get(run.no) or self._touch(run)
        events += (started, finished)
        run.apply_both(started, finished)
        self.pending -= 1
        self.discipline.finished(run, finished.task)
        if run.fresh or run.again or run.later:
            enqueue(self, run)

    def _apply(self, run: Run, event: RunEvent) -> None:
        if isinstance(event, TASK_ENDS):
            run.apply(event)
            self.pending -= 1
            self.discipline.finished(run, event.task)
        elif type(event) in REOPENING:
            before = run.open
            run.apply(event)
            self.pending += run.open - before
        else:
            run.apply(event)

    def gain(self, node: Node) -> None:
        """Note that a node may have more room than before."""
        self.rooms.gain(node)

    def longest_seconds(self, run: Run, task: int) -> float | None:
        """Return how long an attempt of a task may be expected to run at most, if anything is known of it."""
        return self.observed.longest(run.graph.function(task))

    def keep(self, reservation: Reservation) -> None:
        """Keep room for a task."""
        self.reservations.append(reservation)
        reservation.queue.reservation = reservation
        for node in reservation.nodes:
            node.reservation = reservation

    def drop_reservation(self, reservation: Reservation) -> None:
        """Keep room for a task no longer."""
        self.reservations.remove(reservation)
        reservation.queue.reservation = None
        for node in reservation.nodes:
            node.reservation = None
            self.gain(node)

    def remember_lost(self, token: int, lost: LostLease) -> None:
        """Note what was given up, for the case that its node comes back."""
        self.lost[token] = lost
        if len(self.lost) > KEPT_LOST:
            self.lost.popitem(last=False)

    def open_run(self, run: Run) -> None:
        """Begin to keep a live run."""
        graph = run.graph
        graph.live_runs += 1
        self.runs[run.no] = run
        if not run.submitted.wait_for_capacity:
            self.impatient[run.no] = run
        self._number(run.submitted.run_id, run.no, (graph.workflow_id, graph.version))
        self.pending += run.open
        self.queues[run.no] = [self.ready.use(place) for place in places_of(run)]

    def close_run(self, run: Run, summary: RunBody) -> None:
        """Keep only the summary of a sealed run."""
        graph = run.graph
        graph.live_runs -= 1
        del self.runs[run.no]
        self.impatient.pop(run.no, None)
        for key in [key for key in self.shunning if key[0] == run.no]:
            del self.shunning[key]
        for queue in self.queues.pop(run.no):
            self.ready.leave(queue)
        self.discipline.closed(run)
        attempts = {task: count for task, count in enumerate(run.attempt) if count > 1}
        self.sealed[run.no] = Sealed(summary, attempts)
        self.unsaved_sealed.append(run.no)
        self.drop_graph(graph)

    def keep_sealed(self, number: int, run_id: bytes, graph: GraphKey, sealed: Sealed) -> None:
        """Take in the summary of a run that was over when this head started."""
        self._number(run_id, number, graph)
        self.sealed[number] = sealed

    def _number(self, run_id: bytes, number: int, graph: GraphKey) -> None:
        self.run_numbers[run_id] = number
        self.last_run_no = max(self.last_run_no, number)
        workflow_id, version = graph
        versions = self.graph_runs.setdefault(workflow_id, {})
        versions[version] = versions.get(version, 0) + 1
        self.idle.pop(workflow_id, None)

    def is_saved(self, workflow_id: bytes, version: int) -> bool:
        """Tell whether a version of a workflow's graph is in the journal."""
        return version in self.graph_runs.get(workflow_id, ())

    def runs_of(self, workflow_id: bytes) -> int:
        """Return how many runs of a workflow are kept."""
        return sum(self.graph_runs.get(workflow_id, {}).values())

    def note_idle(self, workflow_id: bytes) -> None:
        """Note that a workflow was used just now, if it is one that goes when nobody uses it (retention.py)."""
        workflow = self.workflows.get(workflow_id)
        if workflow is not None and not workflow.name and not self.runs_of(workflow_id):
            self.idle[workflow_id] = self.now.wall
            self.idle.move_to_end(workflow_id)

    def forget_run(self, number: int, run_id: bytes, reason: str) -> None:
        """Forget a run that is over, but for the fact that it was."""
        self.last_run_no = max(self.last_run_no, number)
        self._note_gone(run_id, reason)
        sealed = self.sealed.pop(number, None)
        if sealed is not None:
            del self.run_numbers[run_id]
            workflow_id = parse_id(sealed.body.workflow_id, WORKFLOW)
            self.graph_runs[workflow_id][sealed.body.revision] -= 1
            self.note_idle(workflow_id)

    def forget_workflow(self, workflow_id: bytes, codes: Sequence[bytes], reason: str) -> None:
        """Forget a workflow without runs, and the functions that only it used."""
        self._note_gone(workflow_id, reason)
        self.idle.pop(workflow_id, None)
        self.workflows.pop(workflow_id, None)  # its edits may be swept already
        self.shelf.take(workflow_id)
        for hash_ in codes:
            self.codes.pop(hash_, None)
        self.code_users.forget(workflow_id)
        self.uploads.pop(workflow_id, None)

    def use_uploads(self, workflow_id: bytes, hashes: Sequence[bytes]) -> None:
        """Note that a workflow has these uploads as inputs; they are needed as long as it is there."""
        if hashes:
            self.uploads.setdefault(workflow_id, {}).update(dict.fromkeys(hashes))

    def _note_gone(self, id_: bytes, reason: str) -> None:
        self.gone[id_] = reason
        if len(self.gone) > GONE_REMEMBERED:
            self.gone.popitem(last=False)

    def settle_graph(self, key: GraphKey) -> None:
        """Let a saved version go that no run is kept of, unless it is its workflow's newest."""
        workflow = self.workflows.get(key[0])
        newest = workflow is not None and workflow.revision == key[1]
        versions = self.graph_runs.get(key[0], {})
        if versions.get(key[1]) == 0 and not newest:
            del versions[key[1]]
            if not versions:
                del self.graph_runs[key[0]]
            self.graphs.pop(key, None)
            self.emit(DropGraph(*key))

    def drop_graph(self, graph: Graph) -> None:
        """Let go of a compiled version that no live run uses and that is not the newest of a workflow at hand."""
        workflow = self.workflows.get(graph.workflow_id)
        newest = workflow is not None and workflow.revision == graph.version
        if not graph.live_runs and (workflow is None or workflow.away or not newest):
            self.graphs.pop((graph.workflow_id, graph.version), None)

    def save_graph(self, graph: Graph) -> None:
        """Have a version saved, once, ahead of the log of the run that needs it."""
        if not self.is_saved(graph.workflow_id, graph.version):
            self.graphs_to_save.append(SaveGraph(graph.workflow_id, graph.version, graph.encode()))
        workflow = self.workflows[graph.workflow_id]
        if workflow.revision == graph.version and not workflow.away:
            self.keep_at_hand(workflow)

    def keep_at_hand(self, workflow: Workflow) -> None:
        """Note a use of a workflow whose newest revision is saved; put those away that were used longest ago."""
        for workflow_id in self.shelf.put(workflow.id, workflow.size):
            self.put_away(self.workflows[workflow_id])

    def put_away(self, workflow: Workflow) -> None:
        """Forget the tasks of a workflow whose newest revision is saved."""
        workflow.put_away()
        graph = self.graphs.get((workflow.id, workflow.revision))
        if graph is not None:
            self.drop_graph(graph)

    def take_effects(self) -> list[Effect]:
        """Return the effects of this call and forget them."""
        effects, self.effects = self.effects, []
        if not (self.graphs_to_save or self.touched):
            return effects
        before, self.graphs_to_save = self.graphs_to_save, []
        touched, self.touched = self.touched, {}
        for no, events in touched.items():
            if events:
                before.append(Append(no, self.runs[no].next_seq - len(events), tuple(events)))
        before += effects
        return before

"""What is committed, as the rules say it must go on: an account of the journal that shares nothing with the core.

Fed with each batch when it is durable, in order; every broken rule raises at the batch that breaks it. Checked here:
I1 (one accepted result), I2 (under the last token), I3 (terminal is terminal), I4 (after all predecessors; leased
early only behind the one it waits for), I8 (one
seal, last, when all is over), I9 (gapless; started before finished), I13 (budgets), I17 (nothing leased after a
cancel). When a machine has lost power, the account is made again from what is left on its disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from maze_head.batch import Batch
from maze_head.core.effects import AppendCluster, SaveGraph
from maze_head.core.graph import Graph, load_graph
from maze_head.core.settings import Settings
from maze_head.journal_writer import inline_outputs
from maze_protocol.events import (
    SEALING,
    AttemptInterrupted,
    AttemptLost,
    CancelRequested,
    ObjectGone,
    ObjectLost,
    ObjectRebuilt,
    OutputKept,
    OutputMeta,
    RunSubmitted,
    Segment,
    TaskAdopted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReleased,
    TaskReused,
    TaskSkipped,
    TaskStarted,
    TaskWarned,
)  # fmt: skip
from maze_protocol.values import ObjectRef

OPEN, LEASED, RUNNING = "open", "leased", "running"
OVER = ("finished", "failed", "skipped", "cancelled")
OWN = ("user", "timeout")
"""Kinds of errors that a task's author may have tried again."""
BUDGETS = {"crash": Settings().crash_budget, "node_lost": Settings().node_loss_budget}


@dataclass
class TaskFacts:
    """What the log says of one task."""

    state: str = OPEN
    attempt: int = 0
    lease: int = 0
    node: str = ""
    grant: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    not_before: float = 0.0
    rebuilding: bool = False
    """It was finished, and runs once more for objects that were lost."""
    made: tuple[int, str] = (0, "")
    """The lease that made its objects last, and where; no node: none."""
    kept: tuple[int, ...] = ()
    """Outputs that the head keeps."""

    @property
    def own(self) -> int:
        """Return how many errors of its own the task has had."""
        return sum(self.faults.get(kind, 0) for kind in OWN)


@dataclass
class RunFacts:
    """What the log says of one run."""

    submitted: RunSubmitted
    graph: Graph
    tasks: list[TaskFacts]
    before: list[list[int]]
    last_seq: int = 0
    halting: bool = False
    cancelled: bool = False
    sealed: Any = None
    owed: set[int] = field(default_factory=set)
    """Tasks whose objects the head is to keep and has not yet."""
    segments: list[Segment] = field(default_factory=list)

    def once(self, task: int) -> bool:
        """Tell whether a task may be begun once only."""
        return self.graph.spec(task).at_most_once

    def node_of(self, task: int) -> str:
        """Return the node that a task was leased to last."""
        return self.tasks[task].node

    def name(self, task: int) -> str:
        """Return what identifies a task's plan: its name, which tells its workflow."""
        return self.graph.task_name(task)


class History:
    """The account."""

    def __init__(
        self, told_ok: Callable[[int], bool], output_of: Callable[[str, list[bytes]], bytes], *, steady: bool
    ) -> None:
        self._told_ok = told_ok
        self._output_of = output_of
        self._steady = steady
        """Wall clocks are right."""
        self._time = 0.0
        self.fed = 0
        self.workflows: set[bytes] = set()
        self.edits: set[tuple[bytes, str]] = set()
        self.graphs: dict[tuple[bytes, int], Graph] = {}
        self.bodies: dict[tuple[bytes, int], bytes] = {}
        self.runs: dict[int, RunFacts] = {}
        self.numbers: dict[bytes, int] = {}
        self.accepted: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._objects: dict[tuple[int, int], ObjectRef] = {}
        """Accepted results that are objects."""
        self.leased: dict[int, tuple[int, int]] = {}
        """Every lease ever made: token -> (run, task)."""
        self.ended: set[int] = set()
        """Leases that are out of force by something committed."""

    def feed(self, batch: Batch) -> None:
        """Go on by one batch."""
        self.fed += 1
        for fact in batch.facts:
            self._fact(fact)
        for accept in batch.accepted:
            key = accept.run_no, accept.task_no
            assert key not in self.accepted, f"I1: a second accepted result of {key}"
            (value,) = [output.value for output in inline_outputs(accept) if output.key == "y"]
            self.accepted[key] = accept.lease, value.body
            if value.ref is not None:
                assert value.ref.holders == (), f"who held it once is no part of what is accepted: {value}"
                self._objects[key] = value.ref
        for copy in batch.copies:
            for task in copy.tasks:
                assert (copy.run_no, task) not in self.accepted, f"I1: a copy over an accepted result: {copy}"
                self.accepted[copy.run_no, task] = self.accepted[copy.from_run_no, task]
        for run_no, segment in batch.segments():
            self._segment(run_no, segment)

    def _fact(self, fact: SaveGraph | AppendCluster) -> None:
        if isinstance(fact, SaveGraph):
            graph = load_graph(fact.workflow_id, fact.version, fact.body)
            self.graphs[fact.workflow_id, fact.version] = graph
            self.bodies[fact.workflow_id, fact.version] = fact.body
        elif fact.kind == "workflow_created":
            self.workflows.add(fact.body["workflow_id"])
        elif fact.kind == "workflow_edited":
            self.edits.add((fact.body["workflow_id"], fact.body["edit_id"]))

    def _segment(self, run_no: int, segment: Segment) -> None:
        first = segment.events[0]
        if isinstance(first, RunSubmitted):
            assert run_no not in self.runs, f"run {run_no} was submitted twice"
            assert first.run_id not in self.numbers, "two runs of one id"
            self._open(run_no, first)
        run, self._time = self.runs[run_no], segment.time
        assert segment.first_seq == run.last_seq + 1, f"I9: {segment.first_seq} follows {run.last_seq}"
        for event in segment.events:
            assert run.sealed is None, f"I8: {event} after the seal"
            run.last_seq += 1
            self._event(run_no, run, event)
        run.segments.append(segment)
        over = all(task.state in OVER for task in run.tasks) and not run.owed
        assert over == (run.sealed is not None), f"I8: over {over}, sealed {run.sealed}"

    def _open(self, run_no: int, event: RunSubmitted) -> None:
        graph = self.graphs[event.workflow_id, event.version]
        before: list[list[int]] = [[] for _ in range(len(graph))]
        for source in range(len(graph)):
            for target in graph.after(source):
                before[target].append(source)
        self.runs[run_no] = RunFacts(event, graph, [TaskFacts() for _ in range(len(graph))], before)
        self.numbers[event.run_id] = run_no

    def _event(self, run_no: int, run: RunFacts, event: Any) -> None:
        if isinstance(event, SEALING):
            run.sealed = event
        elif isinstance(event, CancelRequested):
            run.halting = run.cancelled = True
            for task in run.tasks:
                if task.state == OPEN:
                    task.state = "cancelled"
        elif not isinstance(event, (RunSubmitted, TaskWarned)):
            task = run.tasks[event.task]
            about_objects = isinstance(event, (OutputKept, ObjectLost, ObjectGone))
            assert task.state not in OVER or about_objects, f"I3: {event} though it is {task.state}"
            _ON[type(event)](self, run_no, run, task, event)

    def _lease(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskLeased | TaskAdopted) -> None:
        assert task.state == OPEN, f"leased while {task.state}: {event}"
        assert not run.halting, f"I17: leased after the run was stopped: {event}"
        lacking = [source for source in run.before[event.task] if run.tasks[source].state != "finished"]
        if lacking:
            self._check_early(run, lacking, event)
        assert event.lease not in self.leased, f"a token is used twice: {event}"
        assert event.lease > task.lease, f"tokens must grow: {event} after {task.lease}"
        assert event.attempt > task.attempt, f"attempts must grow: {event} after {task.attempt}"
        if self._steady:
            assert self._time >= task.not_before, f"tried again {task.not_before - self._time} s too early: {event}"
        self.leased[event.lease] = run_no, event.task
        task.state, task.lease, task.attempt, task.node = LEASED, event.lease, event.attempt, event.node
        task.grant = event.grant or event.lease if isinstance(event, TaskLeased) else event.lease

    def _check_early(self, run: RunFacts, lacking: list[int], event: TaskLeased | TaskAdopted) -> None:
        """I4: leased before all is accepted that it needs, it is behind the one task that it waits for."""
        (source,) = run.before[event.task]
        before = run.tasks[source]
        assert lacking == [source], f"I4: leased before {lacking} were accepted: {event}"
        assert before.state in (LEASED, RUNNING), f"I4: leased before task {source} was: {event}"
        assert not before.rebuilding, f"I4: leased while task {source} runs again: {event}"
        assert isinstance(event, TaskLeased), f"I4: adopted before task {source} was accepted: {event}"
        assert (event.node, event.grant) == (before.node, before.grant), f"I4: not behind task {source}: {event}"
        assert not run.once(event.task), f"early, though it may begin once only: {event}"
        assert not run.once(source), f"early, though what it waits for may begin once only: {event}"

    def _adopt(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskAdopted) -> None:
        self._lease(run_no, run, task, event)
        if event.refunded:
            task.faults["node_lost"] -= 1

    def _start(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskStarted) -> None:
        assert (task.state, task.lease) == (LEASED, event.lease), f"started while {task}: {event}"
        for source in run.before[event.task]:
            accepted = run.tasks[source].state == "finished" or run.tasks[source].rebuilding
            assert accepted, f"I4: started before task {source} was accepted: {event}"
        task.state = RUNNING

    def _finish(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskFinished) -> None:
        assert task.state == RUNNING, f"I9: finished while {task.state}: {event}"
        assert event.lease == task.lease, f"I2: accepted under {event.lease}, the last is {task.lease}"
        lease, body = self.accepted[run_no, event.task]
        assert lease == event.lease, f"I2: the accepted row has {lease}, the log {event.lease}"
        assert self._told_ok(lease), f"I2: nobody who holds {lease} ever told of a success"
        inputs = [self.accepted[run_no, source][1] for source in run.before[event.task]]
        expected = self._output_of(run.name(event.task), inputs)
        ref = self._objects.get((run_no, event.task))
        if ref is None:
            assert body == expected, f"I5: another result than the inputs give: {event}"
        else:
            assert (ref.size, ref.crc) == (len(expected), crc32(expected)), f"I5: another object: {event}"
            self.accepted[run_no, event.task] = lease, expected
        self._end(run, task, event.task, event.outputs)
        task.made = event.lease, event.node
        self.ended.add(event.lease)

    def _end(self, run: RunFacts, task: TaskFacts, number: int, outputs: tuple[OutputMeta, ...]) -> None:
        task.state, task.faults, task.not_before = "finished", {}, 0.0
        if outputs[0].object and (not run.graph.after(number) or run.graph.spec(number).keep):
            run.owed.add(number)

    def _kept(self, run_no: int, run: RunFacts, task: TaskFacts, event: OutputKept) -> None:
        run.owed.discard(event.task)
        task.kept = (event.output,)

    def _object_lost(self, run_no: int, run: RunFacts, task: TaskFacts, event: ObjectLost) -> None:
        assert task.state == "finished", f"lost while {task.state}: {event}"
        assert not run.once(event.task), f"run again though it may begin once only: {event}"
        assert not run.halting, f"run again though the run stops: {event}"
        task.state, task.rebuilding = OPEN, True

    def _rebuilt(self, run_no: int, run: RunFacts, task: TaskFacts, event: ObjectRebuilt) -> None:
        assert task.rebuilding, f"made anew though nothing was lost: {event}"
        assert (task.state, task.lease) == (RUNNING, event.lease), f"made anew while {task}: {event}"
        body = self.accepted[run_no, event.task][1]
        assert event.outputs[0].crc == crc32(body), f"I5: another object than before: {event}"
        assert not event.diverged, f"told to differ: {event}"
        task.made = event.lease, event.node
        task.state, task.rebuilding, task.faults, task.not_before = "finished", False, {}, 0.0
        self.ended.add(event.lease)

    def _gone(self, run_no: int, run: RunFacts, task: TaskFacts, event: ObjectGone) -> None:
        assert task.state == "finished" or task.rebuilding, f"gone while {task.state}: {event}"
        if task.rebuilding:
            self.ended.add(task.lease)
        task.state, task.rebuilding, task.faults, task.not_before = "finished", False, {}, 0.0
        if event.outputs:
            run.owed.discard(event.task)

    def _reuse(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskReused) -> None:
        assert task.state == OPEN, f"reused while {task.state}: {event}"
        earlier = self.numbers[run.submitted.retry_of]
        assert self.runs[earlier].tasks[event.task].state == "finished", f"reused without a result: {event}"
        assert self.accepted[run_no, event.task] == self.accepted[earlier, event.task], f"another result: {event}"
        made = self.runs[earlier].tasks[event.task].made
        assert (event.lease, event.node) in (made, (0, "")), f"objects of another lease than {made}: {event}"
        self._end(run, task, event.task, event.outputs)
        task.made = event.lease, event.node

    def _fail(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskFailed) -> None:
        begun = task.state == RUNNING or (task.state == LEASED and run.once(event.task))
        assert begun or task.state == OPEN, f"failed while {task.state}: {event}"
        kind = event.error.kind
        if kind in OWN:
            allowed = run.graph.spec(event.task).retries
            assert task.own == allowed, f"I13: failed after {task.own} retries of {allowed}: {event}"
        if kind in BUDGETS and not run.once(event.task):
            faults = task.faults.get(kind, 0) + 1
            assert faults == BUDGETS[kind], f"I13: failed at {faults} faults of {kind}: {event}"
        task.state = "failed"
        self.ended.add(event.lease)
        run.halting = run.halting or run.submitted.fail_fast

    def _lose(self, run_no: int, run: RunFacts, task: TaskFacts, event: AttemptLost) -> None:
        assert task.state == RUNNING, f"lost while {task.state}: {event}"
        assert not run.once(event.task), f"tried again though it may begin once only: {event}"
        self._end_lease(task, event.lease)
        task.not_before = event.not_before
        kind = event.error.kind
        task.faults[kind] = task.faults.get(kind, 0) + 1
        if kind in BUDGETS:
            assert task.faults[kind] < BUDGETS[kind], f"I13: {task.faults[kind]} faults of {kind}: {event}"
        elif kind in OWN:
            allowed = run.graph.spec(event.task).retries
            assert task.own <= allowed, f"I13: retry {task.own} of {allowed}: {event}"

    def _return(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskReleased | AttemptInterrupted) -> None:
        assert task.state in (LEASED, RUNNING), f"returned while {task.state}: {event}"
        self._end_lease(task, event.lease)

    def _end_lease(self, task: TaskFacts, lease: int) -> None:
        assert lease == task.lease, f"I7: {lease} ends, {task.lease} is in force"
        self.ended.add(lease)
        task.state = OPEN

    def _skip(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskSkipped) -> None:
        assert task.state == OPEN, f"skipped while {task.state}: {event}"
        task.state = "skipped"

    def _cancel(self, run_no: int, run: RunFacts, task: TaskFacts, event: TaskCancelled) -> None:
        assert run.halting, f"cancelled in a run that goes on: {event}"
        self.ended.add(task.lease)
        task.state = "cancelled"

    def results_of(self, run_no: int) -> tuple[tuple[int, tuple[OutputMeta, ...]], ...]:
        """Return the results of a run with their outputs, in the order in which they came to be."""
        events = (event for segment in self.runs[run_no].segments for event in segment.events)
        return tuple((each.task, each.outputs) for each in events if isinstance(each, (TaskFinished, TaskReused)))

    def made_in(self, run_no: int) -> tuple[tuple[int, int, str, tuple[int, ...]], ...]:
        """Return where the objects of a run were made, and which of them the head keeps."""
        tasks = enumerate(self.runs[run_no].tasks)
        return tuple((number, *task.made, task.kept) for number, task in tasks if task.made[1])


_ON: dict[type, Callable[..., None]] = {
    TaskLeased: History._lease,
    TaskAdopted: History._adopt,
    TaskStarted: History._start,
    TaskFinished: History._finish,
    TaskReused: History._reuse,
    OutputKept: History._kept,
    ObjectLost: History._object_lost,
    ObjectRebuilt: History._rebuilt,
    ObjectGone: History._gone,
    TaskFailed: History._fail,
    AttemptLost: History._lose,
    TaskReleased: History._return,
    AttemptInterrupted: History._return,
    TaskSkipped: History._skip,
    TaskCancelled: History._cancel,
}

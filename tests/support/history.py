"""A head's core over a real journal, without sockets or loop: turns are made by hand and committed at once.

The clock stands still unless a test moves it. `History.open` on the same directory again is a restart.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from maze_head.batch import Batch, Durable
from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Rejected
from maze_head.core.invariants import check
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.journal import PROCESS, ClusterRow, GraphRow, Journal, SealedRow, SegmentRow
from maze_protocol.http import EditRequest, Op, RunRequest, WorkflowRequest
from maze_protocol.ids import WORKFLOW, format_id
from maze_protocol.messages import Outcome, Result
from maze_protocol.resources import Capacity
from support.graphs import graph_read
from support.head_core import CODE_BODY, hello, ok

LINK = b"link"
WALL = 1_700_000_000.0


class History:
    """One life of a head on a state directory."""

    def __init__(self, directory: Path, settings: Settings | None = None, wall: float = WALL) -> None:
        self.journal = Journal.open(directory, PROCESS, wall)
        self.core = HeadCore(settings or Settings(), self.journal.epoch, self.journal.cluster_id)
        self.wall = wall
        self.mono = 1000.0
        self.leases: list[int] = []
        self.replies: list[Any] = []
        with ExitStack() as undo:
            undo.callback(self.journal.close)
            for row in self.journal.load():
                self._restore(row)
            undo.pop_all()
        self._finish(self.core.restored(self.now))

    @property
    def now(self) -> ev.Instant:
        return ev.Instant(self.mono, self.wall)

    def close(self) -> None:
        """Stop as cleanly as a head does."""
        self.journal.close()

    def turn(self, *events: ev.Event) -> list[fx.Effect]:
        """Make one turn of the driver and commit it; graphs that it wants are read and taken in in a further turn."""
        made = [effect for event in events for effect in self.core.handle(event, self.now)]
        effects = self._finish([*made, *self.core.schedule(self.now)])
        for order in [effect for effect in effects if isinstance(effect, fx.ReadGraph)]:
            body = self.journal.graph(order.workflow_id, order.version)
            effects = [*effects, *self.turn(graph_read(order.workflow_id, order.version, body))]
        return effects

    def fetch(self) -> History:
        """Bring every workflow that is put away to hand, as commands that need it do; return this life."""
        for flow in list(self.core.state.workflows.values()):
            if flow.away:
                self.turn(graph_read(flow.id, flow.revision, self.journal.graph(flow.id, flow.revision)))
        return self

    def ask(self, make: Any, *arguments: Any) -> Any:
        """Send a command and return its answer; raise if it was refused."""
        (answer,) = [effect.value for effect in self.turn(make(1, *arguments)) if isinstance(effect, fx.Reply)]
        if isinstance(answer, Rejected):
            raise answer
        return answer

    def greet(self) -> None:
        """Let a large node join."""
        self.turn(ev.NodeGreeted(LINK, hello(capacity=Capacity(1_000_000, 1_000_000, (), 1_000))))

    def submit(self, number: int, *ops: Op, workflow: int | None = None, **given: Any) -> bytes:
        """Run a workflow of these operations (none: as it is); return the id of the run."""
        workflow_id = (number if workflow is None else workflow).to_bytes(16, "big")
        self.ask(ev.CreateWorkflow, workflow_id, WorkflowRequest(name=f"w{number}"))
        if ops:
            self.ask(ev.EditWorkflow, workflow_id, EditRequest(list(ops), [CODE_BODY]))
        run_id = number.to_bytes(16, "big")
        self.ask(ev.SubmitRun, run_id, RunRequest(format_id(workflow_id, WORKFLOW), **given))
        return run_id

    def report(self, *outcomes: Outcome) -> None:
        """Let the node report ends of attempts."""
        self.turn(ev.NodeSaid(LINK, Result(outcomes)))

    def finish(self) -> None:
        """Let the node end well whatever it gets, until it gets nothing more."""
        while self.leases:
            leases, self.leases = self.leases, []
            self.report(*(ok(lease) for lease in leases))

    def tick(self, seconds: float = 0.25) -> None:
        """Let time pass."""
        self.mono += seconds
        self.wall += seconds
        self.turn(ev.Ticked())

    def _finish(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        batch = Batch(self.journal.epoch, self.wall)
        for effect in effects:
            if isinstance(effect, Durable):
                batch.add(effect)
            elif isinstance(effect, fx.AssignTask):
                self.leases.append(effect.assignment.lease)
        if batch:
            commit(self.journal, batch)
        check(self.core.state)
        return effects

    def _restore(self, row: object) -> None:
        match row:
            case SegmentRow(run_no, segment):
                self.core.restore_segment(run_no, segment)
            case SealedRow(run_no, body):
                self.core.restore_sealed(run_no, body)
            case GraphRow(workflow_id, version, body):
                self.core.restore_graph(workflow_id, version, body)
            case ClusterRow(kind, body, wall):
                self.core.restore_cluster(kind, body, wall)


def commit(journal: Journal, batch: Batch) -> None:
    """Commit a batch and wait for it; raise what went wrong."""
    done = threading.Event()
    problem: list[BaseException] = []

    def finish(error: BaseException | None) -> None:
        if error is not None:
            problem.append(error)
        done.set()

    journal.submit(batch, finish)
    assert done.wait(30)
    if problem:
        raise problem[0]

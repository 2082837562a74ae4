"""A head's core in a test: terse verbs, a fake clock, a journal, and effects that must all be looked at.

`Head` feeds events and keeps every effect until a test takes it; `done()` fails if any is left, so nothing extra slips
through. After each step the invariants are checked, and that nothing was given twice. `journal` holds the durable
effects in commit order, as the driver would write them (one segment per run and step), and `recover()` makes a new core
from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Rejected
from maze_head.core.invariants import check
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.core.snapshot import Snapshot
from maze_head.core.workflows import Workflow
from maze_protocol.events import RunEvent, Segment
from maze_protocol.http import (
    AddEdge,
    AddTask,
    CodeBody,
    EditRequest,
    InputBody,
    Op,
    RunRequest,
    TaskBody,
    WorkflowRequest,
)  # fmt: skip
from maze_protocol.ids import TASK, WORKFLOW, format_id
from maze_protocol.messages import (
    OK,
    ErrorInfo,
    Heartbeat,
    Held,
    Hello,
    Holding,
    Message,
    Outcome,
    Result,
    Started,
    StartedItem,
)  # fmt: skip
from maze_protocol.resources import Capacity, Device
from maze_protocol.values import MSGPACK, ObjectRef, OutputValue, Value
from support.grants import Grants
from support.graphs import graph_read

E = TypeVar("E")
CLUSTER = b"C" * 16
SOURCE = b"cloudpickle of a function"
CODE = hashlib.blake2b(SOURCE, digest_size=16).hexdigest()
CODE_BODY = CodeBody(CODE, "pickle", (3, 11), SOURCE, "f")
W = b"w" * 16
R = b"r" * 16
DURABLE = (fx.Append, fx.Accept, fx.CopyAccepted, fx.SaveGraph, fx.SaveCode, fx.SaveLog, fx.AppendCluster)


def raw(number: int) -> bytes:
    """Return the sixteen bytes of the numbered task."""
    return number.to_bytes(16, "big")


def tid(number: int) -> str:
    """Return the id of the numbered task."""
    return format_id(raw(number), TASK)


def task(number: int, *sources: int, **given: Any) -> TaskBody:
    """Return a task t{number} that takes output `y` of each source and gives `y`."""
    inputs = {f"x{source}": InputBody(source=f"{tid(source)}.output.y") for source in sources}
    fields: dict[str, Any] = {"name": f"t{number}", "code": CODE, "inputs": inputs, "outputs": ["y"], **given}
    return TaskBody(tid(number), **fields)


def add(number: int, *sources: int, **given: Any) -> AddTask:
    """Return the operation that adds `task(...)`."""
    return AddTask(task(number, *sources, **given))


def edge(source: int, target: int) -> AddEdge:
    """Return the operation that adds a manual edge."""
    return AddEdge(tid(source), tid(target))


def hello(name: str = "n1", incarnation: int = 1, **given: Any) -> Hello:
    """Return a HELLO of a node with 4 CPUs, 4 GiB and no GPU unless told otherwise."""
    capacity = given.pop("capacity", None) or Capacity(4000, 4096, (), 16)
    python = given.pop("python", (3, 11, 9))
    return Hello(1, 1, given.pop("minor", 0), name, incarnation, capacity, python, "0.1", address="10.0.0.1", **given)


def gpus(*memory: int, cpu: int = 8000) -> Capacity:
    """Return a capacity with one device per amount of memory."""
    return Capacity(cpu, 65536, tuple(Device(index, mem) for index, mem in enumerate(memory)), 64)


def ok(lease: int, size: int = 1, key: str = "y", wall_ms: float = 250.0, **given: Any) -> Outcome:
    """Return a success with one output of that size; by default it took too long for others to queue behind."""
    return Outcome(lease, OK, 1e9, wall_ms, (OutputValue(key, Value(MSGPACK, size, b"\x01" * size)),), **given)


def large(lease: int, size: int = 1 << 20, key: str = "y", **given: Any) -> Outcome:
    """Return a success with one output that is an object of that size."""
    value = Value(MSGPACK, size, ref=ObjectRef(lease, 0, size, 7))
    return Outcome(lease, OK, 1e9, 2.5, (OutputValue(key, value, "numpy.ndarray"),), **given)


def ended(lease: int, status: int, kind: str, **given: Any) -> Outcome:
    """Return another end of an attempt."""
    return Outcome(lease, status, 1e9, 2.5, error=ErrorInfo(kind, given.pop("name", "Boom"), "bad thing", **given))


class Head:
    """One life of a head, driven by hand."""

    def __init__(self, settings: Settings | None = None, epoch: int = 1, *, journal: list[Any] | None = None) -> None:
        self.settings = settings or Settings()
        self.core = HeadCore(self.settings, epoch, CLUSTER)
        self.mono = 1000.0 * epoch
        self.effects: list[fx.Effect] = []
        self.journal: list[Any] = [] if journal is None else journal
        self.grants = Grants()
        self._ticket = 0

    @property
    def now(self) -> ev.Instant:
        return ev.Instant(self.mono, 1e9 + self.mono)

    def do(self, event: ev.Event) -> list[fx.Effect]:
        """Feed one event and run one placement pass, as one turn of the driver."""
        effects = self._took([*self.core.handle(event, self.now), *self.core.schedule(self.now)])
        for order in [effect for effect in effects if isinstance(effect, fx.ReadGraph)]:
            self.effects.remove(order)
            effects = [*effects, *self.do(self.graph_read(order.workflow_id, order.version))]
        return effects

    def graph_read(self, *key: Any) -> ev.GraphRead:
        """Return what the core is told of a graph (workflow id, version)."""
        return graph_read(*key, self.saved_graph(*key))

    def saved_graph(self, *key: Any) -> bytes | None:
        """Return what the journal has of a graph (workflow id, version)."""
        saved = [row.body for row in self.journal if isinstance(row, fx.SaveGraph)
                 and (row.workflow_id, row.version) == key]  # fmt: skip
        return saved[0] if saved else None

    def fetch(self) -> Head:
        """Bring every workflow that is put away to hand, as commands that need it do; return this head."""
        for flow in list(self.core.state.workflows.values()):
            if flow.away:
                self.do(self.graph_read(flow.id, flow.revision))
        return self

    def _took(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        # Summaries only spare a recovery the logs of runs that are over; the tests' own recovery reads these.
        self.effects += [effect for effect in effects if not isinstance(effect, fx.SaveSealed)]
        self._commit(effects)
        check(self.core.state)
        self.grants.look(self.core.state)
        return effects

    def _commit(self, effects: Sequence[fx.Effect]) -> None:
        segments: dict[int, list[fx.Append]] = {}
        # As in a batch of the driver, facts stand before the segments of the same turn.
        for effect in sorted(effects, key=lambda effect: isinstance(effect, fx.Append)):
            if isinstance(effect, fx.Append):
                assert effect.events, "an empty Append"
                if effect.run_no not in segments:
                    self.journal.append((effect.run_no, segments.setdefault(effect.run_no, [])))
                segments[effect.run_no].append(effect)
            elif isinstance(effect, DURABLE):
                self.journal.append(effect)
        for place, row in enumerate(self.journal):
            if isinstance(row, tuple) and isinstance(row[1], list):
                self.journal[place] = (row[0], _segment(self.core.state.epoch, self.now.wall, row[1]))

    def recover(self) -> Head:
        """Kill this head and start another one from what was committed."""
        other = self.replay()
        other.grants = self.grants
        other._took(other.core.restored(other.now))
        return other

    def replay(self) -> Head:
        """Return a head that has read the journal and not yet judged it."""
        other = Head(self.settings, self.core.state.epoch + 1, journal=self.journal)
        other.mono = self.mono + 1
        restore(other.core, self.journal, other.now.wall)
        return other

    def ask(self, make: Any, *arguments: Any, **given: Any) -> Any:
        """Send a command and return its answer, taken out of the effects and written out; raise if it was refused."""
        self._ticket += 1
        self.do(make(self._ticket, *arguments, **given))
        answers = [effect for effect in self.take(fx.Reply) if effect.ticket == self._ticket]
        assert len(answers) == 1, f"{len(answers)} answers to one command"
        answer = answers[0].value
        if isinstance(answer, Rejected):
            raise answer
        return answer.body() if isinstance(answer, Snapshot) else answer

    def workflow(self, *ops: Op, workflow_id: bytes = W, **given: Any) -> None:
        """Make a workflow with these operations; the effects are taken."""
        self.ask(ev.CreateWorkflow, workflow_id, WorkflowRequest(name="test"))
        self.edit(*ops, workflow_id=workflow_id, **given)
        self.take(fx.AppendCluster)
        self.take(fx.SaveCode)

    def edit(self, *ops: Op, workflow_id: bytes = W, **given: Any) -> Any:
        """Edit a workflow."""
        codes = given.pop("codes", [CODE_BODY])
        return self.ask(ev.EditWorkflow, workflow_id, EditRequest(list(ops), codes, **given))

    def run(self, run_id: bytes = R, workflow_id: bytes = W, **given: Any) -> Any:
        """Submit a run; returns the reply."""
        return self.ask(ev.SubmitRun, run_id, RunRequest(format_id(workflow_id, WORKFLOW), **given))

    def greet(self, link: bytes = b"L1", name: str = "n1", incarnation: int = 1, **given: Any) -> list[fx.Effect]:
        """Let a node say HELLO."""
        return self.do(ev.NodeGreeted(link, hello(name, incarnation, **given)))

    def meet(self, link: bytes = b"L1", name: str = "n1", incarnation: int = 1, **given: Any) -> None:
        """Let a node that knows objects say HELLO and tell that it has none; the effects are taken."""
        given = {"minor": 3, "peer_endpoint": f"tcp://{name}:1", "peer_key": f"key of {name}", **given}
        self.greet(link, name, incarnation, **given)
        self.say(Holding((), whole=True), link)
        self.take(fx.Admit)
        self.take(fx.AppendCluster)

    def say(self, message: Message, link: bytes = b"L1", payloads: tuple[bytes, ...] = ()) -> list[fx.Effect]:
        """Let a node say something."""
        return self.do(ev.NodeSaid(link, message, payloads))

    def result(self, *outcomes: Outcome, link: bytes = b"L1") -> list[fx.Effect]:
        """Let a node report ends of attempts."""
        return self.say(Result(outcomes), link)

    def started(self, *leases: int, link: bytes = b"L1") -> list[fx.Effect]:
        """Let a node report starts."""
        return self.say(Started(tuple(StartedItem(lease, 1e9) for lease in leases)), link)

    def beat(self, link: bytes = b"L1") -> list[fx.Effect]:
        """Let a node live."""
        return self.say(Heartbeat(0.0), link)

    def wait(self, seconds: float, stall: float = 0.0) -> list[fx.Effect]:
        """Let time pass, and tick."""
        self.mono += seconds
        return self.do(ev.Ticked(stall))

    def take(self, kind: type[E]) -> list[E]:
        """Take all effects of a kind out of what must be looked at."""
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found

    def log(self, run_no: int = 1) -> list[RunEvent]:
        """Take the run's events since the last look."""
        mine = self.take(fx.Append)
        self.effects += [effect for effect in mine if effect.run_no != run_no]
        return [event for effect in mine if effect.run_no == run_no for event in effect.events]

    def kinds(self, run_no: int = 1) -> list[str]:
        """Take the names of the run's events since the last look."""
        return [type(event).__name__ for event in self.log(run_no)]

    def leases(self) -> list[int]:
        """Take the assignments and return their tokens."""
        return [effect.assignment.lease for effect in self.take(fx.AssignTask)]

    def forget(self) -> None:
        """Take everything."""
        self.effects.clear()

    def done(self) -> None:
        """Fail unless every effect was taken."""
        assert self.effects == [], "effects that the test did not expect"


def _segment(epoch: int, wall: float, appends: list[fx.Append]) -> Segment:
    events = tuple(event for append in appends for event in append.events)
    return Segment(epoch, wall, appends[0].first_seq, events)


def restore(core: HeadCore, journal: Sequence[Any], wall: float) -> None:
    """Give journal rows to a new core in commit order."""
    for row in journal:
        if isinstance(row, tuple):
            core.restore_segment(*row)
        elif isinstance(row, fx.SaveGraph):
            core.restore_graph(row.workflow_id, row.version, row.body)
        elif isinstance(row, fx.AppendCluster):
            core.restore_cluster(row.kind, row.body, wall)


def held(lease: int, state: int) -> Held:
    """Return an inventory entry."""
    return Held(lease, state, 1e9)


def dump_contents(flow: Workflow) -> tuple[Any, ...]:
    """Return tasks and edges of a workflow."""
    edges = sorted(flow.contents.edges())
    return (
        list(flow.contents.tasks.items()),
        edges,
        [flow.contents.edge(*pair) for pair in edges],
        list(flow.contents.unsaved),
    )


def same_knowledge(head: Head) -> bool:
    """Tell whether the journal gives back all that a head knows, but for the tasks of workflows that it put away."""
    away = frozenset(flow.id for flow in head.core.state.workflows.values() if flow.away)
    return dump(head.replay().core, away) == dump(head.core, away)


def dump(core: HeadCore, away: Collection[bytes] = ()) -> dict[str, Any]:
    """Return everything that the journal must give back, in plain values, but for the tasks of some workflows."""
    state = core.state
    return {
        "workflows": [
            (flow.id, flow.name, flow.created_at, flow.revision, flow.size, list(flow.edits.items()),
             None if flow.away or flow.id in away else dump_contents(flow))
            for flow in state.workflows.values()
        ],
        "codes": state.codes,
        "uploads": state.uploads,
        "runs": [
            (run.no, run.submitted, run.submitted_at, run.next_seq, bytes(run.phase), list(run.missing),
             list(run.attempt), list(run.lease), run.counts, run.faults, run.outputs, run.cancelling,
             run.cancel_reason, run.stopped_by, {name: getattr(run.objects, name) for name in run.objects.__slots__})
            for run in state.runs.values()
        ],
        "sealed": {no: (entry.body.status, entry.body.last_seq, entry.body.finished, entry.body.failed,
                        entry.body.skipped, entry.body.ended_at, entry.attempts) for no, entry in state.sealed.items()},
        "run_numbers": state.run_numbers,
        "limits": state.allowances.limits,
        "projects": state.shares.rules,
    }  # fmt: skip

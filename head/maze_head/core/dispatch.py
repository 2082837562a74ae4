"""Turn a placed task into a lease and into the order to its node.

Inputs travel by reference to the journal's accepted rows (`Source`); the driver fills in bytes, save those of objects,
which the node fetches from who holds them. A task whose inputs exceed what one message may carry fails here, in words,
instead of on the wire. A task of the original's wire (`strict_outputs` off at the producer) may reference an output
that never came: it gets None, with a warning.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.effects import AssignTask, SendCode, Source
from maze_head.core.ends import fail
from maze_head.core.leases import Grant, Lease
from maze_head.core.losses import at_hand
from maze_head.core.nodes import Node
from maze_head.core.ready import Queue
from maze_head.core.references import reference
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.tasks import SOURCE, UPLOADED, InputSpec, TaskSpec
from maze_protocol.events import OutputMeta, TaskFailed, TaskLeased, TaskWarned
from maze_protocol.limits import KIB, MAX_TASK_VALUES
from maze_protocol.messages import AT_MOST_ONCE, KEEP, SANDBOX, Assignment, ErrorInfo
from maze_protocol.resources import Claim, Request
from maze_protocol.terms import NO_TERMS
from maze_protocol.values import MSGPACK, Input, ObjectRef, Value

__all__ = ["Follower", "dispatch", "lease_early"]

COMPLETE: Final = 4 * KIB
NONE: Final = Value(MSGPACK, 1, b"\xc0")

_ELSEWHERE: Final = (SOURCE, UPLOADED)
"""Forms of inputs whose bytes did not come with the task."""

_Filled = tuple[str, Value | None, tuple[Source, ...]]


_Inputs = tuple[tuple[Input, ...], tuple[_Filled, ...], int]
"""What an attempt gets: as it is sent, or with bytes still to be filled in; the size of the former."""


def dispatch(state: State, nodes: list[Node], run: Run, task: int, queue: Queue) -> None:
    """Lease a ready task to nodes that have room for it, or fail it if its inputs cannot be sent.

    Args:
        nodes: the first runs its code; the others are held for it.
        queue: whose shape says what it takes on each.
    """
    spec, shape = run.graph.spec(task), queue.shape
    first, *others = nodes
    inputs = _literals(spec) or _inputs_or_end(state, run, task, spec, first)
    if inputs is None:
        return
    claim = _claim(first, shape.request)
    token = state.leases.next_token()
    lease = Lease(token, run, task, Grant(token, first, claim), shape.terms, once=spec.at_most_once)
    if others:
        lease.gang = tuple([(node, _claim(node, shape.request)) for node in others])
    lease.seconds = shape.seconds or state.observed.known(spec.code) or 0.0
    if queue.deep and not (spec.at_most_once or shape.sandbox):
        lease.grant.open_for(queue)
        if run.graph.only_after(task) is not None:
            state.chains[token] = lease.grant
    state.record(run, _send(state, lease, spec, inputs))


class Follower:
    """Leases ready tasks to queue behind a grant, one after the other.

    What it leases is in force at once; the log is told in one go, by `record`.
    """

    __slots__ = ("_grant", "_run", "_state", "_told")

    def __init__(self, state: State, grant: Grant) -> None:
        self._state = state
        self._grant = grant
        self._run: Run | None = None
        """Whose leases are not recorded yet."""
        self._told: list[TaskLeased] = []

    def follow(self, run: Run, task: int, spec: TaskSpec, seconds: float) -> None:
        """Lease a task, or fail it if its inputs cannot be sent.

        Args:
            seconds: how long it will run, as far as one can tell.
        """
        if run is not self._run:
            self.record()
            self._run = run
        state, grant = self._state, self._grant
        inputs = _literals(spec)
        if inputs is None:
            self.record()  # what fails, or waits for lost objects, has to do with other tasks of its run
            inputs = _inputs_or_end(state, run, task, spec, grant.node)
            if inputs is None:
                return
        lease = Lease(state.leases.next_token(), run, task, grant, NO_TERMS)
        lease.seconds = seconds
        self._told.append(_send(state, lease, spec, inputs))

    def record(self) -> None:
        """Let the run know of the leases."""
        if self._run is not None and self._told:
            self._state.record_leases(self._run, self._told)
            self._told = []


def lease_early(state: State, before: Lease, task: int, spec: TaskSpec, seconds: float) -> bool:
    """Lease a task that waits for another one to the node of that, behind it; return False if it has large inputs."""
    size = sum([len(entry.body) for entry in spec.inputs])
    if size > COMPLETE:
        return False
    lease = Lease(state.leases.next_token(), before.run, task, before.grant, NO_TERMS)
    lease.follow(before)
    lease.seconds = seconds
    state.counters.leases_early += 1
    given = tuple([Input(each.name, None if each.form == SOURCE else _template(each)) for each in spec.inputs])
    awaits = tuple([(number, key) for number, each in enumerate(spec.inputs) for _, key in each.refs])
    assignment = _assignment(lease, spec, given, before.token, awaits)
    state.record(lease.run, _put_in_force(state, lease, spec))
    state.emit(AssignTask(_link_of(lease), assignment, (), size))
    return True


def _claim(node: Node, request: Request) -> Claim:
    claim = node.ledger.claim(request)
    assert claim is not None, "placement chose a node without room"
    return claim


def _send(state: State, lease: Lease, spec: TaskSpec, inputs: _Inputs) -> TaskLeased:
    """Let a lease count and order its task to its node; return what the run is to be told."""
    ready, filled, size = inputs
    leased = _put_in_force(state, lease, spec)
    state.emit(AssignTask(_link_of(lease), _assignment(lease, spec, ready), filled, size))
    return leased


def _put_in_force(state: State, lease: Lease, spec: TaskSpec) -> TaskLeased:
    """Let a lease count, and send its function ahead if its node lacks it; return what its run is to be told."""
    run, task, node = lease.run, lease.task, lease.node
    lease.session = node.session
    state.leases.grant(lease, state.now.mono)
    state.counters.leases += 1
    if spec.code not in node.codes:
        node.codes[spec.code] = None
        state.emit(SendCode(_link_of(lease), spec.code))
    gang = tuple([(member.id, part) for member, part in lease.gang]) if lease.gang else ()
    return TaskLeased(task, run.attempt[task] + 1, lease.token, node.id, lease.claim, lease.grant.id, gang)


def _link_of(lease: Lease) -> bytes:
    link = lease.node.link
    assert link is not None, "placement chose a node without a link"
    return link


def _assignment(
    lease: Lease,
    spec: TaskSpec,
    inputs: tuple[Input, ...],
    after: int = 0,
    awaits: tuple[tuple[int, str], ...] = (),
) -> Assignment:
    submitted = lease.run.submitted
    return Assignment(
        lease.token,
        lease.grant.id,
        submitted.run_id,
        spec.task_id,
        lease.run.attempt[lease.task] + 1,
        spec.name,
        spec.code,
        inputs,
        spec.outputs,
        lease.claim,
        (KEEP if spec.keep else 0) | (AT_MOST_ONCE if spec.at_most_once else 0) | (SANDBOX if spec.sandbox else 0),
        spec.timeout,
        spec.idle_timeout,
        submitted.project,
        strict_outputs=spec.strict_outputs,
        gang=tuple([member.hello.address for member, _ in lease.parts()]) if lease.gang else (),
        after=after,
        awaits=awaits,
    )


def _literals(spec: TaskSpec) -> _Inputs | None:
    """Return the inputs of a task as they are sent, if each of them came with the task and they are small."""
    ready: list[Input] = []
    size = 0
    for entry in spec.inputs:
        if entry.refs or entry.form in _ELSEWHERE:
            return None
        body = entry.body
        size += len(body)
        ready.append(Input(entry.name, Value(entry.codec, len(body), body)))
    return (tuple(ready), (), size) if size <= COMPLETE else None


def _complete(filled: tuple[_Filled, ...]) -> _Inputs:
    """Return inputs as they are sent, unless bytes are missing, or are many."""
    ready: list[Input] = []
    size = 0
    for name, template, sources in filled:
        if sources or template is None:
            return (), filled, 0
        ready.append(Input(name, template))
        size += template.size
    return (tuple(ready), (), size) if size <= COMPLETE else ((), filled, 0)


def _inputs_or_end(state: State, run: Run, task: int, spec: TaskSpec, node: Node) -> _Inputs | None:
    """Return the inputs of a task for a node; None if it failed for them, or waits for objects that nobody has."""
    if run.objects.made and not at_hand(state, run, task, spec, node):
        return None
    filled, error = _inputs(state, run, task, spec, node)
    if error is None:
        return _complete(filled)
    fail(state, run, TaskFailed(task, run.attempt[task], 0, error))
    return None


def _inputs(
    state: State, run: Run, task: int, spec: TaskSpec, node: Node
) -> tuple[tuple[_Filled, ...], ErrorInfo | None]:
    filled: list[_Filled] = []
    total = 0
    for entry in spec.inputs:
        one, size, error = _input(state, run, task, entry, node)
        if error is not None:
            return (), error
        filled.append(one)
        total += size
    if total > MAX_TASK_VALUES:
        message = f"the inputs of the task have {total} bytes in all, at most {MAX_TASK_VALUES} can be sent"
        return (), ErrorInfo("too_large", "ValueTooLarge", message)
    return tuple(filled), None


def _input(state: State, run: Run, task: int, entry: InputSpec, node: Node) -> tuple[_Filled, int, ErrorInfo | None]:
    template = None if entry.form == SOURCE else _template(entry)
    size = len(entry.body)
    sources: list[Source] = []
    for task_id, key in entry.refs:
        producer = run.graph.index[task_id]
        meta = _output(run, producer, key)
        if meta is None:
            return _absent(state, run, task, entry, producer, key)
        if meta.object:
            sources.append(_object(state, run, producer, key, node))
            continue
        sources.append(Source(run.no, producer, key))
        size += meta.size
    return (entry.name, template, tuple(sources)), size, None


def _output(run: Run, producer: int, key: str) -> OutputMeta | None:
    for meta in run.outputs[producer]:
        if meta.key == key:
            return meta
    return None


def _template(entry: InputSpec) -> Value:
    """Return a literal: its bytes, or the reference by which a node fetches an upload from the head."""
    if entry.form != UPLOADED:
        return Value(entry.codec, len(entry.body), entry.body)
    return Value(entry.codec, entry.size, ref=ObjectRef(0, 0, entry.size, 0, hash=entry.upload))


def _object(state: State, run: Run, producer: int, key: str, node: Node) -> Source:
    """Return where a node finds an object; its bytes take another road than messages."""
    copies = state.objects.of(run.no, producer)
    output, part = next((number, part) for number, part in copies.parts.items() if part.meta.key == key)
    return Source(run.no, producer, key, reference(state, copies, output, node.id), part.meta.codec)


def _absent(
    state: State, run: Run, task: int, entry: InputSpec, producer: int, key: str
) -> tuple[_Filled, int, ErrorInfo | None]:
    name = run.graph.task_name(producer)
    message = f"task {name!r} returned no output {key!r}, which input {entry.name!r} needs"
    if entry.form != SOURCE or run.graph.spec(producer).strict_outputs:
        return (entry.name, None, ()), 0, ErrorInfo("bad_input", "MissingOutput", message)
    state.record(run, TaskWarned(task, f"{message}: None is passed"))
    return (entry.name, NONE, ()), 1, None

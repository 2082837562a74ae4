"""What nodes report of their attempts: started, ended, handed back. The accept rule lives here.

A report counts only if its token is in force and the speaker holds it. Everything else is normal input: it changes
nothing, is counted, and (for results) answered, so that the node can forget it. A node's word is checked: sizes that
do not match, missing payloads or nonsense figures end the attempt like a crash of its worker, never the head.
Outputs leave in an `Accept` effect; the core keeps their names and sizes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from maze_head.core.effects import Accept, AppendCluster, SaveLog, Send
from maze_head.core.ends import end_cancelled, fail, give_back, release
from maze_head.core.graph import sources_of
from maze_head.core.keeping import take_in
from maze_head.core.leases import Lease
from maze_head.core.membership import lose_attempt
from maze_head.core.memory import lose_for_memory
from maze_head.core.nodes import Node
from maze_head.core.objects import settle_kept
from maze_head.core.quarantine import acquit, judge_crash
from maze_head.core.rebuilds import end_rebuild
from maze_head.core.retry import CRASH, NODE_LOST, SPAWNER_LOSS, crash_of, lacked_memory, retry_pause
from maze_head.core.state import State
from maze_head.core.transitions import LEASED
from maze_protocol.errors import BadMessage
from maze_protocol.events import AttemptLost, OutputMeta, TaskFailed, TaskFinished, TaskStarted, TaskWarned
from maze_protocol.limits import LOG_TAIL, MAX_OBJECT, MAX_TASK_VALUES
from maze_protocol.messages import (
    ACCEPTED,
    CANCELLED,
    CRASHED,
    FAILED,
    OK,
    STALE,
    TIMED_OUT,
    AckItem,
    ErrorInfo,
    Forget,
    Outcome,
    Release,
    Result,
    ResultAck,
    Started,
)  # fmt: skip
from maze_protocol.values import ObjectRef, OutputValue, Value, body_of

__all__ = ["on_release", "on_result", "on_started"]

WARNINGS_KEPT: Final = 20
WARNING_LENGTH: Final = 500
MAX_OUTPUTS: Final = 1_000
TYPE_LENGTH: Final = 200
OUT_OF_ORDER: Final = "its end was told before that of what it waits for"


def on_started(state: State, node: Node, message: Started) -> None:
    """Note which attempts run."""
    for item in message.items:
        lease = node.leases.get(item.lease)
        if lease is None or lease.lacks_inputs or lease.run.phase[lease.task] != LEASED:
            state.counters.messages_ignored += 1
        else:
            state.record(lease.run, _started(state, lease, item.started_at))


def on_release(state: State, node: Node, message: Release) -> None:
    """Take back leases that never ran."""
    for token in reversed(message.leases):
        lease = node.leases.get(token)
        if lease is None:
            state.counters.messages_ignored += 1
        else:
            release(state, lease, message.reason[:200])


def on_result(state: State, node: Node, message: Result, payloads: Sequence[bytes]) -> None:
    """Judge the ends of attempts and answer each."""
    bodies = tuple(payloads)
    acks = tuple([AckItem(outcome.lease, _judge(state, node, outcome, bodies)) for outcome in message.items])
    if acks and node.link is not None:
        state.emit(Send(node.link, ResultAck(acks)))


def _judge(state: State, node: Node, outcome: Outcome, payloads: tuple[bytes, ...]) -> int:
    lease = node.leases.get(outcome.lease)
    if lease is None:
        return _judge_unheld(state, node, outcome)
    run = lease.run
    halting = run.halting
    if lease.follows is not None and not halting:
        # Whatever it ran with has not been told: no result may count before those that it was made from.
        state.counters.results_stale += 1
        release(state, lease, OUT_OF_ORDER)
        _disown(state, node, outcome)
        return STALE
    started = None
    if run.phase[lease.task] == LEASED and not (halting and lease.lacks_inputs):
        started = _started(state, lease, outcome.started_at)
        if outcome.status != OK or outcome.warnings or halting:
            state.record(run, started)
            started = None
    if outcome.stdout_tail or outcome.stderr_tail:
        _keep_log(state, lease, outcome)
    if halting:
        end_cancelled(state, lease)
        _disown(state, node, outcome)
        return STALE
    _end(state, lease, outcome, payloads, started)
    state.leases.remember(outcome.lease)
    state.counters.results_accepted += 1
    return ACCEPTED


def _judge_unheld(state: State, node: Node, outcome: Outcome) -> int:
    """Judge the end of an attempt that is not in the hands of who tells of it."""
    if state.leases.was_accepted(outcome.lease):
        state.counters.results_duplicate += 1
        return ACCEPTED
    state.counters.results_stale += 1
    _judge_claim(state, node, outcome.lease)
    _disown(state, node, outcome)
    return STALE


def _end(
    state: State, lease: Lease, outcome: Outcome, payloads: tuple[bytes, ...], started: TaskStarted | None
) -> None:
    """End an attempt as its node tells.

    Args:
        started: that it began, if that is still to be told: with a result in one go.
    """
    if outcome.warnings:
        _warn(state, lease, outcome)
    problem = _problem(outcome, payloads)
    if problem:
        if started is not None:
            state.record(lease.run, started)
        state.counters.results_malformed += 1
        lose_attempt(state, lease, ErrorInfo(CRASH, "BadResult", problem), state.settings.crash_budget)
        _disown(state, lease.node, outcome)
    elif outcome.status == OK:
        _finish(state, lease, outcome, payloads, started)
    else:
        _END[outcome.status](state, lease, outcome)


def _judge_claim(state: State, node: Node, token: int) -> None:
    """Take note of a node that says how a lease ended which another one holds: none that works properly does that."""
    lease = state.leases.current.get(token)
    if lease is None or lease.node.id == node.id:
        return
    state.counters.results_foreign += 1
    if not node.accused:
        # Once per session: a node that lies must not fill the journal.
        node.accused = True
        body = {"node_id": node.id, "incarnation": node.hello.incarnation, "lease": token, "holder": lease.node.id}
        state.emit(AppendCluster("foreign_result", {**body, "time": state.now.wall}))


def _started(state: State, lease: Lease, at: float) -> TaskStarted:
    return lease.started(at if 0 < at < inf else state.now.wall)


def _warn(state: State, lease: Lease, outcome: Outcome) -> None:
    for text in outcome.warnings[:WARNINGS_KEPT]:
        state.record(lease.run, TaskWarned(lease.task, text[:WARNING_LENGTH]))


def _keep_log(state: State, lease: Lease, outcome: Outcome) -> None:
    stdout, stderr = outcome.stdout_tail[-LOG_TAIL:], outcome.stderr_tail[-LOG_TAIL:]
    run, task = lease.run, lease.task
    sizes = max(outcome.stdout_size, len(outcome.stdout_tail)), max(outcome.stderr_size, len(outcome.stderr_tail))
    state.emit(SaveLog(run.no, task, run.attempt[task], stdout, stderr, *sizes))


def _problem(outcome: Outcome, payloads: Sequence[bytes]) -> str:
    """Return why an outcome cannot be true, or an empty text."""
    if outcome.status != OK and outcome.status not in _END:
        return f"the node reported the unknown status {outcome.status}"
    if not (0 <= outcome.wall_ms < inf and 0 <= outcome.cpu_ms < inf):
        return "the node reported an impossible duration"
    if outcome.status != OK or _is_plain(outcome.outputs):
        return ""
    try:
        inline = [output.value for output in outcome.outputs if output.value.ref is None]
        total = sum([len(body_of(value, payloads)) for value in inline])
    except BadMessage as error:
        return f"the node sent an output it did not announce rightly: {error}"
    if total > MAX_TASK_VALUES or len(outcome.outputs) > MAX_OUTPUTS:
        return f"the outputs are too large: {len(outcome.outputs)} of {total} bytes in all"
    if len({output.key for output in outcome.outputs}) != len(outcome.outputs):
        return "the node sent an output twice"
    return _wrong_reference(outcome) if len(inline) < len(outcome.outputs) else ""


def _is_plain(outputs: tuple[OutputValue, ...]) -> bool:
    """Tell whether there is at most one output, and its bytes are where it stands: the most frequent case."""
    if len(outputs) != 1:
        return not outputs
    value = outputs[0].value
    return value.frame == 0 and value.ref is None and len(value.body) == value.size <= MAX_TASK_VALUES


def _wrong_reference(outcome: Outcome) -> str:
    """Return why what an outcome says of its objects cannot be true, or an empty text."""
    for number, output in enumerate(outcome.outputs):
        ref = output.value.ref
        if ref is None:
            continue
        if (ref.lease, ref.output) != (outcome.lease, number) or ref.hash or output.value.frame or output.value.body:
            return f"the node named its object {output.key!r} wrongly"
        if ref.size != output.value.size or ref.size > MAX_OBJECT:
            return f"the node announced the object {output.key!r} with an impossible size"
    return ""


def _disown(state: State, node: Node, outcome: Outcome) -> None:
    """Have the objects of an attempt that does not count thrown away."""
    made = any(output.value.ref is not None for output in outcome.outputs)
    if made and node.link is not None and outcome.lease not in state.objects.made:
        state.emit(Send(node.link, Forget((outcome.lease,))))


def _finish(
    state: State, lease: Lease, outcome: Outcome, payloads: tuple[bytes, ...], started: TaskStarted | None
) -> None:
    """Accept a result, and tell first that the attempt began, if that is still to be told."""
    run, task = lease.run, lease.task
    if lease.follower is not None:  # it has what it lacked
        lease.part()
        state.chains[lease.grant.id] = lease.grant
    give_back(state, lease)
    acquit(lease.node)
    graph = run.graph
    # Before the event, by which others become ready: they are ranked by what is known then.
    code, kind = graph.functions[graph.function_of[task]], graph.kinds[graph.shape_of[task]]
    state.observed.note(code, kind, outcome.wall_ms / 1000)
    outputs, holder = outcome.outputs, ""
    metas, size, has_objects = _metas(outputs)
    if task in run.objects.lost:
        if started is not None:
            state.record(run, started)
        if not end_rebuild(state, lease, metas, outcome.wall_ms):
            _disown(state, lease.node, outcome)
        return
    if has_objects:
        outputs, holder = tuple([_plain(output) for output in outputs]), lease.node.id
    state.counters.tasks_finished += 1
    state.emit(Accept(run.no, task, lease.token, outputs, payloads, size))
    finished = TaskFinished(
        task, run.attempt[task], lease.token, metas, outcome.wall_ms, outcome.cpu_ms, outcome.peak_rss_kib, holder
    )
    if started is None:
        state.record(run, finished)
    else:
        state.record_both(run, started, finished)
    if holder:
        take_in(state, run, task)
    if run.objects.kept:
        for source in sources_of(run.graph, task):
            settle_kept(state, run, source)


def _metas(outputs: tuple[OutputValue, ...]) -> tuple[tuple[OutputMeta, ...], int, bool]:
    """Return what the log says of outputs, the bytes of those that are no objects, and whether there are objects."""
    metas: list[OutputMeta] = []
    size, has_objects = 0, False
    for output in outputs:
        value = output.value
        if value.ref is None:
            metas.append(OutputMeta(output.key, value.codec, value.size))
            size += value.size
        else:
            type_name, has_objects = output.type[:TYPE_LENGTH], True
            metas.append(OutputMeta(output.key, value.codec, value.size, True, type_name, value.ref.crc))
    return tuple(metas), size, has_objects


def _plain(output: OutputValue) -> OutputValue:
    """Return an output as it is kept: whoever holds an object now need not hold it later."""
    ref = output.value.ref
    if ref is None:
        return output
    ref = ObjectRef(ref.lease, ref.output, ref.size, ref.crc)
    value = Value(output.value.codec, output.value.size, ref=ref)
    return OutputValue(output.key, value, output.type[:TYPE_LENGTH])


def _fail(state: State, lease: Lease, outcome: Outcome) -> None:
    run, task = lease.run, lease.task
    error = outcome.error or ErrorInfo("user", "UnknownError", "the node gave no reason")
    if lacked_memory(error):
        lose_for_memory(state, lease, error, outcome)
        return
    give_back(state, lease)
    pause = None if lease.once else retry_pause(run.graph.spec(task), run.faults.get(task, ()), error, lease.token)
    if pause is not None:
        state.counters.attempts_retried += 1
        not_before = state.now.wall + pause if pause else 0.0
        state.record(run, AttemptLost(task, run.attempt[task], lease.token, error, not_before, lease.node.id))
        return
    fail(
        state,
        run,
        TaskFailed(task, run.attempt[task], lease.token, error, outcome.wall_ms, outcome.cpu_ms, outcome.peak_rss_kib),
    )


def _crash(state: State, lease: Lease, outcome: Outcome) -> None:
    if outcome.error is not None and outcome.error.kind == NODE_LOST:
        # The node lost the parent of its workers: its own fault, which no other budget of the task pays for.
        owner_died = outcome.error.type_name == SPAWNER_LOSS
        budget = state.settings.spawner_loss_budget if owner_died else state.settings.node_loss_budget
        lose_attempt(state, lease, outcome.error, budget)
        return
    error = crash_of(outcome.error)
    if lacked_memory(error):
        lose_for_memory(state, lease, error, outcome)
    else:
        lose_attempt(state, lease, error, state.settings.crash_budget)
    judge_crash(state, lease)


def _stopped(state: State, lease: Lease, outcome: Outcome) -> None:
    # Nobody here asked for it: the node drains or was told to stop by its own operator. Not the task's fault.
    told = outcome.error.message if outcome.error else "no reason given"
    error = ErrorInfo(NODE_LOST, "NodeStopped", f"node {lease.node.id} stopped the task: {told}")
    lose_attempt(state, lease, error, state.settings.node_loss_budget)


_END: Final = {FAILED: _fail, TIMED_OUT: _fail, CRASHED: _crash, CANCELLED: _stopped}
"""How attempts end without a result."""

"""The agent, event by event."""

from __future__ import annotations

import pytest

from maze_node.core.agent import Agent
from maze_node.core.effects import (
    AnswerLog,
    Dismiss,
    DropLogs,
    Fork,
    Leave,
    NoteMemory,
    Reconnect,
    RenameLog,
    Send,
    Signal,
    Start,
    TakeBack,
)
from maze_node.core.events import (
    DrainAsked,
    LinkLost,
    LogTails,
    MemoryRead,
    MemoryUse,
    Said,
    StopAsked,
    Welcomed,
    WorkerExited,
    WorkerForked,
    WorkerReported,
    WorkersDoomed,
)
from maze_node.core.patience import ENOUGH, FLUSH_LATER, FLUSH_SOON, LONG_QUEUE
from maze_node.frames import ReportFrame
from maze_protocol.limits import MAX_TASK_VALUES
from maze_protocol.messages import (
    CANCELLED,
    CRASHED,
    FAILED,
    HELD_DONE,
    HELD_LEASED,
    HELD_RUNNING,
    OK,
    TIMED_OUT,
    AckItem,
    Assign,
    Cancel,
    Code,
    Drain,
    Forget,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    LogPull,
    Nak,
    Outcome,
    Recall,
    Release,
    Result,
    ResultAck,
    Shutdown,
    Started,
    Welcome,
)
from maze_protocol.resources import Claim, DeviceClaim
from maze_protocol.values import Input, Value
from support.node_core import CAPACITY, CODE, Rig, make_assignment, of


def outcomes(effects) -> list[Outcome]:
    return [item for result in of(effects, Result) for item in result.items]


def test_a_lease_starts_is_told_and_finishes() -> None:
    rig = Rig()
    effects = rig.assign(make_assignment(7))
    (start,) = of(effects, Start)
    assert (start.frame.lease, start.frame.fresh.body, start.frame.environ["CUDA_VISIBLE_DEVICES"]) == (7, b"body", "")
    assert of(effects, Started)[0].items[0].lease == 7
    (outcome,) = outcomes(rig.report(start.worker, 7))
    assert (outcome.lease, outcome.status, outcome.started_at, outcome.pid) == (
        7,
        OK,
        1e9 + 1000.0,
        5000 + start.worker,
    )
    assert rig.agent.inventory()[0].state == HELD_DONE
    rig.said(ResultAck((AckItem(7, 0),)))
    assert rig.agent.inventory() == ()


def test_an_attempt_of_several_nodes_is_told_which() -> None:
    nodes = ("10.0.0.1", "10.0.0.7")
    rig = Rig()
    starts = of(rig.assign(make_assignment(1, gang=nodes), make_assignment(2)), Start)
    assert [start.frame.gang for start in starts] == [nodes, ()]


def test_started_is_not_said_of_what_is_already_over() -> None:
    rig = Rig()
    rig.auto_fork = False
    rig.assign(make_assignment(1))
    worker = rig.all(Fork)[0].worker
    rig.agent.handle(WorkerForked(worker, 1), rig.now)
    rig.effects += rig.agent.start(rig.now)
    rig.agent.handle(WorkerReported(worker, ReportFrame(1, OK, 1.0)), rig.now)
    effects = rig.agent.flush(rig.now)
    assert not of(effects, Started)
    assert outcomes(effects)[0].started_at > 0


def test_started_is_said_after_a_moment() -> None:
    rig = Rig()
    rig.agent.handle(Said(Assign((make_assignment(1),))), rig.now)
    rig._collect(rig.agent.start(rig.now))
    assert not of(rig.agent.flush(rig.now), Started)
    assert rig.agent.unsaid
    rig.mono += 0.01
    assert of(rig.agent.flush(rig.now), Started)[0].items[0].lease == 1
    assert not rig.agent.unsaid


def test_a_node_with_leases_in_its_queue_waits_for_more_to_say_the_longer_the_queue() -> None:
    rig = Rig()
    assert rig.agent.patience == 0
    rig.assign(make_assignment(1, grant=1))
    assert rig.agent.patience == 0, "nothing comes but the outcome of this one"
    rig.assign(make_assignment(2, grant=1))
    assert rig.agent.patience == FLUSH_SOON
    rig.assign(*(make_assignment(lease, grant=1) for lease in range(3, 2 + LONG_QUEUE)))
    assert rig.agent.patience == FLUSH_LATER


def test_a_node_on_which_nothing_runs_waits_for_nothing() -> None:
    rig = Rig(auto_fork=False)
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1))
    assert rig.agent.patience == 0


def test_a_message_that_is_full_is_said_at_once() -> None:
    rig = Rig()
    rig.assign(*(make_assignment(lease, grant=1) for lease in range(1, 2 * ENOUGH)))
    for lease in range(1, ENOUGH):
        rig.agent.handle(WorkerReported(rig.worker_of(1), ReportFrame(lease, OK, 1.0), LogTails()), rig.now)
    assert rig.agent.patience == FLUSH_LATER
    rig.agent.handle(WorkerReported(rig.worker_of(1), ReportFrame(ENOUGH, OK, 1.0), LogTails()), rig.now)
    assert rig.agent.patience == 0


def test_a_function_is_sent_to_a_worker_once() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=5), make_assignment(2, grant=5))
    worker = rig.worker_of(1)
    rig.report(worker, 1)
    assert [frame.fresh is None for _, frame in rig.given()] == [False, True]
    assert [bool(frame.environ) for _, frame in rig.given()] == [True, False]
    assert rig.worker_of(2) == worker


def test_leases_of_one_grant_run_one_after_the_other() -> None:
    rig = Rig()
    claim = Claim(1000, 100)
    rig.assign(*(make_assignment(lease, grant=1, claim=claim) for lease in (1, 2, 3)))
    assert [frame.lease for _, frame in rig.given()] == [1], "memory is watched: nothing follows by itself"
    rig.report(rig.worker_of(1), 1)
    assert [frame.lease for _, frame in rig.given()] == [1, 2]


def test_no_more_is_given_out_than_there_is() -> None:
    rig = Rig()
    rig.assign(*(make_assignment(lease, claim=Claim(1500, 0)) for lease in (1, 2, 3)))
    assert [start.frame.lease for start in rig.all(Start)] == [1, 2]
    rig.report(rig.worker_of(1), 1)
    assert [start.frame.lease for start in rig.all(Start)] == [1, 2, 3]


def test_a_claim_beyond_the_node_runs_alone() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, claim=Claim(99_000, 0)), make_assignment(2))
    assert [start.frame.lease for start in rig.all(Start)] == [1]


def test_a_worker_that_saw_a_device_is_gone_before_the_device_goes_elsewhere() -> None:
    rig = Rig()
    gpu = Claim(1000, 0, (DeviceClaim(0, 1000, 0),))
    rig.assign(make_assignment(1, claim=gpu), make_assignment(2, claim=gpu))
    worker = rig.worker_of(1)
    effects = rig.report(worker, 1)
    assert of(effects, Dismiss) == [Dismiss(worker)]
    assert not of(effects, Start)
    effects = rig.do(WorkerExited(worker, exit_code=0))
    assert [start.frame.lease for start in of(effects, Start)] == [2]
    assert of(effects, Start)[0].frame.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_an_unclean_worker_is_killed_and_its_grant_waits_for_its_exit() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1))
    worker = rig.worker_of(1)
    effects = rig.report(worker, 1, unclean="1 threads still run")
    assert of(effects, Signal) == [Signal(worker, "SIGKILL")]
    assert outcomes(effects)[0].status == OK
    assert not of(effects, Start)
    assert of(rig.do(WorkerExited(worker, "SIGKILL")), Start)[0].frame.lease == 2


def test_a_crash_names_the_signal_and_what_was_printed() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, claim=Claim(1000, 512)))
    tails = LogTails(b"out", b"e" * 10_000, 3, 10_000)
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGKILL", peak_rss_kib=2048, tails=tails, oom=True)))
    assert (outcome.status, outcome.error.kind, outcome.error.signal) == (CRASHED, "crash", "SIGKILL")
    assert "out of memory" in outcome.error.message
    assert outcome.error.oom
    assert "512 MiB" in outcome.error.message
    assert len(outcome.error.stderr_tail) == 4096
    assert (outcome.stdout_tail, len(outcome.stderr_tail), outcome.stderr_size) == (b"out", 10_000, 10_000)


@pytest.mark.parametrize(
    ("died", "text"),
    [
        ({"signal": "SIGSEGV"}, "SIGSEGV (the worker process was killed by it; peak memory of the worker 2 MiB)"),
        ({"exit_code": 3}, "exit code 3 (the worker process ended without returning a result; peak memory of"),
        ({"signal": "SIGKILL"}, "SIGKILL (killed from outside; the kernel counted no lack of memory; peak memory of"),
        ({"signal": "SIGKILL", "oom": True}, "SIGKILL (out of memory: the kernel killed processes on this machine; p"),
    ],
)
def test_a_crash_tells_all_there_is_to_know(died, text: str) -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    tails = LogTails(b"", b"a" * 5000 + b"\nlast words", 0, 5011)
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), peak_rss_kib=2048, tails=tails, **died)))
    assert outcome.error.message.startswith(text)
    assert outcome.error.oom is ("oom" in died)
    assert outcome.error.stderr_tail == "last words", "no half lines"
    assert outcome.error.text.splitlines()[-1].startswith("WorkerCrashed: " + text)
    assert "\n  last words\n" in outcome.error.text


def test_a_death_with_the_spawner_blames_no_task() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGKILL", blameless=True)))
    assert (outcome.status, outcome.error.kind) == (CRASHED, "node_lost")


def test_workers_of_a_dead_spawner_get_nothing_more_while_they_die() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2, grant=1), make_assignment(3))
    busy, idle = rig.worker_of(1), rig.worker_of(3)
    rig.report(idle, 3)
    forks = len(rig.all(Fork))
    rig.do(WorkersDoomed((busy, idle, 99)))
    effects = rig.report(busy, 1)
    assert outcomes(effects)[0].status == OK, "what it had reported counts"
    assert not of(effects, Start), "its grant waits for its exit"
    assert of(rig.assign(make_assignment(4)), Start)[0].worker not in (busy, idle)
    assert len(rig.all(Fork)) == forks + 1
    effects = rig.do(WorkerExited(busy, "SIGKILL", blameless=True), WorkerExited(idle, "SIGKILL", blameless=True))
    assert [start.frame.lease for start in of(effects, Start)] == [2]
    assert not [outcome for outcome in outcomes(rig.effects) if outcome.status != OK]


def test_tails_share_64_kib() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    tails = LogTails(b"o" * 65_536, b"e" * 40_000, 10**6, 40_000)
    (outcome,) = outcomes(rig.report(rig.worker_of(1), 1, tails=tails))
    assert (len(outcome.stdout_tail), len(outcome.stderr_tail)) == (32_768, 32_768)


def test_cancel_of_what_waits_is_a_release_and_of_what_runs_a_signal() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1))
    worker = rig.worker_of(1)
    effects = rig.said(Cancel((1, 2, 99), "why", 5.0))
    assert of(effects, Signal) == [Signal(worker, "SIGTERM")]
    assert of(effects, Release) == [Release((2,), "cancelled")]
    assert not of(rig.tick(4.9), Signal)
    assert of(rig.tick(0.2), Signal) == [Signal(worker, "SIGKILL")]
    (outcome,) = outcomes(rig.do(WorkerExited(worker, "SIGKILL")))
    assert (outcome.status, outcome.error.text) == (CANCELLED, "Cancelled: why")


def test_a_result_that_beats_the_cancel_stands_but_the_worker_goes() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    worker = rig.worker_of(1)
    rig.said(Cancel((1,), "", 5.0))
    tails = LogTails(b"out", b"", 3, 0)
    assert of(rig.report(worker, 1, tails=tails), Signal) == [Signal(worker, "SIGKILL")]
    (outcome,) = outcomes(rig.do(WorkerExited(worker, "SIGKILL")))
    assert (outcome.status, outcome.stdout_tail) == (OK, b"out")


def test_a_failure_after_the_cancel_is_the_cancel() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.said(Cancel((1,), "stop", 5.0))
    rig.report(rig.worker_of(1), 1, FAILED)
    assert outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGKILL")))[0].status == CANCELLED


@pytest.mark.parametrize("status", [OK, FAILED])
def test_what_is_being_ended_is_over_when_its_worker_is_dead_and_not_before(status: int) -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1, claim=Claim(4000, 0)), make_assignment(2, grant=2, claim=Claim(4000, 0)))
    worker = rig.worker_of(1)
    rig.said(Cancel((1,), "", 5.0))
    effects = rig.report(worker, 1, status) + rig.tick(0.6)
    assert not outcomes(effects)
    assert not of(effects, Start)
    assert (1, HELD_RUNNING) in [(held.lease, held.state) for held in rig.agent.inventory()]
    assert of(effects, Signal) == [Signal(worker, "SIGKILL")] * 2, "again, should the first have met nobody"
    effects = rig.do(WorkerExited(worker, "SIGKILL"))
    assert [outcome.lease for outcome in outcomes(effects)] == [1]
    assert of(effects, Start)[0].frame.lease == 2


def test_what_is_dropped_while_it_ends_has_no_outcome() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.said(Cancel((1,), "", 5.0))
    rig.report(rig.worker_of(1), 1)
    rig.welcome(session=2, drop=(1,))
    assert not outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGKILL")))
    assert rig.agent.inventory() == ()


def test_cancel_without_grace_kills_at_once() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    assert of(rig.said(Cancel((1,), "", 0.0)), Signal) == [Signal(rig.worker_of(1), "SIGKILL")]


def test_a_time_limit() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, timeout=2.0))
    rig.said(Nak("x"))
    assert not of(rig.tick(1.9), Signal)
    assert of(rig.tick(0.2), Signal) == [Signal(rig.worker_of(1), "SIGTERM")]
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGTERM")))
    assert (outcome.status, outcome.error.text) == (TIMED_OUT, "TaskTimeout: ran longer than its timeout of 2 s")
    assert outcome.error.bases == ("maze.TaskTimeout", "builtins.TimeoutError")


def test_a_task_that_ignores_the_signal_is_killed_after_the_grace() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, timeout=2.0))
    assert of(rig.tick(2.0), Signal) == [Signal(rig.worker_of(1), "SIGTERM")]
    assert not of(rig.tick(4.9), Signal)
    assert of(rig.tick(0.1), Signal) == [Signal(rig.worker_of(1), "SIGKILL")]


def test_a_limit_on_silence_counts_from_the_last_output() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, idle_timeout=2.0), make_assignment(2, idle_timeout=2.0))
    assert not of(rig.tick(1.5, spoke=(1, 99)), Signal)
    assert of(rig.tick(1.0), Signal) == [Signal(rig.worker_of(2), "SIGTERM")]
    assert of(rig.tick(1.0), Signal) == [Signal(rig.worker_of(1), "SIGTERM")]
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGTERM")))
    assert outcome.error.text == "TaskTimeout: wrote no output for its idle_timeout of 2 s"
    assert (outcome.status, outcome.error.kind) == (TIMED_OUT, "timeout")


def test_the_time_limits_of_a_lease_count_from_its_own_start() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1, timeout=2.0, idle_timeout=1.0))
    assert not of(rig.tick(5.0), Signal)
    rig.report(rig.worker_of(1), 1)
    assert not of(rig.tick(0.9), Signal)
    assert of(rig.tick(0.1), Signal)


def test_who_takes_more_memory_than_it_may_is_killed_and_told_peak_claim_and_remedy() -> None:
    rig = Rig()
    effects = rig.assign(make_assignment(1, claim=Claim(1000, 500)))
    worker = rig.worker_of(1)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(NoteMemory) < kinds.index(Start), "what the worker had before is read before its task starts"
    rig.do(MemoryRead((MemoryUse(1, 564 * 1024),)))
    assert not rig.all(Signal)
    rig.do(MemoryRead((MemoryUse(1, 900 * 1024),)))
    assert rig.all(Signal) == [Signal(worker, "SIGKILL")], "at once: it would go on taking more"
    rig.do(MemoryRead((MemoryUse(1, 9000 * 1024),)))
    outcome = of(rig.do(WorkerExited(worker, "SIGKILL", None, 700 * 1024)), Result)[0].items[0]
    error = outcome.error
    assert (outcome.status, error.kind, error.type_name, error.peak_mib) == (FAILED, "memory", "MemoryExceeded", 900)
    assert not error.oom
    assert "took 900 MiB of memory, claimed 500 MiB" in error.text
    assert "resources={'cpu_mem': 1350}" in error.text
    assert outcome.peak_rss_kib == 900 * 1024, "the whole family, which the worker alone may be a small part of"


def test_who_takes_more_of_a_shared_device_than_it_may_is_killed() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, claim=Claim(1000, 0, (DeviceClaim(1, 0, 200),))))
    assert not rig.all(NoteMemory), "on a device all counts: a worker that has seen it serves nobody else"
    assert [each.devices for each in rig.agent.watched()] == [((1, ""),)]
    rig.do(MemoryRead((MemoryUse(1, 0, ((1, 713),)),)))
    outcome = of(rig.do(WorkerExited(rig.worker_of(1), "SIGKILL")), Result)[0].items[0]
    assert (outcome.error.type_name, outcome.error.peak_mib) == ("DeviceMemoryExceeded", 713)


def test_the_peak_of_what_is_watched_is_that_of_all_its_processes() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, claim=Claim(1000, 500)))
    for mib in (100, 300, 200):
        rig.do(MemoryRead((MemoryUse(1, mib * 1024), MemoryUse(99, 2**40))))
    assert of(rig.report(rig.worker_of(1), 1), Result)[0].items[0].peak_rss_kib == 300 * 1024


def test_watched_is_what_runs_and_is_not_being_ended() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, claim=Claim(1000, 500)), make_assignment(2), make_assignment(3, claim=Claim(9000, 9)))
    assert [(each.lease, each.limit_mib) for each in rig.agent.watched()] == [(1, 564)]
    rig.said(Cancel((1,), "stop", 5.0))
    assert rig.agent.watched() == ()


def test_recall_gives_back_only_what_has_not_started() -> None:
    rig = Rig()
    rig.assign(*(make_assignment(lease, grant=1) for lease in (1, 2, 3)))
    assert of(rig.said(Recall((1, 3, 99))), Release) == [Release((3,), "recalled")]


def test_giving_back_what_waits_leaves_the_slot_to_what_runs() -> None:
    rig = Rig()
    whole = Claim(4000, 0)
    rig.assign(make_assignment(1, grant=1, claim=whole), make_assignment(2, grant=1, claim=whole))
    rig.said(Recall((2,)))
    assert not of(rig.assign(make_assignment(3, claim=whole)), Start)
    assert of(rig.report(rig.worker_of(1), 1), Start)[0].frame.lease == 3


def test_repeated_assignments_change_nothing() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    assert not of(rig.assign(make_assignment(1)), Start)
    rig.report(rig.worker_of(1), 1)
    again = rig.assign(make_assignment(1))
    assert not of(again, Start)
    assert outcomes(again)[0].lease == 1


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"code": b"?" * 16}, "bad_code"),
        ({"inputs": (Input("x", None, (Value(0, 5, b"", 3),)),)}, "bad_input"),
        ({"inputs": (Input("x", Value(0, MAX_TASK_VALUES, b""), (Value(0, 1, b"\0"),)),)}, "too_large"),
    ],
)
def test_an_assignment_that_cannot_begin_fails_with_a_reason(fields, kind: str) -> None:
    rig = Rig()
    effects = rig.assign(make_assignment(1, **fields))
    assert not of(effects, Start)
    (outcome,) = outcomes(effects)
    assert (outcome.status, outcome.error.kind) == (FAILED, kind)
    assert outcome.error.message


def test_payload_frames_become_bodies() -> None:
    rig = Rig()
    rig.said(Code(b"2" * 16, "source", (3, 11), Value(1, 3, b"", 1)), (b"abc",))
    item = make_assignment(1, code=b"2" * 16, inputs=(Input("x", Value(0, 2, b"", 2), (Value(1, 1, b"", 1),)),))
    (start,) = of(rig.said(Assign((item,)), (b"p", b"tt")), Start)
    assert start.frame.fresh.body == b"abc"
    assert (start.frame.inputs[0].template.body, start.frame.inputs[0].parts[0].body) == (b"tt", b"p")


def test_code_that_did_not_come_whole_is_missed_when_needed() -> None:
    rig = Rig()
    rig.said(Code(b"3" * 16, "pickle", (3, 11), Value(1, 9, b"", 4)))
    assert outcomes(rig.assign(make_assignment(1, code=b"3" * 16)))[0].error.kind == "bad_code"


# -- silence and sessions


def test_after_the_lease_time_nothing_starts_and_what_runs_goes_on() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1))
    rig.do(LinkLost("silence"))
    rig.mono += 10.1
    late = WorkerReported(rig.worker_of(1), ReportFrame(2, OK, 0.0, late=True))
    effects = rig.report(rig.worker_of(1), 1) + rig.do(late)
    assert not of(effects, Start)
    assert not outcomes(effects)
    assert [(held.lease, held.state) for held in rig.agent.inventory()] == [(2, HELD_LEASED), (1, HELD_DONE)]
    rig.welcome(session=2)
    assert rig.all(Start)[-1].frame.lease == 2
    assert outcomes(rig.effects)[-1].lease == 1


def test_within_the_lease_time_a_lost_link_does_not_stop_the_queue() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1))
    rig.do(LinkLost("disconnected"))
    rig.mono += 9.0
    effects = rig.report(rig.worker_of(1), 1)
    assert not of(effects, Started)
    assert [(held.lease, held.state) for held in rig.agent.inventory()] == [(2, HELD_RUNNING), (1, HELD_DONE)]


def test_old_answers_from_a_buffer_do_not_open_the_fence() -> None:
    """SIGCONT: what the head said before it gave the leases away is read only now."""
    rig = Rig()
    rig.answers = False
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1))
    beat = of(rig.tick(1.0), Heartbeat)[0]
    rig.mono += 15.0
    buffered = [Said(HeartbeatAck(beat.sent_at)), Said(Assign((make_assignment(3),))), Said(Nak("x"))]
    report = WorkerReported(rig.worker_of(1), ReportFrame(1, OK, 1.0))
    effects = rig.do(report, *buffered) + rig.tick()
    assert not of(effects, Start)
    rig.do(LinkLost("lost"))
    rig.welcome(session=2, drop=(2,))
    assert rig.all(Start)[-1].frame.lease == 3


def test_a_welcome_that_waited_in_a_buffer_does_not_open_the_fence() -> None:
    rig = Rig()
    rig.do(LinkLost("x"))
    rig.mono += 20.0
    rig.answers = False
    welcome = Welcome(1, 0, 2, 1, b"c", 1.0, 3.0, 10.0, 600.0)
    assert not of(rig.do(Welcomed(welcome, rig.mono - 10.1)) + rig.assign(make_assignment(1)), Start)
    rig.answers = True
    assert of(rig.tick(1.0) + rig.tick(), Start), "a heartbeat is answered"


def test_what_is_said_outside_a_session_is_not_heard() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1))
    rig.do(LinkLost("x"))
    assert not of(rig.said(Cancel((1, 2))), Signal)
    assert len(rig.agent.inventory()) == 2


def test_after_the_orphan_time_everything_ends_and_results_stay() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2), make_assignment(3, grant=2))
    rig.report(rig.worker_of(1), 1)
    rig.do(LinkLost("silence"))
    assert not of(rig.tick(599.0), Signal)
    assert of(rig.tick(2.0), Signal) == [Signal(rig.worker_of(2), "SIGTERM")]
    assert of(rig.tick(6.0), Signal) == [Signal(rig.worker_of(2), "SIGKILL")]
    rig.do(WorkerExited(rig.worker_of(2), "SIGKILL"))
    assert [(held.lease, held.state) for held in rig.agent.inventory()] == [(1, HELD_DONE), (2, HELD_DONE)]


def test_a_head_that_comes_back_late_is_told_how_everything_ended() -> None:
    """HELLO told of leases that the node lets go of before WELCOME comes; the head must not wait for them for ever."""
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2, grant=1))
    rig.do(LinkLost("silence"))
    rig.tick(601.0)
    rig.welcome(session=2, keep=((1, 11), (2, 12)))
    assert [release.leases for release in rig.all(Release)] == [(12,)]
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGTERM")))
    assert (outcome.lease, outcome.status, outcome.error.kind) == (11, CRASHED, "node_lost")


def test_what_was_dropped_and_is_kept_after_all_has_an_outcome() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.welcome(session=2, drop=(1,))
    rig.welcome(session=3, keep=((1, 11),))
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGKILL")))
    assert (outcome.lease, outcome.error.kind) == (11, "node_lost")


def test_adoption_renames_what_runs_and_what_is_done() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2))
    rig.report(rig.worker_of(1), 1)
    rig.do(LinkLost("disconnected"))
    rig.effects.clear()
    rig.welcome(session=2, keep=((1, 11), (2, 12), (3, 13)))
    assert rig.all(RenameLog) == [RenameLog(1, 11), RenameLog(2, 12)]
    assert outcomes(rig.effects)[0].lease == 11
    assert (rig.agent.last_session, rig.agent.cluster) == (2, (b"c", 1))


def test_a_renamed_attempt_reports_under_its_new_lease() -> None:
    rig = Rig()
    rig.assign(make_assignment(2))
    worker = rig.worker_of(2)
    rig.welcome(session=2, keep=((2, 12),))
    assert outcomes(rig.report(worker, 2))[0].lease == 12


def test_an_adopted_attempt_no_longer_answers_to_its_old_lease() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1), make_assignment(2, grant=1), make_assignment(3))
    rig.report(rig.worker_of(3), 3)
    rig.welcome(session=2, keep=((1, 11), (2, 12), (3, 13), (4, 14)))
    held = rig.agent.inventory()
    assert {each.lease for each in held} == {11, 12, 13}
    effects = rig.said(Cancel((1, 3))) + rig.said(Recall((2,))) + rig.said(ResultAck((AckItem(3, 0),)))
    assert not of(effects, Signal) + of(effects, Release)
    assert rig.agent.inventory() == held
    effects = rig.report(rig.worker_of(1), 1)
    assert [outcome.lease for outcome in outcomes(effects)] == [11]
    effects = rig.report(rig.worker_of(1), 2)
    assert [outcome.lease for outcome in outcomes(effects)] == [12], "what was ahead has its new lease, too"
    rig.said(ResultAck((AckItem(13, 0), AckItem(11, 0))))
    assert [each.lease for each in rig.agent.inventory()] == [12]


def test_a_lease_is_not_renamed_to_one_that_is_there() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2))
    rig.report(rig.worker_of(2), 2)
    rig.welcome(session=2, keep=((1, 2),))
    assert {each.lease for each in rig.agent.inventory()} == {1, 2}


def test_a_start_is_said_under_the_lease_that_it_has_by_then() -> None:
    rig = Rig()
    rig.agent.handle(Said(Assign((make_assignment(1),))), rig.now)
    rig._collect(rig.agent.start(rig.now))
    rig.welcome(session=2, keep=((1, 11),))
    assert [item.lease for said in rig.all(Started) for item in said.items] == [11]


def test_what_the_head_drops_ends_without_an_outcome() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2, grant=1), make_assignment(3))
    rig.report(rig.worker_of(3), 3)
    rig.effects.clear()
    rig.welcome(session=2, drop=(1, 2, 3, 4))
    assert rig.all(Signal) == [Signal(1, "SIGKILL")]
    rig.do(WorkerExited(1, "SIGKILL"))
    assert not outcomes(rig.effects)
    assert rig.agent.inventory() == ()


def test_another_cluster_means_a_fresh_start() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2, grant=1))
    rig.welcome(session=1, cluster_id=b"other")
    assert [held.lease for held in rig.agent.inventory()] == [1]
    rig.do(WorkerExited(rig.worker_of(1), "SIGKILL"))
    assert rig.agent.inventory() == ()
    assert outcomes(rig.assign(make_assignment(1)))[0].error.kind == "bad_code"


def test_an_older_epoch_of_the_same_cluster_is_not_obeyed() -> None:
    rig = Rig()
    rig.welcome(session=5, epoch=3)
    rig.effects.clear()
    rig.assign(make_assignment(1))
    rig.welcome(session=6, epoch=2, drop=(1,))
    assert len(rig.all(Reconnect)) == 1
    assert rig.agent.cluster == (b"c", 3)
    effects = rig.said(Cancel((1,))) + rig.assign(make_assignment(2)) + rig.tick(5.0)
    assert not [effect for effect in effects if isinstance(effect, (Send, Signal, Start))], "nor spoken to"
    rig.welcome(session=7, epoch=3)
    assert [held.lease for held in rig.agent.inventory()] == [1]


def test_outcomes_go_out_again_in_a_new_session_only() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.report(rig.worker_of(1), 1)
    assert not outcomes(rig.tick(1.0))
    rig.effects.clear()
    rig.welcome(session=2)
    assert [outcome.lease for outcome in outcomes(rig.effects)] == [1]


def test_heartbeats_follow_the_heads_interval() -> None:
    rig = Rig()
    beats = [len(of(rig.tick(0.5), Heartbeat)) for _ in range(6)]
    assert beats == [0, 1, 0, 1, 0, 1]
    rig.do(LinkLost("x"))
    assert not of(rig.tick(5.0), Heartbeat)


def test_the_inventory_tells_what_runs_since_when() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    (held,) = rig.agent.inventory()
    assert (held.state, held.started_at) == (HELD_RUNNING, 1e9 + 1000.0)


def test_pulls_and_forgotten_logs_are_passed_on() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    pull = LogPull(1, 1, 1, 0)
    assert of(rig.said(pull), AnswerLog) == [AnswerLog(pull, over=False)]
    rig.report(rig.worker_of(1), 1)
    assert of(rig.said(pull), AnswerLog) == [AnswerLog(pull, over=True)]
    assert of(rig.said(Forget((1,))), DropLogs) == [DropLogs((1,))]


def test_results_beyond_the_memory_wait_on_disk_and_are_said_when_the_head_is_back() -> None:
    rig = Rig(result_memory=0)
    rig.assign(make_assignment(1), make_assignment(2))
    rig.do(LinkLost("x"))
    rig.report(rig.worker_of(1), 1)
    rig.report(rig.worker_of(2), 2)
    assert len(rig.disk) == 2
    assert [held.state for held in rig.agent.inventory()] == [HELD_DONE] * 2
    rig.effects.clear()
    rig.welcome(session=2, keep=((2, 12),))
    assert sorted(outcome.lease for outcome in outcomes(rig.effects)) == [1, 12]
    assert all(outcome.outputs[0].value.body == b"\x01" for outcome in outcomes(rig.effects))
    rig.said(ResultAck((AckItem(1, 0), AckItem(12, 0))))
    assert rig.disk == {}
    assert rig.agent.inventory() == ()


def test_a_node_whose_results_fit_nowhere_starts_nothing_more() -> None:
    rig = Rig(result_memory=100)
    rig.disk_full = True
    rig.assign(*(make_assignment(lease, grant=1) for lease in (1, 2, 3, 4)))
    worker = rig.worker_of(1)
    rig.report(worker, 1)
    effects = rig.report(worker, 2)
    assert of(effects, TakeBack) == [TakeBack(worker, (4,))], "two results of some 260 bytes wait; at most 400 may"
    effects = rig.report(worker, 3)
    assert not of(effects, Start)
    rig.said(ResultAck((AckItem(1, 0),)))
    effects = rig.said(ResultAck((AckItem(2, 0),)))
    assert of(effects, Start)[0].frame.lease == 4


# -- leaving


def test_drain_gives_back_waits_for_acknowledgements_and_leaves() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), make_assignment(2, grant=1))
    effects = rig.do(DrainAsked("SIGTERM", 30.0))
    assert of(effects, Drain) == [Drain("SIGTERM", 30.0)]
    assert of(effects, Release) == [Release((2,), "draining")]
    assert of(rig.assign(make_assignment(3)), Release) == [Release((3,), "draining")]
    assert not of(rig.report(rig.worker_of(1), 1), Leave)
    effects = rig.said(ResultAck((AckItem(1, 0),)))
    assert of(effects, Goodbye) == [Goodbye("SIGTERM")]
    assert of(effects, Leave) == [Leave("SIGTERM", 0)]
    assert not of(rig.said(Shutdown("again")), Leave)


def test_a_long_drain_ends_what_runs_and_then_does_not_wait_for_ever() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.said(Shutdown("maintenance", 5.0))
    assert of(rig.tick(5.1), Signal) == [Signal(rig.worker_of(1), "SIGTERM")]
    (outcome,) = outcomes(rig.do(WorkerExited(rig.worker_of(1), "SIGTERM")))
    assert (outcome.status, outcome.error.kind) == (CRASHED, "node_lost")
    assert of(rig.tick(10.0), Leave) == [Leave("drain timeout", 1)]


def test_a_draining_node_says_so_again_in_a_new_session() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.do(DrainAsked("x", 30.0))
    rig.effects.clear()
    rig.mono += 10
    rig.welcome(session=2)
    assert rig.all(Drain) == [Drain("x", 20.0)]


def test_an_idle_node_without_a_head_drains_at_once() -> None:
    rig = Rig(welcome=False)
    effects = rig.do(DrainAsked("x", 30.0))
    assert of(effects, Leave) == [Leave("x", 0)]
    assert not of(effects, Goodbye)


def test_a_drain_without_a_head_waits_for_its_results_to_be_taken_and_then_says_why_it_leaves() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.report(rig.worker_of(1), 1)
    rig.do(LinkLost("x"))
    assert not of(rig.do(DrainAsked("x", 5.0)) + rig.tick(14.0), Leave)
    assert of(rig.tick(1.0), Leave) == [Leave("drain timeout", 75)]


def test_without_a_head_for_the_head_time_the_node_leaves() -> None:
    rig = Rig(welcome=False)
    rig.agent = Agent(CAPACITY, head_timeout=60.0)
    assert not of(rig.tick() + rig.tick(59.0), Leave)
    rig.welcome()
    rig.said(CODE)
    rig.assign(make_assignment(1))
    rig.do(LinkLost("x"))
    assert not of(rig.tick(100.0), Leave), "counted from when it is alone"
    effects = rig.tick(60.0)
    assert of(effects, Leave) == [Leave("no head for 60 s", 75)]
    assert of(effects, Signal) == [Signal(rig.worker_of(1), "SIGKILL")]


def test_a_node_waits_for_its_head_for_ever() -> None:
    rig = Rig(welcome=False)
    assert not of(rig.tick() + rig.tick(1e9), Leave)


@pytest.mark.parametrize(("busy", "code"), [(True, 1), (False, 0)])
def test_stop_leaves_now(busy: bool, code: int) -> None:
    rig = Rig()
    if busy:
        rig.assign(make_assignment(1))
    effects = rig.do(StopAsked("SIGINT"))
    assert of(effects, Leave) == [Leave("SIGINT", code)]
    assert len(of(effects, Signal)) == busy


# -- workers


def test_workers_are_forked_ahead_up_to_one_per_cpu_and_surplus_leaves() -> None:
    rig = Rig()
    assert len(of(rig.tick(), Fork)) == 4
    rig.assign(*(make_assignment(lease, claim=Claim(100, 0)) for lease in range(1, 9)))
    assert len(rig.all(Fork)) == 8
    for lease in range(1, 9):
        rig.report(rig.worker_of(lease), lease)
    assert not of(rig.tick(29.0), Dismiss)
    assert len(of(rig.tick(2.0), Dismiss)) == 4


def test_the_limit_of_workers_holds_and_an_idle_one_makes_room() -> None:
    rig = Rig()
    rig.assign(*(make_assignment(lease, claim=Claim(100, 0)) for lease in range(1, 21)))
    assert len(rig.all(Fork)) == 8
    for lease in range(1, 9):
        rig.report(rig.worker_of(lease), lease)
    for lease in range(9, 17):
        rig.report(rig.worker_of(lease), lease)
    for lease in range(17, 21):
        rig.report(rig.worker_of(lease), lease)
    effects = rig.assign(make_assignment(30, claim=Claim(3000, 0)))
    (dismissed,) = of(effects, Dismiss)
    assert of(rig.do(WorkerExited(dismissed.worker, exit_code=0)), Start)[0].frame.lease == 30


def test_workers_that_die_before_they_had_a_task_slow_forking_down_and_the_head_is_told() -> None:
    rig = Rig()
    rig.tick()
    forks = 4
    for _ in range(5):
        for worker in list(range(1, 100)):
            rig.do(WorkerExited(worker, exit_code=1))
        forks += len(of(rig.tick(0.1), Fork))
    assert forks < 14
    assert of(rig.tick(6.0), Fork)
    assert rig.all(Heartbeat)[-1].load.fork_failures >= 4
    rig.tick(1.1)
    assert of(rig.tick(1.0), Heartbeat)[0].load.fork_failures == 0


def test_a_worker_killed_under_its_task_is_replaced_at_once_and_counts_for_nothing() -> None:
    rig = Rig()
    rig.tick()
    for lease in range(1, 9):
        rig.assign(make_assignment(lease, claim=Claim(4000, 0)))
        effects = rig.do(WorkerExited(rig.worker_of(lease), "SIGKILL"))
        assert outcomes(effects)[0].status == CRASHED
        rig.said(ResultAck((AckItem(lease, 0),)))
    assert len(of(rig.tick(1.0), Heartbeat)) == 1
    assert rig.all(Heartbeat)[-1].load.fork_failures == 0
    assert len(rig.all(Fork)) >= 8


def test_after_a_failure_a_spare_worker_is_tried_although_none_is_needed() -> None:
    rig = Rig()
    rig.tick()
    rig.assign(*(make_assignment(lease, claim=Claim(100, 0)) for lease in range(1, 5)))
    for lease in range(1, 5):
        rig.report(rig.worker_of(lease), lease)
    assert not of(rig.tick(2.0), Fork), "four workers are enough"
    rig.auto_fork = False
    (fork,) = of(rig.assign(make_assignment(9, claim=Claim(2000, 0))), Fork)
    rig.said(Cancel((9,), ""))
    rig.do(WorkerExited(fork.worker, exit_code=1))
    (trial,) = of(rig.tick(1.0), Fork)
    assert not of(rig.tick(1.0), Fork), "one at a time"
    rig.do(WorkerForked(trial.worker, 1))
    assert of(rig.tick(1.0), Heartbeat)[0].load.fork_failures == 0
    assert not of(rig.tick(1.0), Fork)


def test_a_worker_that_does_not_leave_is_killed() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, claim=Claim(1000, 0, (DeviceClaim(0, 500, 0),))))
    worker = rig.worker_of(1)
    rig.report(worker, 1)
    assert of(rig.tick(5.1), Signal) == [Signal(worker, "SIGKILL")]


def test_unknown_workers_are_ignored() -> None:
    rig = Rig()
    assert not rig.do(WorkerExited(77), WorkerForked(78, 1))
    assert not rig.report(79, 1)


def test_codes_are_known_by_their_hash() -> None:
    assert CODE.hash == make_assignment(1).code

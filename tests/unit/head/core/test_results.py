"""Reports of attempts: the accept rule, blame, logs, and nonsense from nodes."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from maze_head.core import effects as fx
from maze_protocol.events import AttemptLost, TaskFailed, TaskWarned
from maze_protocol.limits import LOG_TAIL
from maze_protocol.messages import (
    ACCEPTED,
    CRASHED,
    FAILED,
    OK,
    STALE,
    TIMED_OUT,
    ErrorInfo,
    Forget,
    Outcome,
    Result,
    ResultAck,
    Started,
    StartedItem,
)  # fmt: skip
from maze_protocol.values import ObjectRef, OutputValue, Value
from support.head_core import Head, add, ended, ok


def leased(tasks: int = 1) -> tuple[Head, list[int]]:
    head = Head()
    head.workflow(*(add(number) for number in range(tasks)))
    head.greet()
    head.run()
    leases = head.leases()
    head.forget()
    return head, leases


def verdicts(head: Head) -> list[tuple[int, int]]:
    acks = [send.message for send in head.take(fx.Send)]
    assert all(isinstance(ack, ResultAck) for ack in acks)
    return [(item.lease, item.verdict) for ack in acks for item in ack.items]


def test_a_start_is_told_before_the_end_and_once() -> None:
    head, (lease,) = leased()
    head.started(lease)
    head.started(lease)
    head.result(ok(lease))
    assert head.kinds() == ["TaskStarted", "TaskFinished", "RunFinished"]


def test_a_worker_that_died_with_its_spawner_is_blamed_on_the_node() -> None:
    head, _ = leased()
    for _ in range(19):
        (lease,) = head.core.state.leases.current
        head.result(ended(lease, CRASHED, "node_lost", name="SpawnerLost"))
    lost = [event for event in head.log() if isinstance(event, AttemptLost)]
    assert [event.error.kind for event in lost] == ["node_lost"] * 19, "any other budget would be spent by now"
    (lease,) = head.core.state.leases.current
    head.result(ended(lease, CRASHED, "node_lost", name="SpawnerLost"))
    (failed,) = [event for event in head.log() if isinstance(event, TaskFailed)]
    assert "the parent of its worker died 20x" in failed.error.message


def test_a_repeated_result_is_answered_as_the_first_and_changes_nothing() -> None:
    head, (lease, _) = leased(2)
    head.result(ok(lease), ok(lease))
    assert verdicts(head) == [(lease, ACCEPTED), (lease, ACCEPTED)]
    head.result(ended(lease, FAILED, "user"))
    assert verdicts(head) == [(lease, ACCEPTED)]
    assert head.kinds() == ["TaskStarted", "TaskFinished"]
    assert len(head.take(fx.Accept)) == 1


def test_unknown_and_foreign_tokens_are_stale() -> None:
    head, (lease,) = leased()
    head.greet(b"L2", "n2")
    head.forget()
    head.result(ok(lease), ok(4711), link=b"L2")
    assert verdicts(head) == [(lease, STALE), (4711, STALE)]
    assert head.core.state.counters.results_foreign == 1
    assert [(fact.kind, fact.body["node_id"], fact.body["holder"]) for fact in head.take(fx.AppendCluster)] == [
        ("foreign_result", "n2", "n1")
    ]
    head.done()
    head.result(ok(lease))
    assert verdicts(head) == [(lease, ACCEPTED)]


def test_a_node_that_lies_again_and_again_is_noted_once_per_session() -> None:
    head, leases = leased(2)
    head.greet(b"L2", "n2")
    head.forget()
    for lease in leases * 2:
        head.result(ok(lease), link=b"L2")
    assert len(head.take(fx.AppendCluster)) == 1
    head.greet(b"L3", "n2")
    head.forget()
    head.result(ok(leases[0]), link=b"L3")
    assert len(head.take(fx.AppendCluster)) == 1
    assert head.core.state.counters.results_foreign == 5


def test_a_late_result_of_a_lost_attempt_is_stale() -> None:
    head, (old,) = leased()
    head.wait(30)
    head.greet(b"L2", "n1")
    head.forget()
    (new,) = head.core.state.leases.current
    head.result(ok(old), link=b"L2")
    assert verdicts(head) == [(old, STALE)]
    head.result(ok(new), link=b"L2")
    assert verdicts(head) == [(new, ACCEPTED)]


def test_outputs_leave_with_their_payloads_and_only_sizes_stay() -> None:
    head, (lease,) = leased()
    value = Value(1, 100_000, b"", 1)
    outcome = Outcome(lease, OK, 1e9, 1.0, (OutputValue("y", value),))
    head.say(Result((outcome,)), payloads=(b"p" * 100_000,))
    assert head.take(fx.Accept) == [fx.Accept(1, 0, lease, outcome.outputs, (b"p" * 100_000,), 100_000)]


def test_three_crashes_fail_a_task_with_their_history() -> None:
    head, (lease,) = leased()
    for signal in ("SIGSEGV", "SIGKILL"):
        head.result(ended(lease, CRASHED, "crash", name="WorkerCrashed", signal=signal))
        assert [type(event) for event in head.log()][1] is AttemptLost
        (lease,) = head.leases()
    error = ErrorInfo("crash", "WorkerCrashed", "SIGKILL (killed, maybe out of memory)", signal="SIGKILL")
    head.result(Outcome(lease, CRASHED, 1e9, 1.0, error=error))
    (failed,) = [event for event in head.log() if isinstance(event, TaskFailed)]
    assert failed.attempt == 3
    assert failed.error.text == (
        "WorkerCrashed: SIGKILL (killed, maybe out of memory); the worker died 3x: SIGSEGV, SIGKILL, SIGKILL"
    )


@pytest.mark.parametrize("status", [FAILED, TIMED_OUT])
def test_a_tasks_own_error_is_final(status: int) -> None:
    head, (lease,) = leased()
    head.result(ended(lease, status, "user"))
    (failed,) = [event for event in head.log() if isinstance(event, TaskFailed)]
    assert failed.error.text == "Boom: bad thing"


def test_a_failure_without_a_reason_gets_one() -> None:
    head, (one, two) = leased(2)
    head.result(Outcome(one, FAILED, 1e9, 1.0), Outcome(two, CRASHED, 1e9, 1.0))
    log = head.log()
    assert [event.error.type_name for event in log if isinstance(event, TaskFailed)] == ["UnknownError"]
    assert [event.error.type_name for event in log if isinstance(event, AttemptLost)] == ["WorkerCrashed"]


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(0, 99, 1e9, 1.0),
        Outcome(0, OK, 1e9, math.nan),
        Outcome(0, OK, 1e9, -1.0),
        Outcome(0, OK, 1e9, 1.0, cpu_ms=math.inf),
        Outcome(0, OK, 1e9, 1.0, (OutputValue("y", Value(0, 5, b"", 3)),)),
        Outcome(0, OK, 1e9, 1.0, (OutputValue("y", Value(0, 5, b"x")),)),
        Outcome(0, OK, 1e9, 1.0, (OutputValue("y", Value(0, 9 << 20, b"x" * (9 << 20))),)),
        Outcome(0, OK, 1e9, 1.0, (OutputValue("y", Value(0, 1, b"x")),) * 2),
        Outcome(0, OK, 1e9, 1.0, tuple(OutputValue(str(n), Value(0, 1, b"x")) for n in range(1001))),
    ],
)
def test_an_outcome_that_cannot_be_true_counts_as_a_crash(outcome: Outcome) -> None:
    head, (lease,) = leased()
    given = {name: getattr(outcome, name) for name in outcome.__struct_fields__} | {"lease": lease}
    head.result(Outcome(**given))
    _, lost, _ = head.log()
    assert (lost.error.kind, lost.error.type_name) == ("crash", "BadResult")
    assert head.take(fx.Accept) == []
    assert verdicts(head) == [(lease, ACCEPTED)]


@pytest.mark.parametrize("started_at", [math.nan, -math.inf, 0.0])
def test_an_impossible_start_time_becomes_ours(started_at: float) -> None:
    head, (lease,) = leased()
    head.say(Started((StartedItem(lease, started_at),)))
    assert [event.started_at for event in head.log()] == [head.now.wall]


def test_tails_of_output_and_warnings_are_kept_within_bounds() -> None:
    head, (lease,) = leased()
    outcome = ok(lease, stdout_tail=b"o" * (LOG_TAIL + 9), stderr_size=7, warnings=("w" * 900,) * 50)
    head.result(outcome)
    (saved,) = head.take(fx.SaveLog)
    assert (len(saved.stdout), saved.stdout_size, saved.stderr, saved.stderr_size) == (LOG_TAIL, LOG_TAIL + 9, b"", 7)
    texts = [event.text for event in head.log() if isinstance(event, TaskWarned)]
    assert (len(texts), len(texts[0])) == (20, 500)


def test_an_attempt_that_said_nothing_keeps_no_log() -> None:
    head, (lease,) = leased()
    head.result(ok(lease))
    assert head.take(fx.SaveLog) == []


def object_of(lease: int, output: int = 0, size: int = 100, **given: Any) -> Outcome:
    value = Value(0, given.pop("told", size), given.pop("body", b""), ref=ObjectRef(lease, output, size, 0, **given))
    return Outcome(lease, OK, 1e9, 2.5, (OutputValue("y", value),))


@pytest.mark.parametrize(
    "lie",
    [
        {"lease": 1}, {"output": 1}, {"hash": b"h" * 32}, {"size": 1 << 45}, {"told": 99}, {"body": b"1" * 100},
    ],
)  # fmt: skip
def test_an_object_that_cannot_be_is_a_crash_and_is_thrown_away(lie: dict[str, Any]) -> None:
    head, (lease,) = leased()
    outcome = msgspec.structs.replace(object_of(**{"lease": lease, **lie}), lease=lease)
    head.result(outcome)
    (lost,) = [event for event in head.log() if isinstance(event, AttemptLost)]
    assert (lost.error.kind, lost.error.type_name) == ("crash", "BadResult")
    assert Forget((lease,)) in [send.message for send in head.take(fx.Send)]


def test_objects_do_not_count_as_values_of_a_message() -> None:
    head, (lease,) = leased()
    head.result(object_of(lease, size=1 << 40))
    assert head.kinds() == ["TaskStarted", "TaskFinished"]


def test_whoever_a_node_names_as_holders_is_not_kept() -> None:
    head, (lease,) = leased()
    head.result(object_of(lease, holders=(("tcp://elsewhere:1", "", b""),)))
    (accept,) = head.take(fx.Accept)
    assert accept.outputs[0].value.ref == ObjectRef(lease, 0, 100, 0)

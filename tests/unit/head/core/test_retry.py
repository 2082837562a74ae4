"""Who gets another attempt, and when."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import events as ev
from maze_head.core.retry import crash_of, retry_pause, spent
from maze_head.core.tasks import TaskSpec
from maze_protocol.events import AttemptLost, TaskFailed
from maze_protocol.messages import CRASHED, FAILED, TIMED_OUT, ErrorInfo
from maze_protocol.resources import Request
from support.head_core import Head, R, add, ended, ok, raw, tid

ERROR = ErrorInfo("user", "ValueError", "bad", bases=("app.Bad", "builtins.ValueError", "builtins.Exception"))


def spec(**given: Any) -> TaskSpec:
    return TaskSpec(raw(1), "t", Request(1000, 0), (0, 0), **{"retries": 3, "retry_backoff": 2.0, **given})


def test_pauses_double_and_fall_anywhere_below_their_bound() -> None:
    for had in range(3):
        drawn = [retry_pause(spec(), [ERROR] * had, ERROR, token) for token in range(400)]
        bound = 2.0 * 2**had
        assert all(pause is not None and 0 <= pause < bound for pause in drawn)
        assert max(pause or 0 for pause in drawn) > 0.9 * bound
        assert min(pause or 9 for pause in drawn) < 0.1 * bound
    assert retry_pause(spec(), [ERROR] * 3, ERROR, 1) is None


@pytest.mark.parametrize(("backoff", "bound"), [(2.0, 30.0), (100.0, 100.0)])
def test_pauses_have_an_end(backoff: float, bound: float) -> None:
    had = [ERROR] * 20
    pauses = [retry_pause(spec(retries=50, retry_backoff=backoff), had, ERROR, token) or 0 for token in range(200)]
    assert 0.9 * bound < max(pauses) <= bound


def test_without_backoff_there_is_no_pause() -> None:
    assert retry_pause(spec(retry_backoff=0.0), [], ERROR, 1) == 0.0


@pytest.mark.parametrize(
    ("names", "again"),
    [
        ((), True),
        (("ValueError",), True),
        (("builtins.Exception",), True),
        (("app.Bad",), True),
        (("KeyError", "Bad"), True),
        (("Error",), False),
        (("other.Bad",), False),
    ],
)
def test_only_the_named_errors_are_tried_again(names: tuple[str, ...], again: bool) -> None:
    assert (retry_pause(spec(retry_on=names), [], ERROR, 1) is not None) == again


@pytest.mark.parametrize("kind", ["bad_code", "bad_input", "python_mismatch", "too_large", "crash", "node_lost"])
def test_what_another_attempt_would_meet_again_is_not_tried_again(kind: str) -> None:
    assert retry_pause(spec(), [], ErrorInfo(kind, "X", "y"), 1) is None


def test_other_faults_do_not_count() -> None:
    assert retry_pause(spec(retries=1), [ErrorInfo("crash", "X", "y")] * 2, ERROR, 1) is not None


def failing(**given: Any) -> tuple[Head, int]:
    """Return a head whose only task was leased to n1; effects taken."""
    head = Head()
    head.workflow(add(1, retries=2, **given))
    head.greet()
    head.run()
    (lease,) = head.leases()
    head.forget()
    return head, lease


def test_a_failed_task_waits_for_its_time_and_fails_for_good_at_last() -> None:
    head, lease = failing(retry_backoff=4.0)
    head.result(ended(lease, FAILED, "user"))
    (_, lost) = head.log()
    assert isinstance(lost, AttemptLost)
    assert lost.node == "n1"
    pause = lost.not_before - head.now.wall
    assert 0 < pause <= 4
    assert head.ask(ev.ExplainTask, R, raw(1)).code == "backoff"
    head.wait(pause - 0.01)
    head.beat()
    assert head.leases() == []
    head.wait(0.02)
    (second,) = head.leases()
    head.result(ended(second, TIMED_OUT, "timeout"))
    head.wait(8)
    head.beat()
    (third,) = head.leases()
    head.forget()
    head.result(ended(third, FAILED, "user"))
    failed = head.log()[-2]
    assert isinstance(failed, TaskFailed)
    assert (failed.attempt, failed.error.text) == (3, "Boom: bad thing")


def test_a_pause_goes_on_across_a_restart() -> None:
    head, lease = failing(retry_backoff=25.0)
    head.result(ended(lease, FAILED, "user"))
    (_, lost) = head.log()
    other = head.recover()
    other.wait(lost.not_before - other.now.wall - 0.01)
    other.greet(b"L2", incarnation=2)
    assert other.leases() == []
    other.wait(0.02)
    assert len(other.leases()) == 1


def test_a_paused_task_is_cancelled_like_any_other() -> None:
    head, lease = failing(retry_backoff=25.0)
    head.result(ended(lease, FAILED, "user"))
    head.ask(ev.CancelRun, R)
    assert head.kinds()[-1] == "RunCancelled"
    head.wait(30)
    assert head.leases() == []
    assert tid(1)


@pytest.mark.parametrize(("status", "kind"), [(FAILED, "user"), (CRASHED, "crash")])
def test_what_may_start_once_is_never_tried_again(status: int, kind: str) -> None:
    head = Head()
    head.workflow(add(1, at_most_once=True))
    head.greet()
    head.run()
    head.result(ended(head.leases()[0], status, kind))
    assert head.kinds()[-2:] == ["TaskFailed", "RunFinished"]


def test_what_may_start_once_fails_with_its_node_after_the_whole_lease_time() -> None:
    head = Head()
    head.workflow(add(1, at_most_once=True))
    head.greet()
    head.run()
    (lease,) = head.leases()
    head.forget()
    head.do(ev.LinkLost(b"L1", "disconnected"))
    head.wait(5)
    head.greet(b"L2", "n2")
    head.forget()
    assert head.core.state.leases.current[lease]
    head.wait(6)
    assert head.kinds() == ["TaskFailed", "RunFinished"]


def test_a_task_that_recovers_forgets_its_errors() -> None:
    head, lease = failing(retry_backoff=0.0)
    head.result(ended(lease, FAILED, "user"))
    head.result(ok(head.leases()[0]))
    assert head.kinds()[-2:] == ["TaskFinished", "RunFinished"]


def test_the_evidence_of_a_crash_stays_with_the_history_of_all() -> None:
    last = ErrorInfo("crash", "WorkerCrashed", "it died", signal="SIGKILL", stderr_tail="oops", exit_code=-9)
    final = spent([ErrorInfo("crash", "X", "first"), ErrorInfo("crash", "Y", "second")], last, 3)
    assert final is not None
    assert (final.signal, final.stderr_tail, final.exit_code) == ("SIGKILL", "oops", -9)
    assert final.message == "it died; the worker died 3x: first, second, SIGKILL"
    assert crash_of(ErrorInfo("user", "Z", "odd", oom=True)) == ErrorInfo("crash", "Z", "odd", oom=True)

"""Cancellation, fail-fast and sealing."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_protocol.events import CancelRequested, RunCancelled, RunFinished, TaskCancelled
from maze_protocol.messages import CANCELLED, FAILED, STALE, Cancel, Release, ResultAck
from support.head_core import Head, R, add, ended, ok


def running(*ops, fail_fast: bool = False) -> tuple[Head, list[int]]:
    head = Head()
    head.workflow(*ops)
    head.greet()
    head.run(fail_fast=fail_fast)
    leases = head.leases()
    head.started(*leases)
    head.forget()
    return head, leases


def test_a_cancel_tells_holders_and_drops_the_rest_at_once() -> None:
    head, (lease,) = running(add(1), add(2, 1), add(3, 2))
    body = head.ask(ev.CancelRun, R, "no longer needed")
    assert (body.status, body.running, body.sealed) == ("cancelling", 1, False)
    assert head.log() == [CancelRequested("no longer needed")]
    assert head.take(fx.Send) == [fx.Send(b"L1", Cancel((lease,), "no longer needed", 5.0))]
    head.done()

    head.result(ended(lease, CANCELLED, "cancelled"))
    assert head.log() == [TaskCancelled(0, 1, "no longer needed", True), RunCancelled(0, 0, 3)]
    (send,) = head.take(fx.Send)
    assert isinstance(send.message, ResultAck)
    head.done()
    assert head.ask(ev.DescribeRun, R).status == "cancelled"


def test_a_result_that_raced_the_cancel_is_stale_and_one_before_it_stands() -> None:
    head, (one, two) = running(add(1), add(2), add(3, 1))
    head.result(ok(one))
    head.leases()
    head.ask(ev.CancelRun, R)
    head.forget()
    head.result(ok(two))
    (send,) = head.take(fx.Send)
    assert [item.verdict for item in send.message.items] == [STALE]
    head.result(ended(head.core.state.runs[1].lease[2], CANCELLED, "cancelled"))
    assert head.log()[-1] == RunCancelled(1, 0, 2)


def test_a_cancelled_run_is_sealed_when_its_last_holder_is_lost() -> None:
    head, _ = running(add(1), add(2))
    head.ask(ev.CancelRun, R)
    head.forget()
    head.wait(30)
    assert head.kinds() == ["TaskCancelled", "TaskCancelled", "RunCancelled"]


def test_a_lease_released_by_a_cancelled_run_is_not_tried_again() -> None:
    head, (lease,) = running(add(1))
    head.ask(ev.CancelRun, R)
    head.forget()
    head.say(Release((lease,)))
    assert head.kinds() == ["TaskCancelled", "RunCancelled"]
    assert head.leases() == []


def test_cancel_twice_and_after_the_end_is_no_change() -> None:
    head, (lease,) = running(add(1))
    head.ask(ev.CancelRun, R)
    head.forget()
    head.ask(ev.CancelRun, R)
    head.done()
    head.result(ok(lease))
    head.forget()
    assert head.ask(ev.CancelRun, R).status == "cancelled"
    head.done()


def test_cancelling_a_run_that_nobody_holds_seals_it_at_once() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    head.run()
    body = head.ask(ev.CancelRun, R)
    assert head.log()[1:] == [CancelRequested("cancelled by the user"), RunCancelled(0, 0, 2)]
    assert head.ask(ev.DescribeRun, R).status == "cancelled"
    assert (body.status, body.sealed) == ("cancelled", True)


def test_nothing_starts_after_a_cancel() -> None:
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 4}) for number in range(3)))
    head.greet()
    head.run()
    (lease,) = head.leases()
    head.ask(ev.CancelRun, R)
    head.result(ok(lease))
    assert head.leases() == []
    assert head.core.state.ready.queues == {}


def test_fail_fast_stops_at_the_first_failure_and_ends_as_finished() -> None:
    head, (one, two) = running(add(1), add(2), add(3, 2), add(4, 3), fail_fast=True)
    head.result(ended(one, FAILED, "user"))
    assert head.kinds() == ["TaskFailed", "TaskSkipped", "TaskSkipped"]
    cancels = [send.message for send in head.take(fx.Send) if isinstance(send.message, Cancel)]
    assert [cancel.leases for cancel in cancels] == [(two,)]
    assert head.ask(ev.DescribeRun, R).status == "running"
    head.result(ok(two))
    assert head.log() == [TaskCancelled(1, 1, "another task of this run failed", True), RunFinished(0, 1, 3)]
    body = head.ask(ev.DescribeRun, R)
    assert (body.status, body.finished, body.failed, body.skipped) == ("failed", 0, 1, 3)


def test_a_fail_fast_run_can_still_be_cancelled() -> None:
    head, (one, two) = running(add(1), add(2), fail_fast=True)
    head.result(ended(one, FAILED, "user"))
    head.forget()
    head.ask(ev.CancelRun, R)
    assert head.log() == [CancelRequested("cancelled by the user")]
    assert head.take(fx.Send) == []
    head.result(ended(two, CANCELLED, "cancelled"))
    assert head.log()[-1] == RunCancelled(0, 1, 1)


def test_memory_of_a_sealed_run_is_its_summary() -> None:
    head, leases = running(add(1), add(2))
    head.result(*(ok(lease) for lease in leases))
    head.edit(add(3))
    state = head.core.state
    assert (state.runs, state.queues, state.graphs, state.ready.queues) == ({}, {}, {}, {})
    assert list(state.sealed) == [1]

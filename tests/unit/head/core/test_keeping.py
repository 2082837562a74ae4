"""The head keeps what a run leaves behind: ordered at once, again after a pause, and no run is over without."""

from __future__ import annotations

from typing import Any

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_protocol.events import OutputKept
from maze_protocol.messages import Drain, Forget, Goodbye, Holding
from support.head_core import Head, R, add, large, ok

MIB = 1 << 20


def left_behind(*more: Any, **given: Any) -> tuple[Head, int]:
    """Return a head whose task 0 made an object on n1, with the lease."""
    head = Head()
    head.workflow(add(0, **given), *more)
    head.meet()
    head.run()
    lease, *_ = head.leases()
    head.result(large(lease))
    return head, lease


def kept(task: int = 0, run_no: int = 1) -> ev.ObjectKept:
    return ev.ObjectKept(run_no, task, 0, MIB, 7)


def forgotten(head: Head) -> list[int]:
    return [lease for send in head.take(fx.Send) if isinstance(send.message, Forget) for lease in send.message.leases]


def test_a_run_is_over_when_the_head_has_what_its_last_tasks_made() -> None:
    head, lease = left_behind()
    (order,) = head.take(fx.KeepObject)
    assert (order.run_no, order.task_no, order.output) == (1, 0, 0)
    assert (order.ref.lease, order.ref.size) == (lease, MIB)
    assert [(name, key) for name, key, _ in order.ref.holders] == [("n1", "key of n1")]
    assert head.kinds()[-1] == "TaskFinished"
    head.do(kept())
    assert head.kinds() == ["OutputKept", "RunFinished"]
    assert forgotten(head) == [lease]
    assert not head.core.state.objects.made


def test_what_is_passed_on_is_not_kept_unless_it_is_asked_for() -> None:
    head, lease = left_behind(add(1, 0))
    assert head.take(fx.KeepObject) == []
    head, lease = left_behind(add(1, 0), keep=True)
    assert len(head.take(fx.KeepObject)) == 1
    head.do(kept())
    assert forgotten(head) == [], "a task waits for it"
    head.result(ok(*head.leases()))
    assert forgotten(head) == [lease]


def test_a_cancelled_run_keeps_what_was_made_before() -> None:
    head, _ = left_behind(add(1))
    head.ask(ev.CancelRun, R)
    (other,) = head.core.state.leases.current
    head.result(ok(other))
    assert 1 in head.core.state.runs
    head.do(kept())
    assert head.kinds()[-2:] == ["OutputKept", "RunCancelled"]


def test_the_head_is_told_again_after_a_pause() -> None:
    head, _ = left_behind()
    head.forget()
    head.do(ev.ObjectUnkept(1, 0, 0, "nobody answered"))
    head.wait(0.5)
    assert head.take(fx.KeepObject) == []
    head.wait(0.5)
    assert len(head.take(fx.KeepObject)) == 1
    head.do(kept())
    assert head.kinds() == ["OutputKept", "RunFinished"]


def test_nothing_is_tried_as_long_as_no_holder_is_heard() -> None:
    head, lease = left_behind()
    head.do(ev.LinkLost(b"L1", "gone"))
    head.do(ev.ObjectUnkept(1, 0, 0, "its connection broke"))
    head.forget()
    head.wait(2.0)
    assert head.take(fx.KeepObject) == []
    head.meet(b"L2")
    head.beat(b"L2")
    head.wait(0.25)
    assert head.take(fx.KeepObject) == [], "it told that it has nothing"
    assert head.core.state.objects.made[lease].parts[0].holders == {}


def test_after_a_restart_the_head_is_told_again_once_a_holder_is_heard() -> None:
    head, lease = left_behind()
    head = head.recover()
    head.wait(0.25)
    assert head.take(fx.KeepObject) == []
    head.greet(b"L9", minor=3)
    head.wait(0.25)
    assert [order.ref.lease for order in head.take(fx.KeepObject)] == [lease]


def test_what_was_kept_before_a_restart_is_not_kept_again() -> None:
    head, _ = left_behind(add(1, 0), keep=True)
    head.do(kept())
    assert [event for event in head.log() if isinstance(event, OutputKept)] == [OutputKept(0, 0, "y", MIB)]
    head = head.recover()
    head.greet(b"L9", minor=3)
    head.wait(2.0)
    assert head.take(fx.KeepObject) == []
    assert head.ask(ev.LocateObject, R, 0, 0).kept


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    head, _ = left_behind()
    head.do(kept())
    head.forget()
    head.do(kept())
    head.do(kept(task=5))
    head.do(ev.ObjectUnkept(1, 0, 0, "late"))
    head.do(ev.ObjectUnkept(7, 0, 0, "never asked"))
    head.done()


def test_a_run_that_is_over_otherwise_stops_the_getting() -> None:
    head, lease = left_behind()
    assert head.core.state.objects.made[lease].parts[0].keeping
    head.do(kept())
    assert head.take(fx.DropObjects) == [], "there was nothing to stop"


def draining(*more: Any, **given: Any) -> tuple[Head, int]:
    head, lease = left_behind(*more, **given)
    head.meet(b"L2", "n2")
    head.forget()
    head.say(Drain())
    head.wait(0.25)
    return head, lease


def test_a_node_that_drains_hands_off_what_only_it_has_and_somebody_needs() -> None:
    head, lease = draining(add(1, 0, resources={"cpu": 8}))
    assert [order.ref.lease for order in head.take(fx.KeepObject)] == [lease]
    assert forgotten(head) == []
    head.wait(0.25)
    assert head.take(fx.KeepObject) == [], "once at a time"
    head.do(kept())
    assert [event for event in head.log() if isinstance(event, OutputKept)] == [OutputKept(0, 0, "y", MIB)]
    head.wait(0.25)
    assert forgotten(head) == [lease]
    head.say(Goodbye())
    assert head.ask(ev.LocateObject, R, 0, 0).kept
    assert 1 in head.core.state.runs


def test_what_another_node_has_too_is_thrown_away_at_once() -> None:
    head, lease = left_behind(add(1, 0, resources={"cpu": 8}))
    head.meet(b"L2", "n2")
    head.say(Holding(((lease, 0),)), b"L2")
    head.forget()
    head.say(Drain())
    head.wait(0.25)
    assert head.take(fx.KeepObject) == []
    assert forgotten(head) == [lease]
    assert list(head.core.state.objects.made[lease].parts[0].holders) == ["n2"]


def test_what_nobody_needs_does_not_hold_a_node_back() -> None:
    head, lease = left_behind(add(1, 0), add(2, resources={"cpu": 8}))
    head.result(ok(*[lease for lease in head.leases() if lease in head.core.state.leases.current]))
    head.say(Drain())
    head.forget()
    head.wait(0.25)
    assert head.take(fx.KeepObject) == []
    assert forgotten(head) == [lease]


def test_handing_off_is_tried_again() -> None:
    head, lease = draining(add(1, 0, resources={"cpu": 8}))
    head.forget()
    head.do(ev.ObjectUnkept(1, 0, 0, "no answer"))
    head.wait(0.5)
    assert head.take(fx.KeepObject) == []
    head.wait(0.5)
    assert [order.ref.lease for order in head.take(fx.KeepObject)] == [lease]

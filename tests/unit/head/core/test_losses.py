"""Objects whose last holder is gone: made anew if somebody needs them, else forgotten; given up in words."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.losses import MISSES
from maze_protocol.events import (
    ObjectGone,
    ObjectLost,
    ObjectRebuilt,
    RunFinished,
    TaskFailed,
    TaskFinished,
    TaskReleased,
    TaskSkipped,
    TaskStarted,
    TaskWarned,
)
from maze_protocol.messages import FAILED, HELD_RUNNING, Forget, Goodbye, Holding, Starved
from maze_protocol.resources import Capacity
from support.head_core import Head, R, add, ended, held, large, ok

MIB = 1 << 20


def of(head: Head, *kinds: type) -> list[Any]:
    return [event for event in head.log() if isinstance(event, kinds)]


def chain(tasks: int, *, busy: bool = True, **given: Any) -> tuple[Head, list[int]]:
    """Return a head that has run all but the last of a chain of tasks on n1, each giving an object to the next.

    Args:
        busy: the last task has to wait, since n1 is too small for it.
    """
    head = Head()
    last = {"resources": {"cpu": 8}} if busy else {}
    ops = [add(0, **given), *(add(number, number - 1, **given) for number in range(1, tasks - 1))]
    head.workflow(*ops, add(tasks - 1, tasks - 2, **last))
    head.meet()
    head.run()
    leases = []
    for _ in range(tasks - 1):
        leases += head.leases()
        head.result(large(leases[-1]))
    return head, leases


def other(head: Head, name: str = "n2", link: bytes = b"L2", cpu: int = 4) -> None:
    """Let another node join."""
    head.meet(link, name, capacity=Capacity(cpu * 1000, 4096, (), 16))


def lose(head: Head, link: bytes = b"L1") -> None:
    head.say(Goodbye(), link)


def test_what_a_waiting_task_needs_is_made_anew_under_a_lease_of_its_own() -> None:
    head, (first,) = chain(2)
    head.forget()
    lose(head)
    assert of(head, ObjectLost) == [ObjectLost(0, (0,), "n1", 1)]
    assert head.core.state.runs[1].counts[:2] == [1, 1], "the task is ready again, and the next one waits"
    other(head)
    (again,) = head.leases()
    assert again != first
    head.result(large(again), link=b"L2")
    assert head.take(fx.Accept) == [], "the accepted result stands"
    events = head.log()
    assert [type(event).__name__ for event in events] == ["TaskLeased", "TaskStarted", "ObjectRebuilt"]
    assert events[1].rebuild
    assert (events[2].lease, events[2].node, events[2].diverged) == (again, "n2", ())
    other(head, "n3", b"L3", cpu=8)
    (assigned,) = head.take(fx.AssignTask)
    assert assigned.inputs[0][2][0].ref.lease == again
    head.result(ok(assigned.assignment.lease), link=b"L3")
    assert of(head, TaskFinished, RunFinished)[-1] == RunFinished(2, 0, 0)


def test_bytes_that_differ_are_told() -> None:
    head, _ = chain(2)
    lose(head)
    other(head)
    head.log()
    (again,) = head.leases()
    head.result(large(again, 5 * MIB), link=b"L2")
    (rebuilt,) = of(head, ObjectRebuilt)
    assert (rebuilt.diverged, rebuilt.outputs[0].size) == (("y",), 5 * MIB)


def test_nothing_is_made_anew_as_long_as_somebody_has_it() -> None:
    head, (first,) = chain(2)
    other(head)
    head.say(Holding(((first, 0),)), b"L2")
    head.forget()
    lose(head)
    assert of(head, ObjectLost) == []
    lose(head, b"L2")
    assert of(head, ObjectLost) == [ObjectLost(0, (0,), "n2", 1)]


def test_nothing_is_made_anew_that_nobody_needs() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0), add(2, resources={"cpu": 8}))
    head.meet()
    head.run()
    (first,) = head.leases()
    head.result(large(first))
    head.result(ok(*head.leases()))
    lose(head)
    assert of(head, ObjectLost) == []
    assert 1 in head.core.state.runs


def test_what_the_head_has_yet_to_keep_is_made_anew() -> None:
    head = Head()
    head.workflow(add(0))
    head.meet()
    head.run()
    head.result(large(*head.leases()))
    head.forget()
    lose(head)
    assert of(head, ObjectLost) == [ObjectLost(0, (0,), "n1", -1)]
    other(head)
    (again,) = head.leases()
    head.result(large(again), link=b"L2")
    (order,) = head.take(fx.KeepObject)
    assert order.ref.lease == again
    head.do(ev.ObjectKept(1, 0, 0, MIB, 7))
    assert of(head, RunFinished) == [RunFinished(1, 0, 0)]


def test_what_the_head_has_is_not_made_anew() -> None:
    head, _ = chain(2, keep=True)
    head.do(ev.ObjectKept(1, 0, 0, MIB, 7))
    lose(head)
    assert of(head, ObjectLost) == []
    other(head, cpu=8)
    (assigned,) = head.take(fx.AssignTask)
    assert [endpoint for endpoint, _, _ in assigned.inputs[0][2][0].ref.holders] == [""], "the head serves it"


def test_a_node_that_serves_nobody_three_times_is_believed_no_more() -> None:
    head = Head()
    head.workflow(add(0))
    head.meet()
    head.run()
    head.result(large(*head.leases()))
    for _ in range(3):
        head.beat()
        head.do(ev.ObjectUnkept(1, 0, 0, "nobody answered"))
        head.wait(1.0)
    assert of(head, ObjectLost) == [ObjectLost(0, (0,), "n1", -1)]


def test_lost_inputs_of_what_is_made_anew_are_made_anew_first() -> None:
    head, _ = chain(4)
    head.forget()
    lose(head)
    assert of(head, ObjectLost) == [
        ObjectLost(0, (0,), "n1", 1), ObjectLost(1, (0,), "n1", 2), ObjectLost(2, (0,), "n1", 3),
    ]  # fmt: skip
    other(head)
    for _ in range(3):
        (again,) = head.leases()
        head.result(large(again), link=b"L2")
    assert [event.task for event in of(head, ObjectRebuilt)] == [0, 1, 2]
    assert head.core.state.runs[1].counts[1] == 1


def test_no_more_than_three_tasks_in_a_row_are_run_again() -> None:
    head, _ = chain(5)
    head.forget()
    lose(head)
    gone, failed = of(head, ObjectGone, TaskFailed)
    assert (gone.task, failed.task, failed.error.kind, failed.error.type_name) == (3, 4, "object_lost", "ObjectLost")
    assert "output 'y' of task 't3' is lost: node n1, which held it last, has it no more" in failed.error.message
    assert "3 tasks in a row" in failed.error.message


def test_what_may_be_started_once_only_is_not_run_again() -> None:
    head, _ = chain(2, at_most_once=True)
    head.forget()
    lose(head)
    gone, failed, finished = of(head, ObjectLost, ObjectGone, TaskFailed, RunFinished)
    assert (gone.task, gone.outputs, failed.task) == (0, (0,), 1)
    assert "'t0' may be started once only" in failed.error.message
    assert finished == RunFinished(1, 1, 0)


def test_a_task_is_run_again_three_times_at_most() -> None:
    head, _ = chain(2)
    link = b"L1"
    for number in range(2, 6):
        lose(head, link)
        link = b"L%d" % number
        other(head, f"n{number}", link)
        leases = head.leases()
        if number < 5:
            head.result(large(*leases), link=link)
    (failed,) = of(head, TaskFailed)
    assert "'t0' was run again 3 times" in failed.error.message


@pytest.mark.parametrize("how", ["fail", "other"])
def test_an_attempt_to_make_it_anew_that_fails_fails_who_waits_for_it(how: str) -> None:
    head = Head()
    head.workflow(add(0), add(1, 0, resources={"cpu": 8}), add(2, 1))
    head.meet()
    head.run()
    head.result(large(*head.leases()))
    lose(head)
    other(head)
    head.log()
    (again,) = head.leases()
    head.forget()
    head.result(ended(again, FAILED, "user") if how == "fail" else large(again, key="z"), link=b"L2")
    gone, failed, skipped, finished = of(head, ObjectGone, TaskFailed, TaskSkipped, RunFinished)
    assert (gone.task, failed.task, skipped.task, finished) == (0, 1, 2, RunFinished(1, 1, 1))
    assert "Boom: bad thing" in failed.error.message if how == "fail" else "other outputs" in failed.error.message
    thrown = [send.message for send in head.take(fx.Send) if isinstance(send.message, Forget)]
    assert thrown == ([] if how == "fail" else [Forget((again,))])


def test_a_run_ends_with_a_warning_if_what_it_leaves_behind_is_gone() -> None:
    head = Head()
    head.workflow(add(0, at_most_once=True))
    head.meet()
    head.run()
    head.result(large(*head.leases()))
    head.log()
    lose(head)
    warned, gone, finished = head.log()
    assert isinstance(warned, TaskWarned)
    assert "output 'y' of task 't0' is lost" in warned.text
    assert isinstance(gone, ObjectGone)
    assert finished == RunFinished(1, 0, 0)


def test_a_task_that_has_its_inputs_goes_on_and_one_that_comes_back_waits_for_them() -> None:
    head, _ = chain(2, busy=False)
    other(head)
    (consumer,) = head.leases()
    head.say(Starved(consumer, (), "for another reason"))
    head.wait(0.5)
    (consumer,) = head.leases()
    head.started(consumer)
    head.log()
    head.say(Goodbye())
    assert [type(event).__name__ for event in head.log()] == ["TaskReleased", "ObjectLost", "TaskLeased"]
    (again,) = head.take(fx.AssignTask)
    assert again.assignment.name == "t0"


def starve(head: Head, first: int) -> None:
    """Let the node that has the consumer's lease get its input from nobody."""
    (consumer,) = head.leases()
    head.forget()
    head.say(Starved(consumer, ((first, 0),), "n1 does not answer"), b"L2")


def test_a_connection_that_fails_for_a_moment_costs_no_object() -> None:
    head, (first,) = chain(2)
    other(head, cpu=8)
    for _ in range(MISSES - 1):
        starve(head, first)
        assert head.kinds() == ["TaskReleased"]
        head.wait(0.5)
    head.say(Holding(((first, 0),)))
    for _ in range(MISSES - 1):
        starve(head, first)
        head.wait(0.5)
    assert of(head, ObjectLost) == [], "whoever tells that it has it is believed again"


def test_many_that_fail_at_once_fail_once() -> None:
    head = Head()
    head.workflow(add(0), *(add(number, 0, resources={"cpu": 5}) for number in range(1, 6)))
    head.meet()
    head.run()
    (first,) = head.leases()
    head.result(large(first))
    other(head, cpu=40)
    consumers = head.leases()
    assert len(consumers) == 5
    for lease in consumers:
        head.say(Starved(lease, ((first, 0),), "n1 does not answer"), b"L2")
    assert of(head, ObjectLost) == []


def test_who_was_named_is_believed_no_more_if_nodes_get_an_input_from_nobody_again_and_again() -> None:
    head, (first,) = chain(2)
    other(head, cpu=8)
    for _ in range(MISSES - 1):
        starve(head, first)
        head.wait(0.5)
    head.log()
    starve(head, first)
    released, lost, leased = head.log()
    assert isinstance(released, TaskReleased)
    assert released.reason == "n1 does not answer"
    assert lost == ObjectLost(0, (0,), "n1", 1)
    assert leased.task == 0
    assert Forget((first,)) in [send.message for send in head.take(fx.Send)], "it may have it after all"


def test_a_lease_that_is_handed_back_in_vain_is_tried_again_after_a_pause() -> None:
    head, (first,) = chain(2, keep=True)
    head.do(ev.ObjectKept(1, 0, 0, MIB, 7))
    other(head, cpu=8)
    (consumer,) = head.leases()
    head.say(Starved(consumer, ((first, 0), (999, 0)), "the head does not answer"), b"L2")
    assert head.leases() == []
    head.wait(0.5)
    assert len(head.leases()) == 1
    head.say(Starved(consumer, (), "again"), b"L2")
    assert head.core.state.counters.messages_ignored == 1


def test_a_task_waits_while_the_only_holder_is_not_heard() -> None:
    head, _ = chain(2)
    head.do(ev.LinkLost(b"L1", "gone"))
    other(head, cpu=8)
    assert head.leases() == []
    head.meet(b"L3", "n1", inventory=())
    assert of(head, ObjectLost) == [ObjectLost(0, (0,), "n1", 1)], "it has lost it"


def test_a_task_goes_on_when_the_only_holder_is_heard_again() -> None:
    head, (first,) = chain(2)
    head.do(ev.LinkLost(b"L1", "gone"))
    other(head, cpu=8)
    head.greet(b"L3", "n1", minor=3, peer_endpoint="tcp://n1:1")
    head.say(Holding(((first, 0),), whole=True), b"L3")
    head.wait(0.5)
    assert len(head.leases()) == 1
    assert of(head, ObjectLost) == []


def test_a_cancelled_run_makes_nothing_anew() -> None:
    head, _ = chain(2)
    lose(head)
    assert head.core.state.runs[1].counts[:2] == [1, 1]
    head.ask(ev.CancelRun, R)
    assert [type(event).__name__ for event in head.log()][-3:] == ["ObjectGone", "CancelRequested", "RunCancelled"]
    assert head.core.state.sealed[1].body.finished == 1


def test_an_attempt_to_make_it_anew_is_stopped_with_its_run() -> None:
    head, _ = chain(2)
    lose(head)
    other(head)
    (again,) = head.leases()
    head.ask(ev.CancelRun, R)
    head.log()
    head.result(large(again), link=b"L2")
    started, gone, sealed = head.log()
    assert started.rebuild
    assert isinstance(gone, ObjectGone)
    assert (sealed.finished, sealed.cancelled) == (1, 1)


def test_a_run_that_stops_by_a_failure_makes_nothing_anew() -> None:
    head = Head()
    head.workflow(add(0, resources={"cpu": 8}), add(1, 0, resources={"cpu": 16}), add(2))
    head.meet()
    head.run(fail_fast=True)
    (second,) = head.leases()
    other(head, cpu=8)
    (first,) = head.leases()
    head.result(large(first), link=b"L2")
    lose(head, b"L2")
    head.log()
    head.result(ended(second, FAILED, "user"))
    kinds = [type(event).__name__ for event in head.log()]
    assert kinds == ["TaskStarted", "TaskFailed", "ObjectGone", "TaskSkipped", "RunFinished"]


def test_a_lost_attempt_to_make_it_anew_is_tried_again() -> None:
    head, _ = chain(2)
    lose(head)
    other(head)
    (again,) = head.leases()
    head.started(again, link=b"L2")
    head.meet(b"L3", "n3")
    head.do(ev.LinkLost(b"L2", "gone"))
    head.beat(b"L3")
    for _ in range(6):
        head.wait(2.0)
        head.beat(b"L3")
    (third,) = head.leases()
    head.result(large(third), link=b"L3")
    assert len(of(head, ObjectRebuilt)) == 1


def test_a_restarted_head_waits_for_what_nodes_hold_before_it_judges() -> None:
    head, _ = chain(2)
    head = head.recover()
    head.wait(5.0)
    assert of(head, ObjectLost) == []
    head.wait(6.0)
    assert of(head, ObjectLost) == [ObjectLost(0, (0,), "n1", 1)], "its node did not come back"


def test_a_restarted_head_goes_on_with_what_is_being_made_anew() -> None:
    head, _ = chain(2)
    lose(head)
    other(head)
    (again,) = head.leases()
    head.started(again, link=b"L2")
    head = head.recover()
    head.greet(b"L9", "n2", minor=3, inventory=(held(again, HELD_RUNNING),))
    head.result(large(again), link=b"L9")
    assert [event.task for event in of(head, ObjectRebuilt)] == [0]
    assert of(head, TaskStarted) == []


def test_objects_of_runs_that_are_over_go_with_their_last_holder() -> None:
    head, _ = chain(2, busy=False)
    head.result(ok(*head.leases()))
    assert head.core.state.objects.made
    lose(head)
    assert not head.core.state.objects.made
    head.wait(1000.0)
    assert head.take(fx.DropObjects) == []

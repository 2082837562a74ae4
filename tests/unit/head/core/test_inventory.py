"""What a node that comes back still holds."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_protocol.cluster import LimitRequest
from maze_protocol.events import AttemptLost, TaskAdopted, TaskFailed, TaskLeased, TaskReleased, TaskStarted
from maze_protocol.messages import ACCEPTED, HELD_DONE, HELD_LEASED, HELD_RUNNING, STALE, Disconnect, Drain, Release
from support.head_core import Head, R, add, held, ok


def busy(tasks: int = 1, **given: Any) -> tuple[Head, list[int]]:
    """Return a head whose node n1 on L1 was leased that many tasks; effects taken."""
    head = Head()
    head.workflow(*(add(number, **given) for number in range(tasks)))
    head.greet()
    head.run()
    leases = head.leases()
    head.forget()
    return head, leases


def welcome(head: Head) -> Any:
    (admit,) = head.take(fx.Admit)
    return admit.welcome


def verdicts(head: Head) -> list[int]:
    return [item.verdict for send in head.take(fx.Send) for item in send.message.items]


def test_the_same_process_on_a_new_link_keeps_what_it_holds() -> None:
    head, (one, two, three) = busy(3)
    head.greet(b"L2", inventory=(held(one, HELD_RUNNING), held(two, HELD_DONE), held(99, HELD_RUNNING)))
    assert [(drop.link, drop.message.code) for drop in head.take(fx.Drop)] == [(b"L1", "superseded")]
    (admit,) = head.take(fx.Admit)
    assert admit.welcome.keep == ((one, one), (two, two))
    assert admit.welcome.send == (two,)
    assert admit.welcome.drop == (99,)
    assert head.kinds() == ["TaskReleased", "TaskStarted", "TaskLeased"]
    assert three not in head.leases()
    head.result(ok(one), link=b"L1")
    assert head.kinds() == []
    head.result(ok(one), ok(two), link=b"L2")
    assert head.kinds() == ["TaskFinished", "TaskStarted", "TaskFinished"]


def test_inventory_of_another_cluster_is_dropped() -> None:
    head, (lease,) = busy()
    head.greet(b"L2", inventory=(held(lease, HELD_LEASED),), cluster_id=b"D" * 16)
    (admit,) = head.take(fx.Admit)
    assert (admit.welcome.keep, admit.welcome.drop) == ((), (lease,))


def lost() -> tuple[Head, int]:
    """Return a head that gave up n1 while it ran its task, and has no other node."""
    head, (lease,) = busy()
    head.started(lease)
    head.wait(30)
    head.forget()
    return head, lease


def test_work_of_a_lost_node_that_nobody_has_begun_again_goes_on() -> None:
    head, lease = lost()
    head.greet(b"L2", inventory=(held(lease, HELD_RUNNING),))
    ((old, new),) = welcome(head).keep
    assert old == lease < new
    adopted, started = head.log()
    assert isinstance(adopted, TaskAdopted)
    assert isinstance(started, TaskStarted)
    assert (adopted.attempt, adopted.lease, adopted.old_lease, adopted.refunded) == (2, new, lease, True)
    assert head.leases() == []
    head.result(ok(lease), link=b"L2")
    assert verdicts(head) == [STALE]
    head.result(ok(new), link=b"L2")
    assert verdicts(head) == [ACCEPTED]
    assert head.kinds() == ["TaskFinished", "RunFinished"]


def test_a_result_that_was_ready_all_the_time_is_asked_for() -> None:
    head, lease = lost()
    head.greet(b"L2", inventory=(held(lease, HELD_DONE),))
    told = welcome(head)
    assert told.send == tuple(new for _, new in told.keep)
    head.result(ok(told.send[0]), link=b"L2")
    assert head.kinds() == ["TaskAdopted", "TaskStarted", "TaskFinished", "RunFinished"]


def test_an_adopted_attempt_does_not_count_as_lost() -> None:
    head, lease = lost()
    for number in range(2, 12):
        link = b"L%d" % number
        head.greet(link, inventory=(held(lease, HELD_RUNNING),))
        lease = welcome(head).keep[0][1]
        head.wait(30)
    assert not [event for event in head.log() if isinstance(event, TaskFailed)]


def test_an_attempt_whose_limit_others_use_by_now_does_not_go_on() -> None:
    head = Head()
    head.ask(ev.SetLimit, "api", LimitRequest(concurrency=1))
    head.workflow(add(0, limits={"api": 1}, require={"disk": ""}), add(1, limits={"api": 1}))
    head.greet(labels={"disk": "ssd"})
    head.run()
    (old,) = head.leases()
    head.started(old)
    head.wait(30)
    head.greet(b"L2", "n2")
    (other,) = head.leases()
    head.forget()
    head.greet(b"L3", "n1", labels={"disk": "ssd"}, inventory=(held(old, HELD_RUNNING),))
    assert welcome(head).drop == (old,)
    head.result(ok(other), link=b"L2")
    assert len(head.leases()) == 1, "it is tried again when it may"


def test_an_attempt_that_goes_on_spends_no_rate_again() -> None:
    head = Head()
    head.ask(ev.SetLimit, "api", LimitRequest(rate="1/h"))
    head.workflow(add(0, limits={"api": 1}))
    head.greet()
    head.run()
    (old,) = head.leases()
    head.started(old)
    head.wait(30)
    pause = head.core.state.allowances.pause("api", head.mono)
    head.forget()
    head.greet(b"L2", inventory=(held(old, HELD_RUNNING),))
    assert [pair[0] for pair in welcome(head).keep] == [old]
    assert head.core.state.allowances.pause("api", head.mono) == pause > 0


def test_an_adoption_of_which_the_node_never_heard_is_told_again() -> None:
    head, lease = lost()
    head.greet(b"L2", inventory=(held(lease, HELD_RUNNING),))
    ((_, new),) = welcome(head).keep
    head.greet(b"L3", inventory=(held(lease, HELD_RUNNING),))
    assert welcome(head).keep == ((lease, new),)
    after = head.recover()
    after.greet(b"L4", inventory=(held(lease, HELD_RUNNING),))
    assert welcome(after).keep == ((lease, new),)
    after.result(ok(new), link=b"L4")
    assert verdicts(after) == [ACCEPTED]


def test_an_adopted_task_that_is_lost_again_waits_once() -> None:
    head, lease = lost()
    head.greet(b"L2", inventory=(held(lease, HELD_RUNNING),))
    head.wait(30)  # the invariants look at the queues
    head.greet(b"L3", "n2")
    assert [event.node for event in head.log() if isinstance(event, TaskLeased)] == ["n2"]


def test_room_gained_while_an_adopted_task_left_its_queue_empty_is_seen_by_the_next_one() -> None:
    head, lease = lost()
    head.greet(b"L2", inventory=(held(lease, HELD_RUNNING),))
    head.say(Drain(), b"L2")
    head.greet(b"L3", "n2")
    head.forget()
    head.run(b"q" * 16)
    assert len(head.leases()) == 1


@pytest.mark.parametrize(
    "how", ["begun elsewhere", "lost there, too", "another process", "another node", "not begun", "cancelled"]
)
def test_what_goes_on_elsewhere_or_nowhere_is_dropped(how: str) -> None:
    head, lease = lost()
    name, incarnation, state = "n1", 1, HELD_RUNNING
    if how == "begun elsewhere":
        head.greet(b"L9", "n9")
    elif how == "lost there, too":
        head.greet(b"L9", "n9")
        head.wait(30)
    elif how == "another process":
        incarnation = 2
    elif how == "another node":
        name = "n2"
    elif how == "not begun":
        state = HELD_LEASED
    else:
        head.ask(ev.CancelRun, R)
    head.forget()
    head.greet(b"L2", name, incarnation, inventory=(held(lease, state),))
    assert (welcome(head).keep, head.take(fx.Drop)) == ((), [])
    assert not [event for event in head.log() if isinstance(event, TaskAdopted)]


def test_what_may_start_once_and_has_vanished_is_not_tried_again() -> None:
    head, (one, two) = busy(2, at_most_once=True)
    head.started(one)
    head.greet(b"L2", last_session=head.core.state.nodes["n1"].session)
    assert welcome(head).keep == ()
    log = head.log()
    assert [(event.task, event.error.type_name) for event in log if isinstance(event, TaskFailed)] == [
        (0, "AttemptVanished")
    ]
    assert [event.lease for event in log if isinstance(event, TaskReleased)] == [two]
    assert head.take(fx.Drop) == [
        fx.Drop(b"L1", Disconnect("superseded", "a newer connection of this node id took its place"))
    ]


def test_a_hello_from_before_the_order_is_no_proof_that_it_never_ran() -> None:
    """Seed 111327: the order was on its way when the node said HELLO again, and the task began twice."""
    head, (lease,) = busy(at_most_once=True)
    head.greet(b"L2", last_session=0)
    assert welcome(head).keep == ((lease, lease),)
    assert list(head.core.state.leases.current) == [lease]
    head.forget()
    head.say(Release((lease,), "let go while the head was away"), b"L2")
    (again,) = head.leases()
    assert again != lease


def test_a_lost_attempt_is_remembered_across_a_restart() -> None:
    head, lease = lost()
    other = head.recover()
    other.greet(b"L2", inventory=(held(lease, HELD_RUNNING),))
    ((old, _),) = welcome(other).keep
    assert old == lease
    assert AttemptLost not in map(type, other.log())

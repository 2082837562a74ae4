"""Short tasks queue behind grants: as many as hide a round trip, never at the cost of another's turn."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core.queueing import MOST_QUEUED, QUEUED_SECONDS, STUCK_SECONDS
from maze_protocol.messages import CRASHED, Drain, Recall, Release
from maze_protocol.resources import Capacity, Device
from support.head_core import Head, add, ended, held, ok

ONE = Capacity(1000, 0, (), 4)
TWO = Capacity(2000, 0, (), 4)
OTHER = b"v" * 16


def head_with(tasks: int, capacity: Capacity = ONE, **options: Any) -> Head:
    """Return a head that has begun a run of independent tasks on one node, and knows nothing of their function."""
    head = Head()
    head.workflow(*(add(number, **options) for number in range(tasks)))
    head.greet(capacity=capacity)
    head.run()
    return head


def orders(head: Head) -> list[tuple[int, int]]:
    """Take the assignments: (grant, lease)."""
    return [(order.assignment.grant, order.assignment.lease) for order in head.take(fx.AssignTask)]


def finish_one(head: Head, wall_ms: float = 1.0) -> list[tuple[int, int]]:
    """End the only attempt after so long, and return what is ordered then."""
    ((_, first),) = orders(head)
    head.result(ok(first, wall_ms=wall_ms))
    return orders(head)


def test_a_function_that_nobody_knows_queues_nowhere() -> None:
    head = head_with(10)
    assert len(orders(head)) == 1


def test_half_of_what_waits_queues_behind_the_next_grant_of_a_short_function() -> None:
    placed = finish_one(head_with(101), 0.1)
    assert len(placed) == 50
    assert {grant for grant, _ in placed} == {placed[0][1]}, "the grant is the first lease, and all queue behind it"


@pytest.mark.parametrize(("wall_ms", "count"), [(0.001, MOST_QUEUED), (1.0, 20), (7.0, 3), (20.0, 1), (5000.0, 1)])
def test_what_queues_is_twenty_milliseconds_of_work_at_most(wall_ms: float, count: int) -> None:
    placed = finish_one(head_with(2000), wall_ms)
    assert len(placed) == count


def test_a_grant_is_filled_up_as_its_leases_end_and_holds_its_room_until_the_last() -> None:
    head = head_with(8)
    placed = finish_one(head)
    seen = [*placed]
    ledger = head.core.state.nodes["n1"].ledger
    while placed:
        assert (ledger.attempts, ledger.cpu_free) == (1, 0)
        grant, lease = placed.pop(0)
        assert grant == seen[0][0], "one grant serves the whole queue"
        head.result(ok(lease, wall_ms=1.0))
        more = orders(head)
        placed += more
        seen += more
    assert len(seen) == 7
    assert (ledger.attempts, ledger.cpu_free) == (0, 1000)


def test_tasks_spread_over_room_before_they_queue() -> None:
    head = head_with(9, TWO)
    first, second = orders(head)
    head.result(ok(first[1], wall_ms=1.0))
    placed = orders(head)
    assert {grant for grant, _ in placed} == {placed[0][1], second[0]}
    assert sorted(grant == second[0] for grant, _ in placed) == [False, False, True], "each runs one, one waits"


@pytest.mark.parametrize(
    "options",
    [
        {"resources": {"cpu": 1, "gpu": 1}},
        {"limits": {"api": 1}},
        {"apart": "word"},
        {"at_most_once": True},
    ],
    ids=str,
)
def test_what_holds_more_than_room_queues_nowhere(options: dict[str, Any]) -> None:
    placed = finish_one(head_with(20, Capacity(1000, 0, (Device(0, 1000),), 4), **options))
    assert len(placed) == 1


def test_who_comes_first_in_turn_is_not_kept_out_by_what_follows() -> None:
    head = head_with(40)
    ((_, first),) = orders(head)
    head.workflow(add(1, resources={"cpu": 1, "cpu_mem": 0}, require={"zone": ""}), workflow_id=OTHER)
    head.greet(b"L1", capacity=ONE, labels={"zone": "a"}, inventory=(held(first, 1),))
    head.forget()
    head.run(b"q" * 16, OTHER, project="other")
    head.result(ok(first, wall_ms=1.0))
    ((grant, lease),) = orders(head)
    assert grant == lease, "the other project has nothing yet: its task gets the room"


def test_a_grant_is_not_filled_up_while_another_project_waits_for_that_room() -> None:
    head = head_with(200)
    placed = finish_one(head)
    head.workflow(add(1), workflow_id=OTHER)
    head.run(b"q" * 16, OTHER, project="other")
    for _, lease in placed:
        assert orders(head) == []
        head.result(ok(lease, wall_ms=1.0))
    (one,) = head.take(fx.AssignTask)
    assert one.assignment.project == "other"


def test_a_task_too_large_for_that_room_keeps_nobody_from_queueing() -> None:
    head = head_with(200)
    placed = finish_one(head)
    head.workflow(add(1, resources={"cpu": 8}), workflow_id=OTHER)
    head.run(b"q" * 16, OTHER, project="other")
    head.result(ok(placed[0][1], wall_ms=1.0))
    assert len(orders(head)) >= 1


def test_what_queues_behind_a_slow_one_is_called_back_and_the_grant_closed() -> None:
    head = head_with(60)
    placed = finish_one(head)
    head.started(placed[0][1])
    head.wait(STUCK_SECONDS / 2)
    assert [send.message for send in head.take(fx.Send) if isinstance(send.message, Recall)] == []
    head.wait(STUCK_SECONDS / 2)
    (recall,) = [send.message for send in head.take(fx.Send) if isinstance(send.message, Recall)]
    assert recall.leases == tuple(lease for _, lease in placed[1:])
    head.say(Release(recall.leases, "recalled"))
    head.wait(STUCK_SECONDS)
    assert [send.message for send in head.take(fx.Send) if isinstance(send.message, Recall)] == []
    assert orders(head) == [], "nothing queues there any more"
    head.result(ok(placed[0][1], wall_ms=400.0))
    ((grant, lease),) = orders(head)
    assert grant == lease


def test_a_crash_is_charged_to_the_one_that_ran() -> None:
    head = head_with(60)
    placed = finish_one(head)
    tokens = [lease for _, lease in placed]
    head.result(ended(tokens[0], CRASHED, "crash"))
    head.say(Release(tuple(tokens[1:]), "its worker died"))
    (run,) = head.core.state.runs.values()
    assert [len(faults) for faults in run.faults.values()] == [1]


def test_a_draining_node_gets_nothing_more() -> None:
    head = head_with(60)
    placed = finish_one(head)
    head.say(Drain("enough"))
    head.result(ok(placed[0][1], wall_ms=1.0))
    assert orders(head) == []


def test_leases_of_one_grant_share_its_room_after_a_recovery_too() -> None:
    head = head_with(60)
    placed = finish_one(head)
    later = head.recover()
    ledger = later.core.state.nodes["n1"].ledger
    assert (ledger.attempts, ledger.cpu_free) == (1, 0)
    later.greet(capacity=ONE, incarnation=1, inventory=tuple(held(lease, 0) for _, lease in placed))
    later.forget()
    for _, lease in placed[:-1]:
        later.result(ok(lease, wall_ms=1.0))
        assert (ledger := later.core.state.nodes["n1"].ledger).attempts == 1
        assert orders(later) == [], "an old grant is not filled up"
    later.result(ok(placed[-1][1], wall_ms=1.0))
    assert len(orders(later)) > 1


def test_the_bound_is_that_of_the_decisions() -> None:
    assert (QUEUED_SECONDS, MOST_QUEUED) == (0.02, 256)

"""Results wait for more only while their workers have enough in hand; whatever leaves one idle does not."""

from __future__ import annotations

import pytest

from maze_head.core import effects as fx
from maze_head.core.events import NodeSaid
from maze_head.core.patience import HANDLING, LONGEST, SHARE, SHORTEST
from maze_protocol.messages import Goodbye, Heartbeat, Message, Outcome, Release, Result, Started, StartedItem
from maze_protocol.resources import Capacity
from support.head_core import Head, add, ok

ONE = Capacity(1000, 0, (), 4)


def head_with(wall_ms: float, tasks: int = 2000) -> tuple[Head, list[int]]:
    """Return a head whose only grant has as much behind it as there may be, and those leases."""
    head = Head()
    head.workflow(*(add(number) for number in range(tasks)))
    head.greet(capacity=ONE)
    head.run()
    (first,) = head.take(fx.AssignTask)
    head.result(ok(first.assignment.lease, wall_ms=wall_ms))
    return head, [order.assignment.lease for order in head.take(fx.AssignTask)]


def patience(head: Head, message: Message, link: bytes = b"L1") -> float:
    return head.core.patience(NodeSaid(link, message))


def ends(*leases: int) -> Result:
    return Result(tuple([ok(lease) for lease in leases]))


def test_a_share_of_what_is_in_hand_at_most_some_milliseconds() -> None:
    head, leases = head_with(1.0)
    assert len(leases) == 20
    assert patience(head, ends(*leases[:5])) == pytest.approx(SHARE * 15 * (0.001 + HANDLING))
    assert patience(head, ends(leases[0])) == LONGEST
    head, leases = head_with(7.0)
    assert patience(head, ends(leases[0])) == pytest.approx(SHARE * (len(leases) - 1) * (0.007 + HANDLING))


def test_what_leaves_a_worker_with_little_or_nothing_does_not_wait() -> None:
    head, leases = head_with(1.0)
    assert patience(head, ends(*leases)) == 0.0
    left = int(SHORTEST / SHARE / (0.001 + HANDLING))
    assert patience(head, ends(*leases[left:])) == 0.0
    assert patience(head, ends(*leases[left + 1 :])) > 0.0


def test_the_grant_that_has_least_left_decides() -> None:
    head, leases = head_with(1.0)
    head.greet(b"L2", "n2", capacity=ONE)
    (other,) = head.core.state.nodes["n2"].grants.values()
    assert patience(head, ends(leases[0])) == LONGEST
    assert patience(head, ends(*other.leases), b"L2") == 0.0
    assert patience(head, ends(next(iter(other.leases))), b"L2") > 0.0


def test_a_lone_task_does_not_wait() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet(capacity=ONE)
    head.run()
    (order,) = head.take(fx.AssignTask)
    assert patience(head, ends(order.assignment.lease)) == 0.0


def test_what_only_tells_how_things_stand_waits_and_everything_else_does_not() -> None:
    head, leases = head_with(1.0)
    assert patience(head, Heartbeat(0.0)) == LONGEST
    assert patience(head, Started((StartedItem(leases[0], 1.0),))) == LONGEST
    assert patience(head, Release((leases[-1],), "full")) == 0.0
    assert patience(head, Goodbye("gone")) == 0.0


def test_only_results_that_count_wait() -> None:
    head, leases = head_with(1.0)
    assert patience(head, ends(12345)) == 0.0, "stale: answered at once"
    assert patience(head, ends(leases[0]), b"nobody") == 0.0
    assert patience(head, Heartbeat(0.0), b"nobody") == 0.0
    assert patience(head, Result((Outcome(leases[0], 77, 1.0, 1.0), ok(12345)))) == LONGEST

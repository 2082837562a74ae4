"""Leases behind their grants."""

from __future__ import annotations

from collections import deque

import pytest

from maze_node.core.leases import Lease, Leases
from maze_protocol.messages import HELD_LEASED, HELD_RUNNING
from support.node_core import make_assignment


def fill(*grants: int) -> Leases:
    leases = Leases()
    for number, grant in enumerate(grants, 1):
        leases.add(Lease(number, make_assignment(number, grant=grant), ()))
    return leases


def tokens(leases: Leases) -> list[int]:
    return [lease.token for lease in leases.next_of_each_grant()]


def take(leases: Leases, *numbers: int) -> list[Lease]:
    found = [lease for number in numbers if (lease := leases.get(number)) is not None]
    assert len(found) == len(numbers)
    return found


def test_the_first_of_each_grant_is_next() -> None:
    leases = fill(10, 20, 10)
    assert tokens(leases) == [1, 2]
    first = leases.get(1)
    assert first is not None
    leases.start(first, 5)
    assert tokens(leases) == [3, 2]
    assert (leases.running_of(10), leases.running_of(20)) == (first, None)
    assert (leases.running(), leases.running_count) == ([first], 1)
    assert [lease.token for lease in leases.waiting()] == [2, 3]
    leases.remove(first)
    assert sorted(tokens(leases)) == [2, 3]
    assert leases.has_more(10)


def test_what_is_ahead_follows_in_order_and_is_put_back_into_its_old_place() -> None:
    leases = fill(10, 10, 10, 10)
    first, second, third, fourth = take(leases, 1, 2, 3, 4)
    leases.start(first, 5)
    leases.send_ahead([second], 5)
    leases.send_ahead([third], 5)
    assert (leases.ahead_of(10), leases.all_ahead()) == (deque([second, third]), [second, third])
    assert [held.state for held in leases.inventory()] == [HELD_RUNNING, HELD_LEASED, HELD_LEASED, HELD_LEASED]
    leases.remove(first)
    assert leases.uses(10)
    assert leases.follow(10) is second
    assert (second.runs, third.runs, leases.running()) == (True, False, [second])
    leases.put_back(third)
    leases.put_back(second)
    assert [lease.token for lease in leases.waiting()] == [2, 3, 4]
    for lease in (second, third, fourth):
        assert leases.waiting_of(10)[0] is lease
        leases.remove(lease)
    assert (leases.uses(10), leases.follow(10), leases.waiting_of(10), len(leases)) == (False, None, (), 0)


def test_order_within_a_grant_is_kept() -> None:
    leases = fill(10, 10)
    second = leases.get(2)
    assert second is not None
    with pytest.raises(AssertionError):
        leases.start(second, 1)


def test_removing_and_renaming() -> None:
    leases = fill(10, 10)
    first = leases.get(1)
    assert first is not None
    leases.rename(first, 11)
    assert 1 not in leases
    assert leases.get(11) is first
    assert first.grant == 10
    leases.remove(first)
    assert tokens(leases) == [2]
    assert len(leases) == 1


def test_a_lease_without_a_grant_is_its_own() -> None:
    assert Lease(4, make_assignment(4, grant=0), ()).grant == 4


def test_several_go_ahead_at_once_in_their_order_only() -> None:
    leases = fill(10, 10, 10)
    first, second, third = take(leases, 1, 2, 3)
    leases.start(first, 5)
    with pytest.raises(AssertionError, match="in order"):
        leases.send_ahead([third, second], 5)
    leases.send_ahead([second, third], 5)
    assert (leases.ahead_of(10), leases.waiting_of(10)) == (deque([second, third]), ())
    assert [(lease.worker, lease.ahead) for lease in (second, third)] == [(5, True)] * 2

"""Leases behind their grants."""

from __future__ import annotations

import pytest

from maze_node.core.leases import Lease, Leases
from support.node_core import make_assignment


def fill(*grants: int) -> Leases:
    leases = Leases()
    for number, grant in enumerate(grants, 1):
        leases.add(Lease(number, make_assignment(number, grant=grant), ()))
    return leases


def tokens(leases: Leases) -> list[int]:
    return [lease.token for lease in leases.next_of_each_grant()]


def test_the_first_of_each_idle_grant_is_next() -> None:
    leases = fill(10, 20, 10)
    assert tokens(leases) == [1, 2]
    first = leases.get(1)
    assert first is not None
    leases.start(first, 5)
    assert tokens(leases) == [2]
    assert (leases.running(), leases.running_count) == ([first], 1)
    assert [lease.token for lease in leases.waiting()] == [2, 3]
    leases.remove(first)
    assert sorted(tokens(leases)) == [2, 3]
    assert leases.has_waiting(10)


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

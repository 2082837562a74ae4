"""Which worker takes a task."""

from __future__ import annotations

from maze_node.core.roster import MAX_CODES, Roster, Stage, Worker
from maze_node.core.slots import Binding

CPU = Binding((), 1)


def idle(roster: Roster, binding: Binding | None = None, since: float = 0.0) -> Worker:
    worker = roster.hire()
    assert worker is not None
    worker.stage, worker.binding, worker.idle_since = Stage.IDLE, binding, since
    return worker


def test_a_bound_worker_goes_before_an_unbound_one() -> None:
    roster = Roster(4)
    idle(roster, Binding((), 2))
    unbound = idle(roster)
    assert roster.pick(CPU) is unbound
    bound = idle(roster, CPU)
    assert roster.pick(CPU) is bound
    bound.stage = Stage.BUSY
    unbound.stage = Stage.LEAVING
    assert roster.pick(CPU) is None


def test_the_limit_and_numbers_that_are_never_used_again() -> None:
    roster = Roster(1)
    worker = idle(roster)
    assert roster.hire() is None
    assert roster.remove(worker.number) is worker
    assert roster.remove(worker.number) is None
    again = roster.hire()
    assert again is not None
    assert again.number == worker.number + 1
    assert roster.all() == [again]


def test_the_one_idle_for_longest_is_spared() -> None:
    roster = Roster(4)
    assert roster.spare() is None
    idle(roster, since=5.0)
    oldest = idle(roster, since=1.0)
    assert roster.spare() is oldest


def test_a_worker_keeps_a_bounded_number_of_functions() -> None:
    worker = Worker(1)
    codes = [number.to_bytes(2, "big") for number in range(MAX_CODES)]
    assert all(worker.learn(code) == (True, ()) for code in codes)
    assert worker.learn(codes[0]) == (False, ())
    assert worker.learn(b"new") == (True, (codes[1],))

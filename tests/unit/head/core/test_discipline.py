"""The interface of disciplines: what the state tells one, and the plain one."""

from __future__ import annotations

from collections.abc import Hashable

from maze_head.core import events as ev
from maze_head.core.discipline import Discipline, Fcfs
from maze_head.core.observed import Observed
from maze_head.core.runs import Run
from maze_head.core.settings import Settings
from maze_protocol.messages import FAILED
from support.head_core import Head, R, add, ended, ok


class Spy(Fcfs):
    """Remembers what it was told."""

    name = "spy"

    def __init__(self, observed: Observed) -> None:
        super().__init__(observed)
        self.ends: list[tuple[int, int]] = []
        self.over: list[int] = []

    def finished(self, run: Run, task: int) -> None:
        self.ends.append((run.no, task))

    def closed(self, run: Run) -> None:
        self.over.append(run.no)


def spied() -> tuple[Head, Spy]:
    head = Head(Settings(order=Spy))
    spy = head.core.state.discipline
    assert isinstance(spy, Spy)
    return head, spy


def test_a_discipline_hears_of_every_end_once() -> None:
    head, spy = spied()
    head.workflow(add(0), add(1), add(2, 1), add(3))
    head.greet()
    head.run()
    leases = head.leases()
    head.result(ok(leases[0]))
    assert (spy.ends, spy.over) == ([(1, 0)], [])
    head.result(ended(leases[1], FAILED, "user"))
    assert spy.ends == [(1, 0), (1, 1), (1, 2)]
    head.result(ok(leases[2]))
    assert spy.ends == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert spy.over == [1]


def test_a_cancelled_run_is_closed_without_an_end_for_each_task() -> None:
    head, spy = spied()
    head.workflow(add(0), add(1))
    head.run()
    head.ask(ev.CancelRun, R, "enough")
    assert (spy.ends, spy.over) == ([], [1])


def test_first_come_first_served_orders_by_readiness_alone() -> None:
    head = Head()
    head.workflow(add(0), add(1))
    head.run()
    discipline: Discipline = head.core.state.discipline
    run = head.core.state.runs[1]
    lanes: list[Hashable] = [discipline.lane(run, task) for task in (0, 1)]
    assert lanes[0] == lanes[1]
    assert [discipline.rank(run, task, since) for task, since in ((0, 5.0), (1, 2.0))] == [5.0, 2.0]
    assert (discipline.name, discipline.generation, discipline.moved()) == ("fcfs", 0, [])

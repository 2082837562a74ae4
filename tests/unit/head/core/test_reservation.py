"""Room kept for who has waited long: large tasks are neither starved by small ones nor delay them for nothing."""

from __future__ import annotations

from heapq import heappop, heappush

import pytest

from maze_head.core import effects as fx
from maze_head.core.settings import Settings
from maze_protocol.messages import Goodbye
from maze_protocol.resources import Capacity
from support.head_core import Head, add, ok

CPU4 = Capacity(4000, 0, (), 64)
BIG, SMALL = b"b" * 16, b"s" * 16


class Machine:
    """One node of four CPUs whose tasks take as long as a test says, in virtual time."""

    def __init__(self, reserve_after: float = 30.0, nodes: int = 1, seconds: float = 1.0) -> None:
        self.head = Head(Settings(reserve_after=reserve_after))
        self.head.workflow(add(9, resources={"cpu": 4}), workflow_id=BIG)
        self.head.workflow(add(1, resources={"cpu": 1}), workflow_id=SMALL)
        self.links = {f"L{number}".encode(): f"n{number}" for number in range(1, nodes + 1)}
        for link, name in self.links.items():
            self.head.greet(link, name, capacity=CPU4)
        self.seconds = seconds
        self.ends: list[tuple[float, int, bytes]] = []
        self.started: list[tuple[float, int]] = []
        self.runs = 0
        self.start()

    def submit(self, workflow: bytes) -> None:
        self.runs += 1
        self.head.run(self.runs.to_bytes(16, "big"), workflow)
        self.start()

    def start(self) -> None:
        for order in self.head.take(fx.AssignTask):
            number = order.assignment.task[-1]
            self.started.append((self.head.mono, number))
            heappush(self.ends, (self.head.mono + self.seconds, order.assignment.lease, order.link))
        self.head.forget()

    def pass_time(self, seconds: float) -> None:
        """Let tasks end and the clock tick ten times a second."""
        until = self.head.mono + seconds
        while self.head.mono < until - 1e-9:
            self.head.mono = min(until, self.head.mono + 0.1)
            while self.ends and self.ends[0][0] <= self.head.mono:
                _, lease, link = heappop(self.ends)
                self.head.result(ok(lease, 1), link=link)
                self.start()
            for link in self.links:
                self.head.beat(link)
            self.head.wait(0.0)
            self.start()

    def begun(self, number: int) -> list[float]:
        return [at for at, which in self.started if which == number]


def test_an_endless_stream_of_small_tasks_does_not_starve_a_large_one() -> None:
    machine = Machine(seconds=2.0)
    submitted = None
    for second in range(45):
        for _ in range(4):
            machine.submit(SMALL)
        if second == 3:
            submitted = machine.head.mono
            machine.submit(BIG)
        machine.pass_time(1.0)
    (at,) = machine.begun(9)
    assert submitted is not None
    assert 30.0 <= at - submitted <= 30.0 + 2.0 + 0.5


def test_small_tasks_that_are_done_before_that_are_not_delayed() -> None:
    def makespan(*, large: bool) -> float:
        machine = Machine()
        began = machine.head.mono
        machine.submit(SMALL)
        machine.submit(SMALL)
        if large:
            machine.submit(BIG)
        for _ in range(100):
            machine.submit(SMALL)
        machine.pass_time(29.0)
        small = machine.begun(1)
        assert len(small) == 102
        return max(small) - began

    assert makespan(large=True) == makespan(large=False)


def test_what_ends_in_time_is_filled_in_and_what_does_not_is_not() -> None:
    machine = Machine(reserve_after=5.0, seconds=10.0)
    machine.submit(SMALL)
    machine.pass_time(10.5)  # now it is known that a small task takes as long as its report says: 2.5 ms
    machine.submit(SMALL)
    machine.submit(BIG)
    machine.pass_time(6.0)
    (kept,) = machine.head.core.state.reservations
    assert [node.id for node in kept.nodes] == ["n1"]
    before = len(machine.begun(1))
    machine.seconds = 0.5
    machine.submit(SMALL)
    assert len(machine.begun(1)) == before + 1  # 2.5 ms are over before the large one can start
    machine.pass_time(10.0)
    assert len(machine.begun(9)) == 1
    assert machine.head.core.state.reservations == []


def test_nothing_of_unknown_length_is_filled_in() -> None:
    machine = Machine(reserve_after=5.0, seconds=20.0)
    machine.submit(SMALL)
    machine.submit(BIG)
    machine.pass_time(6.0)
    assert len(machine.head.core.state.reservations) == 1
    machine.submit(SMALL)
    assert len(machine.begun(1)) == 1
    machine.pass_time(15.0)
    assert len(machine.begun(9)) == 1


def test_what_fits_beside_the_large_task_is_filled_in() -> None:
    machine = Machine(reserve_after=5.0, seconds=20.0)
    machine.head.workflow(add(5, resources={"cpu": 3}), workflow_id=b"t" * 16)
    machine.submit(SMALL)
    machine.submit(SMALL)
    machine.submit(b"t" * 16)
    machine.pass_time(6.0)
    assert len(machine.head.core.state.reservations) == 1
    machine.submit(SMALL)  # 2 running, 3 kept: at its time there is room for one
    assert len(machine.begun(1)) == 3
    machine.submit(SMALL)
    assert len(machine.begun(1)) == 3


def test_a_reservation_ends_with_its_node_or_its_task() -> None:
    machine = Machine(reserve_after=5.0, seconds=50.0)
    machine.submit(SMALL)
    machine.submit(BIG)
    machine.pass_time(6.0)
    state = machine.head.core.state
    assert len(state.reservations) == 1
    machine.head.greet(b"L2", "n2", capacity=CPU4)
    machine.start()
    assert len(machine.begun(9)) == 1
    assert state.reservations == []
    machine.submit(BIG)
    machine.pass_time(6.0)
    (kept,) = state.reservations
    name = kept.nodes[0].id
    machine.head.say(Goodbye("enough"), b"L1" if name == "n1" else b"L2")
    machine.head.wait(0.1)
    assert all(node.id != name for each in state.reservations for node in each.nodes)
    machine.head.forget()


@pytest.mark.parametrize(("nodes", "kept"), [(1, 1), (4, 1), (8, 2)])
def test_at_most_a_quarter_of_the_nodes_is_kept(nodes: int, kept: int) -> None:
    machine = Machine(reserve_after=5.0, nodes=nodes, seconds=100.0)
    for number, cpu in enumerate((3.5, 3.6, 3.7, 3.8)):
        machine.head.workflow(add(20 + number, resources={"cpu": cpu}), workflow_id=bytes([100 + number]) * 16)
    for _ in range(nodes):
        machine.submit(SMALL)
    for number in range(4):
        machine.submit(bytes([100 + number]) * 16)
    machine.pass_time(8.0)
    assert sum(len(each.nodes) for each in machine.head.core.state.reservations) == kept

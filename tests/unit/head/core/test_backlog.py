"""Where ready tasks wait: bound to a node, with a grown claim, ahead by priority."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_head.core.backlog import MANY
from maze_head.core.ends import give_back
from maze_head.core.settings import Settings
from maze_protocol.events import AttemptLost
from maze_protocol.messages import ErrorInfo, Goodbye
from maze_protocol.resources import Capacity
from support.head_core import Head, add, ok, tid

CPU4 = Capacity(4000, 8000, (), 16)


def orders(head: Head) -> list[tuple[int, bytes, int]]:
    """Take the assignments: (task number, link, lease)."""
    return [(order.assignment.task[-1], order.link, order.assignment.lease) for order in head.take(fx.AssignTask)]


def test_a_task_follows_another_one() -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu": 4}), add(2, 1, same_node_as=tid(1), resources={"cpu": 4}))
    head.greet(b"L1", "n1", capacity=CPU4)
    head.greet(b"L2", "n2", capacity=CPU4)
    head.run(b"a" * 16)
    head.run(b"b" * 16)
    (_, first, one), (_, second, other) = orders(head)
    assert {first, second} == {b"L1", b"L2"}
    head.result(ok(other), link=second)
    assert [(number, link) for number, link, _ in orders(head)] == [(2, second)]
    head.result(ok(one), link=first)
    assert [(number, link) for number, link, _ in orders(head)] == [(2, first)]


def test_the_many_tasks_of_a_run_wait_in_the_order_of_their_numbers() -> None:
    head = Head()
    head.workflow(*(add(number) for number in range(MANY + 20)))
    head.workflow(add(200), workflow_id=b"v" * 16)
    head.run()
    head.run(b"q" * 16, b"v" * 16)
    head.greet(b"L1", "n1", capacity=Capacity(1000 * (MANY + 21), 1 << 20, (), MANY + 21))
    assert [number for number, _, _ in orders(head)] == [*range(MANY + 20), 200]


def test_it_waits_for_that_node_though_another_one_is_free_and_blocks_nobody() -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu": 4}), add(2, 1, same_node_as=tid(1), resources={"cpu": 4}))
    head.workflow(add(7, resources={"cpu": 4}), workflow_id=b"v" * 16)
    head.greet(b"L1", "n1", capacity=CPU4)
    head.run()
    ((_, _, first),) = orders(head)
    head.run(b"q" * 16, b"v" * 16)  # waits, and is older than task 2
    head.result(ok(first))
    ((number, _, lease),) = orders(head)
    assert number == 7
    head.greet(b"L2", "n2", capacity=CPU4)
    assert orders(head) == []
    head.result(ok(lease))
    assert [(number, link) for number, link, _ in orders(head)] == [(2, b"L1")]


def test_it_runs_anywhere_once_that_node_is_gone() -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu": 4}), add(2, 1, same_node_as=tid(1), resources={"cpu": 4}))
    head.workflow(add(7, resources={"cpu": 4}), workflow_id=b"v" * 16)
    head.greet(b"L1", "n1", capacity=CPU4)
    head.run()
    ((_, _, first),) = orders(head)
    head.run(b"q" * 16, b"v" * 16)
    head.result(ok(first))
    orders(head)
    head.greet(b"L2", "n2", capacity=CPU4)
    head.say(Goodbye("enough"), b"L1")
    started = [(number, link) for number, link, _ in orders(head)]
    assert len(started) == 1
    (lease,) = head.core.state.leases.current
    head.result(ok(lease), link=b"L2")
    started += [(number, link) for number, link, _ in orders(head)]
    assert sorted(started) == [(2, b"L2"), (7, b"L2")]


def test_a_task_that_ran_out_of_memory_gets_more_of_it_and_a_node_of_its_own() -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu": 1, "cpu_mem": 1000}), add(2))
    head.greet(b"L1", "n1", capacity=CPU4)
    head.run()
    (_, _, lease), (_, _, other) = orders(head)
    state = head.core.state
    run = state.leases.current[lease].run
    give_back(state, state.leases.current[lease])
    error = ErrorInfo("memory", "MemoryExceeded", "too much")
    state.record(run, AttemptLost(0, 1, lease, error, 0.0, "n1", 4000))
    head.wait(3.0)
    assert orders(head) == []  # not while another attempt is there
    head.result(ok(other))
    ((number, _, grown),) = orders(head)
    assert number == 1
    assert state.leases.current[grown].claim.mem_mib == 4000
    head.workflow(add(5), workflow_id=b"v" * 16)
    head.run(b"q" * 16, b"v" * 16)
    assert orders(head) == []  # nobody joins it
    head.result(ok(grown))
    assert [number for number, _, _ in orders(head)] == [5]


def test_a_step_of_priority_is_worth_a_while_of_waiting_and_no_more() -> None:
    head = Head(Settings(priority_step=100.0, reserve_after=1e9))
    head.workflow(add(1, resources={"cpu": 4}))
    head.greet(b"L1", "n1", capacity=CPU4)
    head.run(b"a" * 16)
    ((_, _, lease),) = orders(head)
    head.run(b"b" * 16)
    head.wait(2.0)
    head.beat()
    head.run(b"c" * 16, priority=1)
    head.result(ok(lease))
    first = next(iter(head.core.state.leases.current.values()))
    assert first.run.submitted.run_id == b"c" * 16
    for _ in range(60):
        head.wait(2.0)
        head.beat()
    head.run(b"d" * 16, priority=1)
    head.forget()
    head.result(ok(first.token))
    (second,) = head.core.state.leases.current.values()
    assert second.run.submitted.run_id == b"b" * 16

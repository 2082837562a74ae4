"""Nodes that cannot work are left alone; functions that crash everywhere are not their fault."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_protocol.http import CodeBody, EditRequest
from maze_protocol.messages import CRASHED, Heartbeat, NodeLoad, Recall
from maze_protocol.resources import Capacity
from support.head_core import Head, W, add, ended, ok

ONE = Capacity(1000, 4096, (), 16)


def two_nodes(tasks: int = 40, good: Capacity = ONE) -> Head:
    """Return a head with much to do, a black hole n1 and a good node n2 of one CPU each; effects taken."""
    head = Head()
    head.workflow(*(add(number) for number in range(tasks)))
    head.greet(b"L1", "n1", capacity=ONE)
    head.greet(b"L2", "n2", capacity=good)
    head.run()
    return head


def held_by(head: Head, name: str) -> list[int]:
    return list(head.core.state.nodes[name].leases)


def swallow(head: Head, name: str = "n1", link: bytes = b"L1") -> None:
    """Let a node crash what it holds."""
    for lease in held_by(head, name):
        head.result(ended(lease, CRASHED, "crash"), link=link)


def state_of(head: Head, name: str = "n1") -> str:
    return head.core.state.nodes[name].state


def test_a_black_hole_is_left_alone_after_five_tasks_and_fails_none() -> None:
    head = two_nodes()
    for _ in range(5):
        assert state_of(head) == "ready"
        swallow(head)
    assert state_of(head) == "quarantined"
    (row,) = [row for row in head.take(fx.AppendCluster) if row.kind == "node_quarantined"]
    assert row.body["reason"] == "its workers died under 5 different tasks in a row"
    assert row.body["seconds"] == 5.0
    assert held_by(head, "n1") == []
    while leases := held_by(head, "n2"):
        head.result(*map(ok, leases), link=b"L2")
    assert "TaskFailed" not in head.kinds()


def test_it_is_tried_again_and_one_more_crash_doubles_its_time() -> None:
    head = two_nodes()
    for _ in range(5):
        swallow(head)
    head.mono += 4.9
    head.beat(b"L1")
    head.beat(b"L2")
    head.wait(0.2)
    assert state_of(head) == "ready"
    swallow(head)
    assert state_of(head) == "quarantined"
    assert [row.body["seconds"] for row in head.take(fx.AppendCluster) if row.kind == "node_quarantined"] == [5.0, 10.0]


def test_a_success_ends_the_matter() -> None:
    head = two_nodes()
    for _ in range(4):
        swallow(head)
    head.result(ok(held_by(head, "n1")[0]))
    for _ in range(4):
        swallow(head)
    assert state_of(head) == "ready"


def test_a_function_that_crashes_on_two_nodes_is_at_fault_itself() -> None:
    head = two_nodes()
    swallow(head, "n2", b"L2")
    for _ in range(9):
        swallow(head)
    assert state_of(head) == "ready"


def test_a_node_is_not_left_alone_by_everybody() -> None:
    head = Head()
    head.workflow(*(add(number) for number in range(9)))
    head.greet(b"L1", "n1", capacity=ONE)
    head.run()
    for _ in range(9):
        swallow(head)
    assert state_of(head) == "ready"


@pytest.mark.parametrize("needs", [{"require": {"disk": "ssd"}}, {"nodes": 2}, {"resources": {"cpu": 2}}])
def test_tasks_that_no_other_node_could_take_say_nothing_against_it(needs: dict[str, Any]) -> None:
    """Seeds 270257 and 278267: who needed this very node waited for it from one minute of quarantine to the next."""
    head = Head()
    head.workflow(*(add(number, **needs) for number in range(12)))
    head.greet(b"L1", "n1", capacity=Capacity(2000, 4096, (), 16), labels={"disk": "ssd"})
    head.greet(b"L2", "n2", capacity=ONE)
    head.run()
    for _ in range(12):
        swallow(head)
        assert state_of(head) == "ready"


def test_it_works_again_when_the_others_have_gone() -> None:
    head = two_nodes()
    for _ in range(5):
        swallow(head)
    head.do(ev.LinkLost(b"L2", "gone"))
    head.wait(0.25)
    assert state_of(head) == "ready"


def load(failures: int) -> Heartbeat:
    return Heartbeat(0.0, NodeLoad(fork_failures=failures))


def test_a_node_without_workers_says_so_and_gives_back_what_it_has_not_begun() -> None:
    head = two_nodes()
    (lease,) = held_by(head, "n1")
    head.forget()
    head.say(load(5))
    assert state_of(head) == "quarantined"
    assert [send.message for send in head.take(fx.Send)] == [Recall((lease,))]
    for _ in range(8):
        head.mono += 1
        head.say(load(7))
        head.beat(b"L2")
        head.wait(0)
    assert state_of(head) == "quarantined"
    head.say(load(0))
    head.wait(0.25)
    assert state_of(head) == "ready"


def test_a_node_that_comes_and_goes_is_left_alone() -> None:
    head = two_nodes()
    for number in range(5):
        head.greet(b"F%d" % number, "n1", capacity=ONE)
        head.wait(1)
        head.beat(b"L2")
    assert state_of(head) == "quarantined"
    assert state_of(head, "n2") == "ready"


def test_once_a_minute_is_often_enough() -> None:
    head = two_nodes()
    for number in range(9):
        head.greet(b"F%d" % number, "n1", capacity=ONE)
        for _ in range(16):
            head.mono += 1
            head.beat(b"F%d" % number)
            head.beat(b"L2")
    assert state_of(head) == "ready"


def test_functions_are_told_apart() -> None:
    head = two_nodes(tasks=1)
    other = b"another function"
    import hashlib

    code = CodeBody(hashlib.blake2b(other, digest_size=16).hexdigest(), "pickle", (3, 11), other, "g")
    ops: list[Any] = [add(number, code=code.hash) for number in range(10, 30)]
    head.ask(ev.EditWorkflow, W, EditRequest(ops, [code]))
    swallow(head)
    swallow(head, "n2", b"L2")  # the first function crashes anywhere
    head.run(b"q" * 16)
    for _ in range(6):
        swallow(head)
    assert state_of(head) == "quarantined"

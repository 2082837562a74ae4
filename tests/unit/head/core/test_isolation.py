"""Sandboxed tasks and the record of what each attempt ran under, as the head keeps them."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.fold import fold
from maze_head.core.graph import load_graph
from maze_protocol.events import TaskStarted
from maze_protocol.messages import CRASHED, HELD_RUNNING, SANDBOX
from support.head_core import Head, R, W, add, ended, held, ok, raw

TOLD = {"isolation": "process", "sandbox": "process sandbox no-network"}


def started(head: Head) -> list[str]:
    return [event.isolation for event in head.log() if isinstance(event, TaskStarted)]


def sent(head: Head) -> dict[int, int]:
    """Take what was assigned: leases, and whether each is to be shut in."""
    return {order.assignment.lease: order.assignment.flags & SANDBOX for order in head.take(fx.AssignTask)}


def test_an_attempt_records_what_its_node_has_told() -> None:
    head = Head()
    head.workflow(add(1), add(2, sandbox=True))
    head.greet(**TOLD)
    head.run()
    leases = sent(head)
    assert list(leases.values()) == [0, SANDBOX]
    head.result(*map(ok, leases))
    assert started(head) == ["process", "process sandbox no-network"]


def test_a_node_that_does_not_tell_gets_no_sandboxed_task() -> None:
    head = Head()
    head.workflow(add(1), add(2, sandbox=True))
    head.greet(minor=3)
    head.run()
    ((plain, flag),) = sent(head).items()
    assert flag == 0
    found = head.ask(ev.ExplainTask, R, raw(2))
    assert found.code == "infeasible"
    assert "knows no sandbox" in found.text
    head.greet(b"L2", "n2", **TOLD)
    assert list(sent(head).values()) == [SANDBOX]
    head.result(ok(plain))
    assert started(head) == [""]


def test_no_sandboxed_task_queues_behind_a_grant() -> None:
    head = Head()
    head.workflow(*(add(number, sandbox=True) for number in range(40)))
    head.greet(**TOLD)
    head.run()
    held_now = sent(head)
    for _ in range(3):
        head.result(*(ok(lease, wall_ms=0.1) for lease in held_now))
        held_now = sent(head)
        assert len(held_now) == 4, "one for each CPU, though they take no time"


def test_tasks_tell_it_and_those_that_were_lost_too() -> None:
    head = Head()
    head.workflow(add(1, sandbox=True))
    head.greet(**TOLD)
    head.run()
    head.started(*(first := head.leases()))
    head.greet(b"L2", "n2", isolation="bwrap", sandbox="bwrap sandbox")
    head.result(ended(*first, CRASHED, "crash"))
    head.wait(5)
    head.started(*head.leases(), link=b"L2")
    (saved,) = [row for row in head.journal if isinstance(row, fx.SaveGraph)]
    segments = [row[1] for row in head.journal if isinstance(row, tuple)]
    (task,) = fold(segments, load_graph(saved.workflow_id, saved.version, saved.body)).tasks()
    assert task.isolation == "bwrap sandbox"
    assert [lost.isolation for lost in task.lost] == ["process sandbox no-network"]


def test_a_node_that_comes_back_tells_it_of_what_it_runs() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet(**TOLD)
    head.run()
    (lease,) = head.leases()
    head.greet(b"L2", inventory=(held(lease, HELD_RUNNING),), **TOLD)
    assert started(head) == ["process"]


def test_it_is_a_part_of_the_workflow() -> None:
    head = Head()
    head.workflow(add(1, sandbox=True), add(2))
    body = head.ask(ev.DescribeWorkflow, W)
    assert [task.sandbox for task in body.tasks] == [True, False]


def test_nodes_are_shown_with_it() -> None:
    head = Head()
    head.greet(**TOLD)
    (node,) = head.ask(ev.DescribeNodes).nodes
    assert {"isolation": node.isolation, "sandbox": node.sandbox} == TOLD


def test_what_cannot_be_shown_is_no_word_for_it() -> None:
    head = Head()
    head.greet(isolation="process\x1b[2J")
    assert [refused.message.code for refused in head.take(fx.Refuse)] == ["bad_hello"]

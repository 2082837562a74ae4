"""A full disk, as the core sees it: no promise, no loss, and everything in its order afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Unavailable
from maze_protocol.events import TaskFinished
from maze_protocol.http import EditRequest, RunRequest, WorkflowRequest
from maze_protocol.ids import WORKFLOW, format_id
from maze_protocol.messages import ACCEPTED, HELD_DONE, HELD_RUNNING, AckItem, ResultAck
from support.head_core import Head, R, W, add, held, ok

W_TEXT = format_id(W, WORKFLOW)


def working_head() -> tuple[Head, list[int]]:
    """Return a head with two running tasks and one that waits for room, its disk full."""
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 2}) for number in (1, 2, 3)))
    head.greet()
    head.run()
    leases = head.leases()
    assert len(leases) == 2
    head.started(*leases)
    head.do(ev.DiskTurned(full=True))
    head.forget()
    return head, leases


@pytest.mark.parametrize(
    "command",
    [
        lambda ticket: ev.CreateWorkflow(ticket, b"x" * 16, WorkflowRequest()),
        lambda ticket: ev.EditWorkflow(ticket, W, EditRequest([add(9)])),
        lambda ticket: ev.SubmitRun(ticket, b"x" * 16, RunRequest(W_TEXT)),
        lambda ticket: ev.CancelRun(ticket, R),
    ],
    ids=["create", "edit", "submit", "cancel"],
)
def test_what_needs_the_disk_is_refused_with_the_remedy(command: Any) -> None:
    head, _ = working_head()
    with pytest.raises(Unavailable) as refusal:
        head.ask(command)
    assert refusal.value.code == "disk_full"
    assert "free space" in refusal.value.hint
    head.done()


@pytest.mark.parametrize(
    "command",
    [
        ev.ListWorkflows,
        ev.ListRuns,
        ev.DescribeNodes,
        ev.CountersAsked,
        lambda ticket: ev.DescribeRun(ticket, R),
        lambda ticket: ev.DescribeWorkflow(ticket, W),
    ],
)
def test_looking_is_allowed(command: Any) -> None:
    head, _ = working_head()
    assert head.ask(command)
    head.done()


def test_results_are_not_answered_and_nothing_is_placed_until_there_is_room() -> None:
    head, (first, second) = working_head()
    head.result(ok(first))
    head.beat()
    head.result(ok(second))
    head.done()  # no acknowledgement, no event, no placement
    head.do(ev.DiskTurned(full=False))
    finished = [event for event in head.log() if isinstance(event, TaskFinished)]
    assert [event.lease for event in finished] == [first, second]
    acked = [effect.message for effect in head.take(fx.Send)]
    assert acked == [ResultAck((AckItem(first, ACCEPTED),)), ResultAck((AckItem(second, ACCEPTED),))]
    assert len(head.leases()) == 1


def test_a_node_that_speaks_is_alive_and_one_that_falls_silent_is_lost() -> None:
    head, (first, _) = working_head()
    for _ in range(12):
        head.wait(1.0)
        head.result(ok(first))
    assert head.core.state.nodes["n1"].state == "ready"
    head.wait(20.0)
    assert head.core.state.nodes["n1"].state == "lost"
    assert head.kinds() == ["AttemptLost", "AttemptLost"]


def test_what_came_on_a_link_that_is_gone_is_told_again_by_the_node() -> None:
    head, (first, second) = working_head()
    head.result(ok(first))
    head.do(ev.LinkLost(b"L1", "gone"))
    head.greet(b"L2", inventory=(held(first, HELD_DONE), held(second, HELD_RUNNING)))
    head.forget()
    head.do(ev.DiskTurned(full=False))
    assert head.kinds() == []  # the old link's report is no longer anybody's
    head.result(ok(first), link=b"L2")
    assert "TaskFinished" in head.kinds()


def test_a_full_disk_survives_no_restart() -> None:
    head, (first, _) = working_head()
    head.result(ok(first))
    again = head.recover()
    assert not again.core.state.read_only
    assert again.core.state.unheard == []

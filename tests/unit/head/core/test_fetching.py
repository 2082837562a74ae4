"""Workflows that are put away: who waits for them, in which order, and that nothing of them stays in memory."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Conflict, Gone, NotFound
from maze_head.core.graph import load_graph
from maze_head.core.settings import Settings
from maze_protocol.events import RunSubmitted
from maze_protocol.http import EditRequest, RunRequest, WorkflowRequest
from maze_protocol.ids import RUN, WORKFLOW, format_id
from support.head_core import CODE_BODY, Head, R, W, add, edge, tid

OTHER = b"o" * 16


def run_id(number: int) -> bytes:
    return b"run" + bytes([number]) * 13


@pytest.fixture
def head() -> Head:
    """Return a head that keeps one workflow at hand, where W was run and then OTHER."""
    head = Head(Settings(tasks_at_hand=0))
    head.workflow(add(1), add(2, 1), add(3), edge(3, 2), edit_id="one")
    head.run()
    head.workflow(add(11), workflow_id=OTHER)
    head.run(run_id(1), OTHER)
    head.ask(ev.CancelRun, R)
    head.forget()
    return head


def begin(head: Head, ticket: int, make: Any, *arguments: Any) -> list[fx.Effect]:
    """Hand the core a command and read nothing for it."""
    return head._took(head.core.handle(make(ticket, *arguments), head.now))


def replies(effects: list[fx.Effect]) -> dict[int, Any]:
    return {effect.ticket: effect.value for effect in effects if isinstance(effect, fx.Reply)}


def test_the_last_used_stays_at_hand_and_the_other_goes_with_its_graph(head: Head) -> None:
    state = head.core.state
    assert (state.workflows[W].away, state.workflows[OTHER].away) == (True, False)
    assert [key[0] for key in state.graphs] == [OTHER]
    assert [(flow.tasks, flow.revision) for flow in head.ask(ev.ListWorkflows).workflows] == [(3, 1), (1, 1)]


def test_a_workflow_that_was_never_run_or_edited_since_stays_at_hand() -> None:
    head = Head(Settings(tasks_at_hand=0))
    for number in range(1, 5):
        head.workflow(add(number), workflow_id=bytes([number]) * 16)
        if number < 3:
            head.run(run_id(number), bytes([number]) * 16)
    head.edit(add(9), workflow_id=b"\x02" * 16)
    head.run(run_id(4), b"\x04" * 16)
    assert [flow.away for flow in head.core.state.workflows.values()] == [True, False, False, False]


def test_whoever_shows_edits_or_runs_it_gets_it_back_as_it_was(head: Head) -> None:
    shown = head.ask(ev.DescribeWorkflow, W)
    assert [task.name for task in shown.tasks] == ["t1", "t2", "t3"]
    assert shown.edges == [(tid(1), tid(2)), (tid(3), tid(2))]
    assert shown.manual_edges == [(tid(3), tid(2))]
    head.ask(ev.DescribeWorkflow, OTHER)
    assert head.core.state.workflows[W].away
    with pytest.raises(Conflict, match="cycle"):
        head.edit(edge(2, 3))
    assert head.edit(add(4, 2)).revision == 2
    head.ask(ev.DescribeWorkflow, OTHER)
    assert not head.core.state.workflows[W].away  # its second revision was never run
    assert head.run(run_id(2)).tasks == 4


def test_running_it_again_saves_no_second_graph(head: Head) -> None:
    head.run(run_id(2))
    assert head.take(fx.SaveGraph) == []
    assert head.core.state.workflows[OTHER].away


def test_commands_wait_in_their_order_and_one_reading_serves_them_all(head: Head) -> None:
    text = format_id(W, WORKFLOW)
    effects = [
        *begin(head, 1, ev.EditWorkflow, W, EditRequest([add(4)], [CODE_BODY])),
        *begin(head, 2, ev.DescribeWorkflow, W),
        *begin(head, 3, ev.EditWorkflow, W, EditRequest([add(5)], [CODE_BODY], base_revision=2)),
        *begin(head, 4, ev.SubmitRun, run_id(2), RunRequest(text)),
    ]
    assert replies(effects) == {}
    assert [effect for effect in effects if isinstance(effect, fx.ReadGraph)] == [fx.ReadGraph(W, 1)]
    answers = replies(head.do(head.graph_read(W, 1)))
    assert list(answers) == [1, 2, 3, 4]
    assert (answers[1].revision, len(answers[2].tasks), answers[3].revision, answers[4].tasks) == (2, 4, 3, 5)


def test_a_run_does_not_overtake_an_edit_that_waits_though_another_run_has_its_graph(head: Head) -> None:
    head.run(run_id(2))
    head.ask(ev.DescribeWorkflow, OTHER)
    effects = [
        *begin(head, 1, ev.EditWorkflow, W, EditRequest([add(4)], [CODE_BODY])),
        *begin(head, 2, ev.SubmitRun, run_id(3), RunRequest(format_id(W, WORKFLOW))),
    ]
    assert replies(effects) == {}
    assert replies(head.do(head.graph_read(W, 1)))[2].tasks == 4


def test_commands_that_do_not_need_the_tasks_do_not_wait(head: Head) -> None:
    begin(head, 1, ev.DescribeWorkflow, W)
    assert head.ask(ev.DescribeRun, R).tasks == 3
    assert head.ask(ev.CreateWorkflow, W, WorkflowRequest(name="test")).tasks == 3


def test_who_waits_for_a_workflow_that_is_removed_meanwhile_is_told_so(head: Head) -> None:
    begin(head, 1, ev.DescribeWorkflow, W)
    assert head.ask(ev.RemoveWorkflow, W).tasks == 3
    answers = replies(head.do(ev.GraphRead(W, 1, None)))
    assert isinstance(answers[1], Gone)
    assert head.core.state.shelf.awaited == {}


def test_a_graph_that_nobody_waits_for_changes_nothing(head: Head) -> None:
    head.core.handle(ev.GraphRead(b"x" * 16, 1, None), head.now)
    head.core.handle(ev.GraphRead(OTHER, 1, None), head.now)
    assert not head.core.state.workflows[OTHER].away


def test_a_graph_that_the_journal_has_lost_is_no_ones_answer(head: Head) -> None:
    begin(head, 1, ev.DescribeWorkflow, W)
    with pytest.raises(AssertionError, match="the journal has lost version 1"):
        head.core.handle(ev.GraphRead(W, 1, None), head.now)


def test_the_task_of_a_workflow_that_is_away_is_nobodys(head: Head) -> None:
    with pytest.raises(NotFound) as refusal:
        head.edit(edge(1, 11), workflow_id=OTHER)
    assert refusal.value.code == "unknown_task"


def test_a_retry_of_a_run_brings_its_graph_and_leaves_the_workflow_away(head: Head) -> None:
    (sealed,) = [entry.body for entry in head.core.state.sealed.values() if entry.body.run_id == format_id(R, RUN)]
    earlier = RunSubmitted(R, W, 1, 3, True, 0, "default")
    graph = load_graph(W, 1, head.saved_graph(W, 1))
    assert head.ask(ev.RetryRun, run_id(3), earlier, sealed.last_seq, graph).tasks == 3
    assert head.core.state.workflows[W].away
    head.ask(ev.CancelRun, run_id(3))
    assert (W, 1) not in head.core.state.graphs
    assert len(head.ask(ev.DescribeWorkflow, W).tasks) == 3

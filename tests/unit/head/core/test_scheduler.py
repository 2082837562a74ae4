"""The core as a whole: these events give exactly these effects. Tests named after what a reader of the log sees."""

from __future__ import annotations

from typing import get_args

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.codes import unpack_code
from maze_head.core.errors import Conflict, Invalid, NotFound, Unavailable
from maze_head.core.graph import load_graph
from maze_head.core.scheduler import _COMMANDS, _HAPPENED
from maze_head.core.settings import Settings
from maze_protocol.events import (
    OutputMeta,
    RunFinished,
    RunSubmitted,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskStarted,
)  # fmt: skip
from maze_protocol.http import EditRequest, RunRequest, WorkflowRequest
from maze_protocol.messages import ACCEPTED, FAILED, AckItem, Assignment, Heartbeat, NodeLoad, OutputDecl, ResultAck
from maze_protocol.resources import Claim
from maze_protocol.values import Input, Value
from support.head_core import CODE, CODE_BODY, Head, R, W, add, edge, ended, hello, ok, raw, task, tid


def test_every_command_has_a_handler() -> None:
    assert set(_COMMANDS) == set(get_args(ev.Command))


def test_one_task_from_submission_to_seal() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet()
    head.forget()

    head.do(ev.SubmitRun(7, R, RunRequest("workflow_" + W.hex())))

    saved, first, lease, reply, code, assign = _sorted(head)
    assert saved.version == 1
    assert load_graph(W, 1, saved.body).ids == [raw(1)]
    assert first == fx.Append(1, 1, (RunSubmitted(R, W, 1, 1),))
    token = 1 << 32 | 1
    claim = Claim(1000, 0)
    assert lease == fx.Append(1, 2, (TaskLeased(0, 1, token, "n1", claim, token),))
    assert (reply.ticket, reply.value.status, reply.value.ready_nodes) == (7, "waiting", 1)
    assert code == fx.SendCode(b"L1", bytes.fromhex(CODE))
    expected = Assignment(token, token, R, raw(1), 1, "t1", bytes.fromhex(CODE), (), (OutputDecl("y"),), claim)
    assert assign == fx.AssignTask(b"L1", expected, ())
    head.forget()

    outcome = ok(token)
    head.result(outcome)

    assert head.log() == [
        TaskStarted(0, 1, token, "n1", "10.0.0.1", 1e9),
        TaskFinished(0, 1, token, (OutputMeta("y", 0, 1),), 250.0),
        RunFinished(1, 0, 0),
    ]
    assert head.take(fx.Accept) == [fx.Accept(1, 0, token, outcome.outputs, (), 1)]
    assert head.take(fx.Send) == [fx.Send(b"L1", ResultAck((AckItem(token, ACCEPTED),)))]
    head.done()
    body = head.ask(ev.DescribeRun, R)
    assert (body.status, body.sealed, body.last_seq, body.finished) == ("finished", True, 5, 1)


def _sorted(head: Head) -> tuple:
    order = (fx.SaveGraph, fx.Append, fx.Reply, fx.SendCode, fx.AssignTask)
    return tuple(sorted(head.effects, key=lambda effect: order.index(type(effect))))


def test_log_entries_lead_the_effects_of_a_call() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet()
    head.run()
    kinds = [type(effect) for effect in head.result(ok(head.leases()[0]))]
    assert kinds == [fx.Append, fx.Accept, fx.Send, fx.SaveSealed]


def test_inputs_travel_as_sources_and_literals_inline() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    head.greet()
    head.run()
    head.result(ok(head.leases()[0]))
    (assign,) = head.take(fx.AssignTask)
    assert assign.inputs == (("x1", None, (fx.Source(1, 0, "y"),)),)


def test_code_is_sent_once_per_session() -> None:
    head = Head()
    head.workflow(add(1), add(2))
    head.greet()
    head.run()
    assert len(head.take(fx.SendCode)) == 1
    head.do(ev.LinkLost(b"L1", "gone"))
    head.greet(b"L2", inventory=())
    assert [effect.link for effect in head.take(fx.SendCode)] == [b"L2"]


def test_failure_skips_what_follows_and_nothing_else() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1), add(3, 2), add(4), add(5, 4))
    head.greet()
    head.run()
    first, fourth = head.leases()
    head.log()
    head.result(ended(first, FAILED, "user"))
    assert head.kinds() == ["TaskStarted", "TaskFailed", "TaskSkipped", "TaskSkipped"]
    head.result(ok(fourth))
    head.result(ok(head.leases()[0]))
    assert head.log()[-1] == RunFinished(2, 1, 2)
    assert head.ask(ev.DescribeRun, R).status == "failed"


def test_a_diamond_skips_the_join_once() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1), add(3, 1), add(4, 2, 3))
    head.greet()
    head.run()
    head.result(ended(head.leases()[0], FAILED, "user"))
    assert head.kinds().count("TaskSkipped") == 3


def test_inputs_too_large_for_one_message_fail_in_words() -> None:
    head = Head()
    head.workflow(add(1), add(2), add(3, 1, 2))
    head.greet()
    head.run()
    one, two = head.leases()
    head.result(ok(one, 5 << 20), ok(two, 5 << 20))
    failed = [event for event in head.log() if isinstance(event, TaskFailed)]
    assert failed[0].error.kind == "too_large"
    assert "10485760 bytes" in failed[0].error.message
    assert head.take(fx.AssignTask) == []


def test_output_absent_from_a_task_of_the_original_wire_is_none_with_a_warning() -> None:
    head = Head()
    head.workflow(add(1, strict_outputs=False), add(2, 1))
    head.greet()
    head.run()
    head.result(ok(head.leases()[0], key="other"))
    (assign,) = head.take(fx.AssignTask)
    assert assign.assignment.inputs == (Input("x1", Value(0, 1, b"\xc0")),)
    assert "TaskWarned" in head.kinds()


def test_output_absent_from_a_strict_task_fails_the_consumer() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    head.greet()
    head.run()
    head.result(ok(head.leases()[0], key="other"))
    failed = [event for event in head.log() if isinstance(event, TaskFailed)]
    assert failed[0].error.kind == "bad_input"
    assert "no output 'y'" in failed[0].error.message


def test_commands_are_idempotent_by_id() -> None:
    head = Head()
    head.workflow(add(1))
    again = head.ask(ev.CreateWorkflow, W, WorkflowRequest(name="other"))
    assert (again.name, again.revision) == ("test", 1)
    head.run()
    head.forget()
    assert head.run().run_id == "run_" + R.hex()
    head.done()


def test_one_run_id_for_two_workflows_is_a_conflict() -> None:
    head = Head()
    other = b"v" * 16
    head.workflow(add(1))
    head.workflow(add(1), workflow_id=other)
    head.run()
    with pytest.raises(Conflict, match="is a run of workflow_7777"):
        head.run(workflow_id=other)


@pytest.mark.parametrize(
    ("ops", "code"),
    [((), "empty_workflow"), ((add(1), add(2, code="")), "unsaved_task")],
)
def test_what_cannot_run_is_refused(ops: tuple, code: str) -> None:
    head = Head()
    head.workflow(*ops)
    with pytest.raises(Invalid) as caught:
        head.run()
    assert caught.value.code == code
    head.done()


def test_unknown_things_are_not_found() -> None:
    head = Head()
    for make, arguments in (
        (ev.DescribeWorkflow, (W,)),
        (ev.EditWorkflow, (W, EditRequest())),
        (ev.DescribeRun, (R,)),
        (ev.CancelRun, (R,)),
        (ev.LocateLog, (R, raw(1))),
        (ev.SubmitRun, (R, RunRequest("workflow_" + W.hex()))),
    ):
        with pytest.raises(NotFound):
            head.ask(make, *arguments)
    assert head.ask(ev.CountersAsked)["rejected"] == 6


def test_a_run_of_another_revision_is_refused() -> None:
    head = Head()
    head.workflow(add(1))
    head.edit(add(2))
    with pytest.raises(Conflict) as caught:
        head.run(revision=1)
    assert caught.value.code == "edit_conflict"


def test_a_version_is_saved_once_and_shared() -> None:
    head = Head()
    head.workflow(add(1))
    head.run()
    head.run(b"q" * 16)
    assert len(head.take(fx.SaveGraph)) == 1
    assert head.core.state.runs[1].graph is head.core.state.runs[2].graph


def test_code_is_saved_once_with_what_its_message_needs() -> None:
    head = Head()
    head.ask(ev.CreateWorkflow, W, WorkflowRequest())
    head.edit(add(1))
    head.edit(add(2))
    (saved,) = head.take(fx.SaveCode)
    assert saved.hash.hex() == CODE
    stored = unpack_code(saved.body)
    assert (stored.kind, stored.python, stored.name, stored.body) == ("pickle", (3, 11), "f", CODE_BODY.body)


def test_too_much_pending_work_is_refused_until_some_is_done() -> None:
    head = Head(Settings(max_pending_tasks=3))
    head.workflow(add(1), add(2))
    first = head.run()
    with pytest.raises(Unavailable, match="4 tasks would be pending, and this head takes at most 3"):
        head.run(b"q" * 16)
    assert head.run().run_id == first.run_id, "a repeated submission is no new one"
    head.ask(ev.CancelRun, b"r" * 16)
    assert head.run(b"q" * 16).tasks == 2


def test_more_work_than_ever_fits_is_an_error_of_its_own() -> None:
    head = Head(Settings(max_pending_tasks=1))
    head.workflow(add(1), add(2))
    with pytest.raises(Invalid, match="at most 1 at a time"):
        head.run()


def test_runs_are_listed_newest_first_in_pages() -> None:
    head = Head()
    head.workflow(add(1))
    for letter in (b"a", b"b", b"c"):
        head.run(letter * 16)
    page = head.ask(ev.ListRuns, limit=2)
    assert [run.run_id[-2:] for run in page.runs] == ["63", "62"]
    rest = head.ask(ev.ListRuns, limit=2, before=int(page.next))
    assert [run.run_id[-2:] for run in rest.runs] == ["61"]
    assert rest.next == ""
    assert head.ask(ev.ListRuns, workflow_id=b"?" * 16).runs == []


def test_workflow_is_shown_as_authored() -> None:
    head = Head()
    bodies = [task(1, resources={"gpu_mem": 512}, keep=True), task(2, 1, data_types={"y": "int"}), task(3)]
    head.workflow(*(add(0) for _ in ()), *(add(n) for n in ()), *[type(add(1))(body) for body in bodies], edge(2, 3))
    shown = head.ask(ev.DescribeWorkflow, W)
    assert shown.tasks == bodies
    assert shown.edges == [(tid(1), tid(2)), (tid(2), tid(3))]
    assert shown.manual_edges == [(tid(2), tid(3))]
    assert [flow.tasks for flow in head.ask(ev.ListWorkflows).workflows] == [3]


def test_nodes_are_shown_with_what_is_free() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet()
    head.run()
    head.say(Heartbeat(0.0, NodeLoad(running=1, cpu_percent=40.0)))
    (node,) = head.ask(ev.DescribeNodes).nodes
    assert (node.node_id, node.state, node.cpu, node.cpu_free, node.running) == ("n1", "ready", 4.0, 3.0, 1)
    assert node.load["cpu_percent"] == 40.0


def test_output_of_a_live_attempt_is_on_its_node_and_of_an_ended_one_in_the_journal() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    head.greet()
    head.run()
    (lease,) = head.leases()
    assert head.ask(ev.LocateLog, R, raw(1)) == fx.LogPlace(1, 0, 1, lease, b"L1", False)
    head.result(ok(lease))
    assert head.ask(ev.LocateLog, R, raw(1)) == fx.LogPlace(1, 0, 1, lease, None, True)
    head.result(ok(head.leases()[0]))
    assert head.ask(ev.LocateLog, R, raw(2)) == fx.LogPlace(1, 1, 1, 0, None, True)
    head.edit(add(3))
    assert head.ask(ev.LocateLog, R, raw(2), task_no=1) == fx.LogPlace(1, 1, 1, 0, None, True)
    with pytest.raises(NotFound, match="had 1 attempts"):
        head.ask(ev.LocateLog, R, raw(2), attempt=2, task_no=1)
    with pytest.raises(NotFound):
        head.ask(ev.LocateLog, R, raw(2))


def test_words_from_strangers_are_ignored() -> None:
    head = Head()
    head.say(Heartbeat(0.0), b"??")
    head.result(ok(1), link=b"??")
    head.do(ev.LinkLost(b"??", "never seen"))
    head.greet()
    head.forget()
    head.say(hello())
    head.done()
    assert head.ask(ev.CountersAsked)["messages_ignored"] == 3


@pytest.mark.parametrize("priority", [-101, 101])
def test_a_run_with_an_impossible_priority_is_refused(priority: int) -> None:
    head = Head()
    head.workflow(add(1))
    with pytest.raises(Invalid, match="allowed are -100 to 100") as caught:
        head.run(priority=priority)
    assert (caught.value.code, caught.value.field) == ("invalid_run", "$.priority")
    head.done()
    told = head.run(priority=-100, project="vision")
    assert (told.priority, told.project) == (-100, "vision")


def test_every_event_is_handled_by_somebody() -> None:
    assert {*_HAPPENED, *_COMMANDS, ev.GraphRead} == set(get_args(ev.Event))

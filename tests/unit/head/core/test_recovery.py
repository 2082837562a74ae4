"""From the journal back to the state."""

from __future__ import annotations

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_protocol.events import AttemptInterrupted, RunCancelled, Segment
from maze_protocol.http import DelTask, InputBody, UploadedValue
from maze_protocol.leases import epoch_of
from maze_protocol.messages import ACCEPTED, CRASHED, FAILED, HELD_DONE, HELD_RUNNING
from support.head_core import CODE, Head, R, W, add, dump, edge, ended, held, ok, raw, tid


def test_an_acknowledged_edit_survives_though_nothing_ran() -> None:
    head = Head()
    upload = InputBody(upload=UploadedValue(0, "ab" * 32, 5))
    head.workflow(add(1), add(2, 1), add(3, inputs={"x": upload}))
    head.edit(edge(1, 3), DelTask(tid(2)), edit_id="e2")
    other = head.recover()
    assert other.ask(ev.ListUploads) == {b"\xab" * 32}
    assert dump(other.core) == dump(head.core)
    assert other.ask(ev.DescribeWorkflow, W) == head.ask(ev.DescribeWorkflow, W)
    assert other.edit(add(9), edit_id="e2").revision == 2
    assert other.edit(add(9)).revision == 3


def busy() -> tuple[Head, int, int]:
    """Return a head whose node n1 runs task 0 and was sent task 1, while task 2 waits for room."""
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 2}) for number in range(3)))
    head.greet()
    head.run()
    one, two = head.leases()
    head.started(one)
    return head, one, two


def test_work_goes_on_across_a_restart_under_its_old_leases() -> None:
    head, one, two = busy()
    other = head.recover()
    assert other.log() == []
    (node,) = other.ask(ev.DescribeNodes).nodes
    assert (node.state, node.running, node.cpu_free) == ("suspect", 2, 0.0)
    other.greet(b"L2", inventory=(held(one, HELD_RUNNING), held(two, HELD_DONE)))
    (admit,) = other.take(fx.Admit)
    assert (admit.welcome.keep, admit.welcome.drop) == (((one, one), (two, two)), ())
    assert (other.log(), other.leases()) == ([], [])
    other.result(ok(one), ok(two), link=b"L2")
    (third,) = other.leases()
    assert epoch_of(third) == 2
    other.result(ok(third), link=b"L2")
    kinds = other.kinds()
    assert kinds.count("TaskFinished") == 3
    assert not {"AttemptInterrupted", "AttemptLost", "TaskReleased"} & {*kinds}


def test_what_the_node_never_got_is_queued_again_first_without_blame() -> None:
    head, one, two = busy()
    other = head.recover()
    other.greet(b"L2", inventory=(held(one, HELD_RUNNING),))
    assert other.kinds() == ["TaskReleased", "TaskLeased"]
    (again,) = [effect.assignment for effect in other.take(fx.AssignTask)]
    assert (again.task, again.attempt) == (raw(1), 2)
    assert again.lease > two


def test_nodes_that_do_not_come_back_are_lost_when_the_grace_is_over() -> None:
    head, *_ = busy()
    other = head.recover()
    other.greet(b"L9", "n9")
    assert [effect.assignment.task for effect in other.take(fx.AssignTask)] == [raw(2)]
    other.forget()
    for _ in range(9):
        other.wait(1)
        other.beat(b"L9")
    other.done()
    other.wait(1)
    assert [row.kind for row in other.take(fx.AppendCluster)] == ["node_lost"]
    assert other.kinds() == ["TaskReleased", "AttemptLost", "TaskLeased"]


def test_another_process_of_the_node_ends_the_wait_at_once() -> None:
    head, one, _ = busy()
    other = head.recover()
    other.greet(b"L2", incarnation=2, inventory=(held(one, HELD_RUNNING),))
    (admit,) = other.take(fx.Admit)
    assert (admit.welcome.keep, admit.welcome.drop) == ((), (one,))
    assert other.kinds().count("TaskLeased") == 2


def test_attempts_of_a_node_that_the_journal_does_not_know_are_interrupted() -> None:
    head, one, two = busy()
    rows = [row for row in head.journal if not (isinstance(row, fx.AppendCluster) and row.kind == "node_joined")]
    other = Head(journal=rows).recover()
    assert other.log() == [AttemptInterrupted(1, 1, two), AttemptInterrupted(0, 1, one)]


def test_a_result_accepted_before_the_crash_is_answered_so_after_it() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    head.greet()
    head.run()
    (lease,) = head.leases()
    head.result(ok(lease))
    other = head.recover()
    other.greet()
    (assign,) = other.take(fx.AssignTask)
    assert assign.assignment.task == raw(2)
    assert assign.inputs == (("x1", None, (fx.Source(1, 0, "y"),)),)
    other.forget()
    other.result(ok(lease))
    assert [item.verdict for send in other.take(fx.Send) for item in send.message.items] == [ACCEPTED]


def test_a_crash_reported_before_the_restart_is_answered_so_after_it() -> None:
    head, one, _ = busy()
    head.result(ended(one, CRASHED, "crash"))
    other = head.recover()
    other.greet(b"L2")
    other.forget()
    other.result(ended(one, CRASHED, "crash"), link=b"L2")
    assert [item.verdict for send in other.take(fx.Send) for item in send.message.items] == [ACCEPTED]


def test_a_cancellation_is_finished() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    head.greet()
    head.run()
    head.ask(ev.CancelRun, R)
    other = head.recover()
    assert other.ask(ev.DescribeRun, R).status == "cancelling"
    other.greet(b"L2")
    assert other.log()[-1] == RunCancelled(0, 0, 2)
    other.forget()
    assert other.ask(ev.DescribeRun, R).status == "cancelled"
    other.done()


def test_a_fail_fast_stop_is_finished() -> None:
    head = Head()
    head.workflow(add(1), add(2), add(3, 1))
    head.greet()
    head.run(fail_fast=True)
    head.result(ended(head.leases()[0], FAILED, "user"))
    other = head.recover()
    other.wait(10)
    assert other.kinds() == ["TaskCancelled", "RunFinished"]


def test_sealed_runs_come_back_as_summaries() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet()
    head.run()
    head.result(ok(head.leases()[0]))
    other = head.recover()
    other.done()
    assert other.core.state.runs == {}
    mine, theirs = (one.ask(ev.DescribeRun, R) for one in (head, other))
    theirs.ready_nodes = mine.ready_nodes
    assert mine == theirs
    assert other.run(R).status == "finished"


def test_a_version_saved_before_is_not_saved_again() -> None:
    head = Head()
    head.workflow(add(1))
    head.run()
    other = head.recover()
    other.run(b"q" * 16)
    assert other.take(fx.SaveGraph) == []


def test_recovering_twice_is_recovering_once() -> None:
    head = Head()
    head.workflow(*(add(number) for number in range(5)))
    head.greet()
    head.run()
    once = head.recover()
    again = once.recover()
    assert again.log() == []
    assert [run["phase"] if isinstance(run, dict) else run[4] for run in dump(once.core)["runs"]] == [
        run[4] for run in dump(again.core)["runs"]
    ]


def test_older_runs_are_served_first() -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu": 4}))
    for letter in (b"a", b"b"):
        head.run(letter * 16)
    other = head.recover()
    other.greet()
    assert [effect.assignment.run[:1] for effect in other.take(fx.AssignTask)] == [b"a"]


def test_a_gap_in_a_log_is_refused() -> None:
    head = Head()
    head.workflow(add(1))
    head.run()
    other = head.replay()
    with pytest.raises(ValueError, match="continues at 5, 2 was expected"):
        other.core.restore_segment(1, Segment(1, 0.0, 5, (AttemptInterrupted(0, 1, 1),)))


def test_unknown_kinds_of_cluster_events_are_skipped() -> None:
    head = Head()
    head.core.restore_cluster("from_a_later_version", {}, 0.0)
    assert head.core.restored(head.now) == []


def test_a_workflow_is_rebuilt_when_somebody_looks_and_counted_before() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1), add(3))
    head.edit(edge(3, 2), edit_id="one")
    again = head.recover()
    workflow = again.core.state.workflows[W]
    assert [(flow.tasks, flow.revision) for flow in again.ask(ev.ListWorkflows).workflows] == [(3, 2)]
    assert workflow._contents is None
    assert not workflow.away
    assert again.edit(edge(3, 2), edit_id="one").revision == 2
    assert again.edit(add(4)).revision == 3
    assert dump(again.recover().core)["workflows"] == dump(again.core)["workflows"]


def test_a_workflow_whose_newest_revision_was_run_is_put_away_at_a_restart_and_the_same_when_brought() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1), add(3))
    head.edit(edge(3, 2), edit_id="one")
    head.run()
    again = head.recover()
    assert again.core.state.workflows[W].away
    assert [(flow.tasks, flow.revision) for flow in again.ask(ev.ListWorkflows).workflows] == [(3, 2)]
    assert dump(again.fetch().core)["workflows"] == dump(head.core)["workflows"]
    assert again.core.state.workflows[W].compile().encode() == head.take(fx.SaveGraph)[0].body


def test_a_workflow_that_cannot_be_had_from_the_journal_is_refused() -> None:
    head = Head()
    head.workflow(add(1))
    for row in head.journal:
        if isinstance(row, fx.AppendCluster) and row.kind == "workflow_edited":
            del row.body["changes"]
    with pytest.raises(ValueError, match="without edits that lead to revision 1"):
        head.recover()


def test_a_live_run_whose_graph_is_not_given_is_refused() -> None:
    head = Head()
    head.workflow(add(1))
    head.run()
    head.journal = [row for row in head.journal if not isinstance(row, fx.SaveGraph)]
    head.journal.insert(0, fx.SaveGraph(W, 1, None))  # type: ignore[arg-type]  # as a row of the journal without its body
    with pytest.raises(ValueError, match="without its graph"):
        head.recover()


def test_edit_ids_outlive_being_put_away() -> None:
    head = Head()
    head.workflow(add(1), edit_id="first")
    head.run()
    again = head.recover().recover()
    assert again.core.state.workflows[W].away
    assert again.edit(add(1), edit_id="first").revision == 1
    assert again.edit(add(2), edit_id="second").revision == 2
    assert again.edit(add(3), edit_id="first").revision == 1


def test_an_edit_journalled_by_an_older_version_is_applied_at_once() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    for row in head.journal:
        if isinstance(row, fx.AppendCluster) and row.kind == "workflow_edited":
            del row.body["codes"], row.body["tasks"]
    again = head.recover()
    assert [each.core.state.code_users.only_of(W) for each in (again, head)] == [[bytes.fromhex(CODE)]] * 2
    assert dump(again.core) == dump(head.core)

"""Running the graph of an earlier run again."""

from __future__ import annotations

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.errors import Conflict, NotFound, Rejected, Unavailable
from maze_head.core.fold import RunView, fold
from maze_head.core.graph import Graph, load_graph
from maze_head.core.settings import Settings
from maze_protocol.events import RunFinished, RunSubmitted, TaskLeased, TaskReused
from maze_protocol.http import DelTask
from maze_protocol.ids import RUN, format_id
from maze_protocol.messages import FAILED, Forget, Goodbye
from support.head_core import Head, R, W, add, dump, edge, ended, large, ok, raw, tid

AGAIN = b"a" * 16
THIRD = b"t" * 16


def view_of(head: Head, run_no: int = 1) -> RunView:
    """Read a run as the API does."""
    segments = [row[1] for row in head.journal if isinstance(row, tuple) and row[0] == run_no]
    return fold(segments, graph_of(head))


def graph_of(head: Head) -> Graph:
    (saved,) = [row for row in head.journal if isinstance(row, fx.SaveGraph)]
    return load_graph(saved.workflow_id, saved.version, saved.body)


def retry(head: Head, run_id: bytes = AGAIN, run_no: int = 1, *, from_failed: bool = False, **given):
    view = view_of(head, run_no)
    reused = view.results() if from_failed else ()
    made = view.made() if from_failed else ()
    told = {"last_seq": view.run.next_seq - 1, "graph": graph_of(head), "reused": reused, "made": made, **given}
    return head.ask(ev.RetryRun, run_id, view.run.submitted, from_failed=from_failed, **told)


def failed_head(settings: Settings | None = None) -> Head:
    """Return a head with a run of which task 2 failed: 1 and 4 finished, 3 (after 1 and 2) was skipped."""
    head = Head(settings)
    head.workflow(add(1), add(2), add(3, 1, 2), add(4, 1))
    head.greet()
    head.run(priority=3, project="p")
    one, two = head.leases()
    head.result(ok(one, size=5), ended(two, FAILED, "user"))
    (four,) = head.leases()
    head.result(ok(four, size=7))
    head.forget()
    return head


def refused(head: Head, **given) -> Rejected:
    with pytest.raises(Rejected) as caught:
        retry(head, **given)
    head.done()
    return caught.value


def test_a_retry_runs_all_of_the_same_graph_again() -> None:
    head = failed_head()
    body = retry(head)
    assert (body.run_id, body.retry_of, body.revision, body.status) == (
        format_id(AGAIN, RUN), format_id(R, RUN), 1, "waiting",
    )  # fmt: skip
    assert head.log(2)[0] == RunSubmitted(AGAIN, W, 1, 4, priority=3, project="p", retry_of=R)
    assert [effect.assignment.task for effect in head.take(fx.AssignTask)] == [raw(1), raw(2)]
    head.done()


def test_a_retry_from_the_failure_reuses_every_result_and_runs_the_rest() -> None:
    head = failed_head()
    retry(head, from_failed=True)
    events = head.log(2)
    reused = [event for event in events if isinstance(event, TaskReused)]
    assert [(event.task, event.outputs[0].size) for event in reused] == [(0, 5), (3, 7)]
    assert head.take(fx.CopyAccepted) == [fx.CopyAccepted(1, 2, (0, 3))]
    (assign,) = head.take(fx.AssignTask)
    assert assign.assignment.task == raw(2)
    head.result(ok(assign.assignment.lease))
    (after,) = head.take(fx.AssignTask)
    assert after.assignment.task == raw(3)
    assert [source for _, _, sources in after.inputs for source in sources] == [
        fx.Source(2, 0, "y"), fx.Source(2, 1, "y"),
    ]  # fmt: skip
    head.result(ok(after.assignment.lease))
    assert head.log(2)[-1] == RunFinished(4, 0, 0)


def test_results_are_reused_in_an_order_in_which_they_can_have_come_to_be() -> None:
    head = Head()
    head.workflow(add(1), add(2), add(3), edge(2, 1))
    head.greet()
    head.run()
    two, three = head.leases()
    head.result(ok(two), ended(three, FAILED, "user"))
    head.result(*map(ok, head.leases()))
    head.forget()
    retry(head, from_failed=True)
    assert [event.task for event in head.log(2) if isinstance(event, TaskReused)] == [1, 0]


def test_a_retry_of_a_retry_reuses_what_that_reused() -> None:
    head = failed_head()
    retry(head, from_failed=True)
    (two,) = head.leases()
    head.result(ended(two, FAILED, "user"))
    head.forget()
    body = retry(head, THIRD, 2, from_failed=True)
    assert (body.retry_of, body.finished) == (format_id(AGAIN, RUN), 2)
    assert head.take(fx.CopyAccepted) == [fx.CopyAccepted(2, 3, (0, 3))]


def test_a_retry_runs_the_version_of_then_whatever_the_workflow_is_now() -> None:
    head = failed_head()
    head.edit(DelTask(tid(4)), add(5))
    head.forget()
    assert retry(head).tasks == 4
    assert (W, 1) in head.core.state.graphs
    head.forget()
    assert head.run(b"n" * 16).tasks == 4
    assert head.take(fx.SaveGraph)[0].version == 2


def test_a_repeated_retry_is_the_same_run_and_another_run_is_no_retry() -> None:
    head = failed_head()
    first = retry(head)
    head.forget()
    assert retry(head).run_id == first.run_id
    assert head.kinds(2) == []
    error = refused(head, run_id=R)
    assert (type(error), error.code, error.field) == (Conflict, "run_exists", "$.run_id")


def test_a_run_that_is_not_over_is_not_retried() -> None:
    head = Head()
    head.workflow(add(1), add(2))
    head.greet()
    head.run()
    head.forget()
    error = refused(head)
    assert (type(error), error.code, error.hint) == (Conflict, "run_not_over", "wait for its end, or cancel it")


def test_a_log_that_was_not_read_to_its_end_is_not_enough() -> None:
    assert refused(failed_head(), last_seq=3, from_failed=True).code == "run_not_over"


def test_nothing_to_run_is_told_and_all_of_it_can_be_run_again() -> None:
    head = failed_head()
    retry(head, from_failed=True)
    while leases := head.leases():
        head.result(*map(ok, leases))
    head.forget()
    error = refused(head, run_id=THIRD, run_no=2, from_failed=True)
    assert (error.code, error.hint) == ("nothing_to_retry", "retry it without from_failed to run all of it again")
    assert retry(head, THIRD, 2).tasks == 4


def test_an_unknown_run_is_told() -> None:
    head = failed_head()
    with pytest.raises(NotFound, match="no run"):
        head.ask(ev.RetryRun, AGAIN, RunSubmitted(b"?" * 16, W, 1, 4), 1, graph_of(head))


def test_only_what_is_left_to_run_counts_as_pending() -> None:
    head = failed_head(Settings(max_pending_tasks=4))
    retry(head, from_failed=True)
    head.forget()
    error = refused(head, run_id=THIRD)
    assert (type(error), error.code) == (Unavailable, "too_many_pending")
    assert retry(head, THIRD, from_failed=True).finished == 2


def test_recovery_replays_it_even_of_a_version_that_no_live_run_has() -> None:
    head = failed_head()
    head.edit(add(5))
    head.forget()
    retry(head, from_failed=True)
    other = head.replay()
    assert dump(other.core) == dump(head.core)
    assert other.core.state.runs[2].outputs.keys() == {0}
    again = head.recover()
    again.greet(b"L2")
    (assign,) = again.take(fx.AssignTask)
    assert assign.assignment.task == raw(2)
    assert again.core.state.saved_graphs == {}


def test_a_view_tells_what_was_reused() -> None:
    head = failed_head()
    retry(head, from_failed=True)
    tasks = view_of(head, 2).tasks()
    assert [(task.status, task.attempt) for task in tasks] == [
        ("finished", 0), ("leased", 1), ("waiting", 0), ("finished", 0),
    ]  # fmt: skip


def forgotten(head: Head) -> list[int]:
    return [lease for send in head.take(fx.Send) if isinstance(send.message, Forget) for lease in send.message.leases]


def half_done(*, keep: bool = False) -> tuple[Head, int]:
    """Return a head with a run whose task 1 made an object on n1, and whose task 2, which needs it, failed."""
    head = Head()
    head.workflow(add(1, keep=keep), add(2, 1))
    head.meet()
    head.run()
    (one,) = head.leases()
    head.result(large(one))
    if keep:
        head.do(ev.ObjectKept(1, 0, 0, 1 << 20, 7))
    head.result(ended(*head.leases(), FAILED, "user"))
    head.forget()
    return head, one


def test_objects_that_nodes_hold_pass_to_the_new_run() -> None:
    head, one = half_done()
    retry(head, from_failed=True)
    assert head.kinds(2) == ["RunSubmitted", "TaskReused", "TaskLeased"]
    (assigned,) = head.take(fx.AssignTask)
    assert assigned.assignment.task == raw(2)
    assert [(ref.lease, [name for name, *_ in ref.holders]) for ref in [assigned.inputs[0][2][0].ref]] == [(one, [""])]
    assert dump(head.replay().core) == dump(head.core)


def test_what_has_passed_on_outlives_the_earlier_run_and_goes_with_the_new_one() -> None:
    head, one = half_done()
    retry(head, from_failed=True)
    place = head.ask(ev.LocateObject, R, 0, 0)
    assert (place.run_no, place.ref.lease) == (1, one), "readers of the earlier run still have it"
    head.ask(ev.RemoveRun, R)
    assert forgotten(head) == []
    head.result(ok(*head.leases()))
    head.ask(ev.RemoveRun, AGAIN)
    assert forgotten(head) == [one]
    assert (head.core.state.objects.of_task, head.core.state.objects.of_run) == ({}, {})


def test_what_another_live_run_has_taken_over_is_made_anew() -> None:
    head, one = half_done()
    retry(head, from_failed=True)
    head.forget()
    retry(head, THIRD, from_failed=True)
    assert head.kinds(3) == ["RunSubmitted", "TaskReused", "ObjectLost", "TaskLeased"]
    (two,) = head.leases()
    head.result(large(two))
    assert [assigned.inputs[0][2][0].ref.lease for assigned in head.take(fx.AssignTask)] == [two]
    assert one in head.core.state.objects.made


def test_objects_that_nobody_has_are_made_anew_if_the_new_run_needs_them() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1), add(3, 1), add(4, 3), add(5))
    head.meet()
    head.run()
    one, five = head.leases()
    head.result(large(one), ended(five, FAILED, "user"))
    two, three = head.leases()
    head.result(ended(two, FAILED, "user"), large(three))
    head.result(ok(*head.leases()))
    head.say(Goodbye())
    head.meet(b"L2", "n2")
    head.forget()
    retry(head, from_failed=True)
    reused = [event for event in head.log(2) if not isinstance(event, TaskLeased)]
    assert [type(event).__name__ for event in reused] == [
        "RunSubmitted", "TaskReused", "TaskReused", "TaskReused", "ObjectLost",
    ]  # fmt: skip
    assert (reused[-1].task, reused[-1].needed_by) == (0, 1), "what task 3 made is needed by nobody"
    given = {assigned.assignment.task: assigned.assignment.lease for assigned in head.take(fx.AssignTask)}
    assert given.keys() == {raw(1), raw(5)}
    head.result(large(given[raw(1)]), link=b"L2")
    (assigned,) = head.take(fx.AssignTask)
    assert assigned.assignment.task == raw(2)
    assert assigned.inputs[0][2][0].ref.lease == given[raw(1)]
    assert dump(head.replay().core) == dump(head.core)


def test_what_the_head_keeps_for_the_earlier_run_is_linked_for_the_new_one() -> None:
    head, one = half_done(keep=True)
    head.say(Goodbye())
    head.forget()
    retry(head, from_failed=True)
    (order,) = head.take(fx.KeepObject)
    assert (order.run_no, order.task_no, order.output, order.like, order.ref.holders) == (2, 0, 0, 1, ())
    assert dump(head.replay().core) == dump(head.core)
    head.do(ev.ObjectKept(2, 0, 0, 1 << 20, 7))
    assert head.kinds(2)[-1] == "OutputKept"
    head.meet()
    (assigned,) = head.take(fx.AssignTask)
    assert assigned.inputs[0][2][0].ref.lease == one
    head.result(ok(assigned.assignment.lease))
    assert head.core.state.runs == {}


def test_what_cannot_be_linked_is_made_anew() -> None:
    head, _ = half_done(keep=True)
    head.say(Goodbye())
    retry(head, from_failed=True)
    head.forget()
    head.do(ev.ObjectUnkept(2, 0, 0, "it went with its run"))
    head.meet()
    assert head.kinds(2) == ["ObjectLost", "TaskLeased"]
    (again,) = head.leases()
    head.result(large(again))
    assert [(order.run_no, order.like, order.ref.lease) for order in head.take(fx.KeepObject)] == [(2, 0, again)]


def test_a_head_that_was_killed_links_what_it_had_not_linked() -> None:
    head, _ = half_done(keep=True)
    head.say(Goodbye())
    retry(head, from_failed=True)
    again = head.recover()
    again.wait(1.0)
    assert [(order.run_no, order.like) for order in again.take(fx.KeepObject)] == [(2, 1)]


def test_a_reused_result_that_is_made_anew_waits_for_room_once() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    head.meet()
    head.run()
    head.result(large(*head.leases()))
    head.result(ended(*head.leases(), FAILED, "user"))
    head.say(Goodbye())
    head.forget()
    retry(head, from_failed=True)
    assert [type(event).__name__ for event in head.log(2)] == ["RunSubmitted", "TaskReused", "ObjectLost"]
    assert [queue.tasks() for queue in head.core.state.ready.live()] == [[(2, 0)]]

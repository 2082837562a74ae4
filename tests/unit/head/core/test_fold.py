"""A run's tasks as its log tells them."""

from __future__ import annotations

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.fold import fold
from maze_head.core.graph import Graph, compile_graph, load_graph
from maze_head.core.tasks import TaskSpec, pack
from maze_protocol.events import AttemptLost, RunEvent, RunSubmitted, Segment, TaskAdopted, TaskLeased, TaskSkipped
from maze_protocol.http import LostAttempt, RunTaskBody
from maze_protocol.messages import CRASHED, FAILED, ErrorInfo, Goodbye, Release
from maze_protocol.resources import Claim, Request
from support.head_core import Head, R, W, add, ended, large, ok, raw, tid


def view_of(head: Head):
    (saved,) = [row for row in head.journal if isinstance(row, fx.SaveGraph)]
    segments = [row[1] for row in head.journal if isinstance(row, tuple)]
    return fold(segments, load_graph(saved.workflow_id, saved.version, saved.body))


def test_tasks_of_a_run_with_every_end() -> None:
    head = Head()
    head.workflow(add(1, func_name="load"), add(2), add(3, 2), add(4), add(5, 4))
    head.greet()
    head.run()
    one, two, four = head.leases()
    head.result(ok(one, warnings=("careful",)), ended(two, FAILED, "user"))
    head.ask(ev.CancelRun, R, "enough")
    head.result(ok(four))
    tasks = view_of(head).tasks()
    assert [task.status for task in tasks] == ["finished", "failed", "skipped", "cancelled", "cancelled"]
    first, second, _, fourth, _ = tasks
    assert (first.task_id, first.name, first.attempt, first.node, first.node_ip) == (tid(1), "t1", 1, "n1", "10.0.0.1")
    assert (first.started_at, first.wall_ms, first.warnings) == (1e9, 250.0, ["careful"])
    assert first.claim == {"cpu": 1.0, "cpu_mem": 0, "gpus": []}
    assert (first.func_name, second.func_name) == ("load", "")
    assert second.error == "Boom: bad thing"
    assert fourth.error == "Cancelled: enough"


def test_a_new_attempt_forgets_the_start_of_the_last() -> None:
    head = Head()
    head.workflow(add(1))
    head.greet()
    head.run()
    head.started(*head.leases())
    head.wait(30)
    head.greet(b"L2", "n2")
    (task,) = view_of(head).tasks()
    assert (task.status, task.attempt, task.node, task.started_at) == ("leased", 2, "n2", None)


def test_a_finished_task_that_runs_once_more_keeps_its_story() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1, resources={"cpu": 8}))
    head.meet()
    head.run()
    head.result(large(*head.leases()))
    head.say(Goodbye())
    head.meet(b"L2", "n2")
    (again,) = head.leases()
    head.started(again, link=b"L2")
    view = view_of(head)
    first, _ = view.tasks()
    assert (first.status, first.attempt, first.node, first.started_at, first.lost) == ("running", 2, "n1", 1e9, [])
    assert [task for task, _ in view.results()] == [0]
    head.result(large(again), link=b"L2")
    first, second = view_of(head).tasks()
    assert (first.status, first.node, second.status) == ("finished", "n1", "ready")


def test_lost_attempts_are_told_with_their_nodes_and_reasons() -> None:
    head = Head()
    head.workflow(add(1), add(2))
    head.greet()
    head.run()
    one, two = head.leases()
    head.result(ended(one, CRASHED, "crash", name="WorkerCrashed"))
    (one,) = head.leases()
    head.say(Release((one,), "no room"))
    # A journal from before it said who joined: nobody can come back for what was held.
    known = [row for row in head.journal if not (isinstance(row, fx.AppendCluster) and row.kind == "node_joined")]
    other = Head(journal=known).recover()
    first, second = view_of(other).tasks()
    assert [(lost.attempt, lost.node, lost.kind, lost.error) for lost in first.lost[:2]] == [
        (1, "n1", "crash", "WorkerCrashed: bad thing"), (2, "n1", "released", "no room"),
    ]  # fmt: skip
    assert first.lost[0].time == head.now.wall
    assert two
    assert [lost.kind for lost in second.lost] == ["interrupted"]


def lost_once(*more: RunEvent) -> RunTaskBody:
    """Return a task that lost its first attempt at the time of 50 and may begin again at 60."""
    claim = Claim(1000, 0)
    error = ErrorInfo("node_lost", "NodeLost", "node n1 was lost\nfor long")
    events = (RunSubmitted(R, W, 1, 1), TaskLeased(0, 1, 7, "n1", claim), AttemptLost(0, 1, 7, error, 60.0), *more)
    packed = pack(TaskSpec(raw(1), "t1", Request(), (0, 0)))
    return fold([Segment(1, 50.0, 1, events)], compile_graph(Graph(W, 1, "", [packed]), [])).task(0)


def test_a_task_that_pauses_tells_until_when() -> None:
    task = lost_once()
    assert (task.status, task.retry_at) == ("ready", 60.0)
    assert task.lost == [LostAttempt(1, "n1", 50.0, "node_lost", "NodeLost: node n1 was lost")]
    again = lost_once(TaskLeased(0, 2, 8, "n2", Claim(1000, 0)))
    assert (again.status, again.retry_at, again.node, len(again.lost)) == ("leased", None, "n2", 1)


def test_an_attempt_that_goes_on_after_all_was_not_lost() -> None:
    task = lost_once(TaskAdopted(0, 2, 8, "n1", Claim(1000, 0), 7))
    assert (task.status, task.attempt, task.lost, task.retry_at) == ("leased", 2, [], None)


def test_results_come_in_the_order_in_which_they_came_to_be() -> None:
    head = Head()
    head.workflow(add(1), add(2), add(3))
    head.greet()
    head.run()
    one, two, three = head.leases()
    head.result(ok(three, size=3), ended(two, FAILED, "user"), ok(one))
    assert [(task, outputs[0].size) for task, outputs in view_of(head).results()] == [(2, 3), (0, 1)]


def test_damaged_logs_are_refused() -> None:
    head = Head()
    head.workflow(add(1))
    head.run()
    view = view_of(head)
    skipped = Segment(1, 0.0, 9, (TaskSkipped(0, 0),))
    with pytest.raises(ValueError, match="continues at 9"):
        view.add(skipped)
    with pytest.raises(ValueError, match="begins with TaskSkipped"):
        fold([skipped], view.run.graph)
    with pytest.raises(ValueError, match="empty"):
        fold([], view.run.graph)

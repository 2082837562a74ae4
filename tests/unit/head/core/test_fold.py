"""A run's tasks as its log tells them."""

from __future__ import annotations

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.fold import fold
from maze_head.core.graph import load_graph
from maze_protocol.events import Segment, TaskSkipped
from maze_protocol.messages import FAILED
from support.head_core import Head, R, add, ended, ok, tid


def view_of(head: Head):
    (saved,) = [row for row in head.journal if isinstance(row, fx.SaveGraph)]
    segments = [row[1] for row in head.journal if isinstance(row, tuple)]
    return fold(segments, load_graph(saved.workflow_id, saved.version, saved.body))


def test_tasks_of_a_run_with_every_end() -> None:
    head = Head()
    head.workflow(add(1), add(2), add(3, 2), add(4), add(5, 4))
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
    assert (first.started_at, first.wall_ms, first.warnings) == (1e9, 2.5, ["careful"])
    assert first.claim == {"cpu": 1.0, "cpu_mem": 0, "gpus": []}
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

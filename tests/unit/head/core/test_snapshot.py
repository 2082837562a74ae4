"""A workflow as it was when it was asked for, whatever becomes of it before it is written out."""

from __future__ import annotations

from maze_head.core.snapshot import Snapshot
from maze_protocol.http import DelTask, SaveTask
from support.head_core import Head, W, add, edge, raw, task, tid


def test_a_snapshot_stays_as_it_was() -> None:
    head = Head()
    head.workflow(add(2), add(1), add(3, 1, 2), edge(2, 1), edge(2, 3))
    snapshot = Snapshot.of(head.core.state.workflows[W])
    before = snapshot.body()
    head.edit(DelTask(tid(3)), SaveTask(task(1, resources={"cpu": 2})), add(4))
    assert snapshot.body() == before
    assert [body.task_id for body in before.tasks] == [tid(2), tid(1), tid(3)]
    assert before.edges == [(tid(2), tid(1)), (tid(2), tid(3)), (tid(1), tid(3))]
    assert before.manual_edges == [(tid(2), tid(1))]
    assert (before.name, before.revision) == ("test", 1)


def test_one_task_is_written_out_alone() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1))
    snapshot = Snapshot.of(head.core.state.workflows[W])
    assert snapshot.task(raw(2)) == snapshot.body().tasks[1]
    assert snapshot.task(raw(3)) is None

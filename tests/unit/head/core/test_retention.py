"""Which runs go, and when: the oldest beyond a limit, a few at a time, never one that is not over."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core import state as state_module
from maze_head.core.errors import Conflict, Gone, NotFound
from maze_head.core.retention import AT_ONCE, DAY, SHRINK_PART
from maze_head.core.settings import Settings
from maze_protocol.http import CodeBody, InputBody, SaveTask, UploadedValue, WorkflowRequest
from support.head_core import CODE_BODY, Head, W, add, ok, task

CHANGED = SaveTask(task(1, name="changed"))


def rid(number: int) -> bytes:
    return b"run" + number.to_bytes(13, "big")


def ran(head: Head, count: int, first: int = 1) -> None:
    """Let so many runs of one workflow begin and end."""
    for number in range(first, first + count):
        head.run(rid(number))
        head.result(*(ok(lease) for lease in head.leases()))
    head.forget()


def started(**limits: Any) -> Head:
    head = Head(Settings(lost_after=1e9, suspect_after=1e9, **limits))
    head.workflow(add(1))
    head.greet()
    head.forget()
    return head


def dropped(head: Head) -> list[int]:
    return [number for order in head.take(fx.DropRuns) for number in order.run_nos]


def test_the_oldest_beyond_the_number_go() -> None:
    head = started(keep_runs=3, keep_days=0)
    ran(head, 5)
    head.wait(0.25)
    assert dropped(head) == [1, 2]
    (fact,) = head.take(fx.AppendCluster)
    assert (fact.kind, fact.body) == ("runs_removed", {"reason": "expired", "runs": [(1, rid(1)), (2, rid(2))]})
    head.done()
    with pytest.raises(Gone) as refusal:
        head.ask(ev.DescribeRun, rid(1))
    assert refusal.value.code == "run_expired"
    head.wait(0.25)
    head.done()


def test_those_older_than_the_days_go() -> None:
    head = started(keep_runs=0, keep_days=2)
    ran(head, 2)
    head.wait(1.5 * DAY)
    ran(head, 1, first=3)
    head.done()
    head.wait(0.6 * DAY)
    assert dropped(head) == [1, 2]


def test_without_limits_nothing_goes() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 3)
    head.wait(1000 * DAY)
    head.do(ev.JournalSized(1 << 50))
    head.done()


def test_a_few_go_at_a_time() -> None:
    head = started(keep_runs=1, keep_days=0)
    ran(head, AT_ONCE + 11)
    head.wait(0.25)
    assert len(dropped(head)) == AT_ONCE
    head.wait(0.25)
    assert len(dropped(head)) == 10


def test_a_run_that_is_not_over_never_goes() -> None:
    head = started(keep_runs=1, keep_days=1)
    head.run(rid(1))
    held = head.leases()
    ran(head, 2, first=2)
    head.wait(30 * DAY)
    assert dropped(head) == [2, 3]
    with pytest.raises(Conflict, match=r"not over \(running\)") as refusal:
        head.ask(ev.RemoveRun, rid(1))
    assert "cancel it" in refusal.value.hint
    head.result(*(ok(lease) for lease in held))
    head.forget()
    head.ask(ev.RemoveRun, rid(1))
    assert dropped(head) == [1]


def test_a_journal_that_is_too_large_loses_a_part_of_its_oldest_runs() -> None:
    head = started(keep_runs=0, keep_days=0, keep_bytes=1000)
    ran(head, SHRINK_PART)
    head.do(ev.JournalSized(1000))
    head.done()
    head.do(ev.JournalSized(1001))
    assert dropped(head) == [1, 2]


def test_numbers_are_never_used_again() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 3)
    for number in (2, 3):
        head.ask(ev.RemoveRun, rid(number))
    head.forget()
    again = head.recover()
    again.workflow(workflow_id=b"x" * 16)
    again.run(rid(9))
    assert again.core.state.run_numbers[rid(9)] == 4


def test_a_graph_goes_with_its_last_run_unless_it_is_the_newest() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 2)
    head.ask(ev.RemoveRun, rid(1))
    head.ask(ev.RemoveRun, rid(2))
    assert head.take(fx.DropGraph) == []
    ran(head, 1, first=3)  # it is not saved a second time
    head.edit(CHANGED)
    assert head.take(fx.DropGraph) == []
    head.ask(ev.RemoveRun, rid(3))
    assert head.take(fx.DropGraph) == [fx.DropGraph(W, 1)]


def test_a_graph_without_runs_goes_when_the_workflow_moves_on() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 1)
    head.ask(ev.RemoveRun, rid(1))
    head.edit(CHANGED)
    assert head.take(fx.DropGraph) == [fx.DropGraph(W, 1)]


def test_a_saved_version_is_not_saved_again_after_a_restart() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 1)
    again = head.recover()
    again.forget()
    again.run(rid(2))
    assert again.take(fx.SaveGraph) == []


def test_a_retried_run_outlives_the_run_that_it_repeats() -> None:
    head = started(keep_runs=1, keep_days=0)
    ran(head, 2)
    head.wait(0.25)
    assert dropped(head) == [1]
    assert head.ask(ev.DescribeRun, rid(2)).status == "finished"


def test_pages_of_runs_skip_what_is_gone() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 9)
    for number in (1, 2, 5, 6, 9):
        head.ask(ev.RemoveRun, rid(number))
    seen, before = [], 0
    while True:
        page = head.ask(ev.ListRuns, 2, before)
        seen += [run.run_id for run in page.runs]
        if not page.next:
            break
        before = int(page.next)
    assert seen == [f"run_{rid(number).hex()}" for number in (8, 7, 4, 3)]


def test_only_the_newest_gone_ids_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "GONE_REMEMBERED", 2)
    head = started(keep_runs=0, keep_days=0)
    ran(head, 3)
    for number in (1, 2, 3):
        head.ask(ev.RemoveRun, rid(number))
    with pytest.raises(NotFound):
        head.ask(ev.DescribeRun, rid(1))
    with pytest.raises(Gone):
        head.ask(ev.DescribeRun, rid(2))


def test_removing_is_allowed_while_the_disk_is_full() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 1)
    head.do(ev.DiskTurned(full=True))
    head.ask(ev.RemoveRun, rid(1))
    assert dropped(head) == [1]


def test_a_removed_workflow_takes_its_runs_graphs_and_functions() -> None:
    head = started(keep_runs=0, keep_days=0)
    ran(head, 2)
    head.edit(SaveTask(task(1, inputs={"x": InputBody(upload=UploadedValue(0, "ab" * 32, 5))})))
    head.edit(CHANGED)
    assert head.ask(ev.ListUploads), "an earlier version may run again"
    head.forget()
    head.ask(ev.RemoveWorkflow, W)
    assert head.ask(ev.ListUploads) == frozenset()
    assert dropped(head) == [1, 2]
    assert head.take(fx.DropGraph) == [fx.DropGraph(W, 1)]
    (order,) = head.take(fx.DropWorkflow)
    assert order.workflow_id == W
    assert len(order.codes) == 1
    state = head.recover().core.state
    assert (state.workflows, state.codes, state.graph_runs, state.sealed, state.idle) == ({}, {}, {}, {}, {})
    assert len(state.code_users) == 0


def flow(number: int) -> bytes:
    return b"flow" + number.to_bytes(12, "big")


def make(head: Head, count: int, first: int = 1, name: str = "") -> None:
    """Make so many workflows, of one task each."""
    for number in range(first, first + count):
        head.ask(ev.CreateWorkflow, flow(number), WorkflowRequest(name=name))
        head.edit(add(number), workflow_id=flow(number))
    head.forget()


def gone_workflows(head: Head) -> list[bytes]:
    return [order.workflow_id for order in head.take(fx.DropWorkflow)]


def test_workflows_that_nobody_used_for_as_long_as_runs_are_kept_go() -> None:
    head = started(keep_runs=0, keep_days=2)
    make(head, 2)
    head.wait(1.5 * DAY)
    make(head, 1, first=3)
    head.ask(ev.DescribeWorkflow, flow(2))
    head.edit(add(22), workflow_id=flow(2))
    head.wait(0.6 * DAY)
    assert gone_workflows(head) == [flow(1)]
    with pytest.raises(Gone, match="to make room") as refusal:
        head.ask(ev.DescribeWorkflow, flow(1))
    assert refusal.value.code == "workflow_expired"
    with pytest.raises(Gone) as refusal:
        head.recover().ask(ev.DescribeWorkflow, flow(1))
    assert refusal.value.code == "workflow_expired"


def test_the_surplus_of_unused_workflows_goes_after_an_hour_a_few_at_a_time() -> None:
    head = started(keep_runs=2, keep_days=0)
    make(head, AT_ONCE + 5)
    head.wait(3_599)
    head.done()
    head.wait(2)
    assert gone_workflows(head) == [flow(number) for number in range(1, AT_ONCE + 1)]
    head.wait(0.25)
    assert gone_workflows(head) == [flow(number) for number in range(AT_ONCE + 1, AT_ONCE + 4)]
    head.wait(30 * DAY)
    assert gone_workflows(head) == []


def test_a_workflow_with_a_name_or_a_run_stays() -> None:
    head = started(keep_runs=1, keep_days=0)
    make(head, 2, name="nightly")
    make(head, 1, first=3)
    make(head, 2, first=5)
    head.run(rid(1), flow(3))
    held = head.leases()
    head.wait(2 * DAY)
    assert gone_workflows(head) == [flow(5)]
    head.result(*(ok(lease) for lease in held))
    head.wait(2 * DAY)
    assert gone_workflows(head) == []
    head.ask(ev.RemoveRun, rid(1))
    head.wait(2 * DAY)
    assert gone_workflows(head) == [flow(6)]
    assert len(head.recover().core.state.workflows) == 4


def test_a_journal_that_is_too_large_loses_workflows_that_were_not_used_for_an_hour() -> None:
    head = started(keep_runs=0, keep_days=0, keep_bytes=1000)
    make(head, SHRINK_PART)
    head.do(ev.JournalSized(1001))
    head.done()
    head.wait(3_601)
    head.do(ev.JournalSized(1001))
    assert gone_workflows(head) == [flow(1), flow(2)]


def test_without_limits_no_workflow_goes() -> None:
    head = started(keep_runs=0, keep_days=0)
    make(head, 3)
    head.wait(1000 * DAY)
    head.done()


def test_a_workflow_that_goes_takes_its_functions_and_leaves_those_of_others() -> None:
    head = started(keep_runs=0, keep_days=1)
    other = b"other function"
    code = CodeBody(hashlib.blake2b(other, digest_size=16).hexdigest(), "pickle", (3, 11), other, "g")
    head.ask(ev.CreateWorkflow, flow(1), WorkflowRequest())
    head.edit(add(7), add(8, code=code.hash), workflow_id=flow(1), codes=[CODE_BODY, code])
    head.forget()
    head.wait(2 * DAY)
    (order,) = head.take(fx.DropWorkflow)
    assert order.codes == (bytes.fromhex(code.hash),)  # the named workflow W uses the other one

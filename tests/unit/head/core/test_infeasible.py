"""What no member could ever take is told at submission and while it waits, or fails if its run does not wait."""

from __future__ import annotations

from typing import Any

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.graph import load_graph
from maze_protocol.events import RunFinished, TaskFailed, TaskSkipped, TaskWarned
from maze_protocol.http import InfeasibleTask, Op
from maze_protocol.messages import Drain, Goodbye, Measured
from maze_protocol.resources import Capacity
from support.head_core import Head, R, add, gpus, ok, raw, tid

LARGE = {"cpu": 9}
TEXT = (
    "no node could ever take it; nearest fit: n1 has 4 CPUs, it asks for 9; ask for less, or start a node that has it"
)
LARGER = Capacity(16_000, 4096, (), 16)


def made(*ops: Op) -> Head:
    head = Head()
    head.workflow(*ops)
    return head


def joined(*ops: Op) -> Head:
    head = made(*ops)
    head.greet()
    return head


def shown(head: Head) -> list[InfeasibleTask]:
    return list(head.ask(ev.DescribeRun, R).infeasible)


def failed(head: Head) -> list[TaskFailed]:
    return [event for event in head.log() if isinstance(event, TaskFailed)]


# -- told ----------------------------------------------------------------------------------------------------------


def test_told_at_submission_in_the_answer_and_in_the_log() -> None:
    head = joined(add(1), add(2, resources=LARGE), add(3, 2, resources=LARGE))
    body = head.run()
    assert body.infeasible == [InfeasibleTask(tid(2), "t2", TEXT)]
    assert [event for event in head.log() if isinstance(event, TaskWarned)] == [TaskWarned(1, TEXT)]
    assert head.ask(ev.ExplainTask, R, raw(2)).text == TEXT
    assert shown(head) == body.infeasible


def test_the_same_run_again_tells_it_again_and_warns_no_more() -> None:
    head = joined(add(1, resources=LARGE))
    first = head.run()
    head.forget()
    assert head.run().infeasible == first.infeasible
    assert head.log() == []


def test_one_task_of_each_shape_and_no_more_than_five() -> None:
    tasks = [add(number, resources={"cpu": 5 + number // 2}) for number in range(16)]
    told = joined(*tasks).run().infeasible
    assert [task.task_id for task in told] == [tid(number) for number in range(0, 10, 2)]


def test_nothing_is_told_as_long_as_there_is_no_node() -> None:
    head = made(add(1, resources=LARGE))
    assert head.run().infeasible == []
    assert not [event for event in head.log() if isinstance(event, TaskWarned)]
    head.greet()
    assert [task.task_id for task in shown(head)] == [tid(1)]
    assert head.ask(ev.ListRuns).runs[0].infeasible == shown(head)
    head.say(Goodbye("enough"))
    assert shown(head) == []


def test_a_node_that_is_large_enough_ends_it_at_once() -> None:
    head = joined(add(1, resources=LARGE))
    head.run()
    head.say(Measured(LARGER, "more"))
    assert shown(head) == []
    assert len(head.leases()) == 1


def test_tasks_that_are_over_are_not_told() -> None:
    head = joined(add(1, resources=LARGE), add(2, 1, resources=LARGE))
    head.say(Measured(LARGER, "more"))
    assert head.run().infeasible == []
    head.result(ok(head.leases()[0]))
    head.result(ok(head.leases()[0]))
    assert shown(head) == []


def test_nodes_that_are_away_for_a_while_count() -> None:
    head = joined(add(1, resources={"cpu": 3}), add(2, resources=LARGE))
    head.do(ev.LinkLost(b"L1", "timeout"))
    assert [task.name for task in head.run().infeasible] == ["t2"]


def test_time_alone_makes_a_node_too_short() -> None:
    head = made(add(1, timeout=30), add(2, resources={"cpu": 4}))
    head.greet(remaining=60.0)
    head.run()
    assert shown(head) == []
    for _ in range(40):
        head.wait(1)
        head.beat()
    head.run(b"s" * 16)
    told = head.ask(ev.DescribeRun, b"s" * 16).infeasible
    assert [task.reason.partition("; start")[0] for task in told] == [
        "no node could ever take it; nearest fit: n1 leaves in 20 s, it may take 30 s"
    ]


def test_a_retry_tells_it_as_the_first_run_did() -> None:
    head = joined(add(1, resources=LARGE))
    head.run()
    submitted = head.core.state.runs[1].submitted
    head.ask(ev.CancelRun, R)
    saved = head.take(fx.SaveGraph)[0]
    graph = load_graph(saved.workflow_id, saved.version, saved.body)
    body = head.ask(ev.RetryRun, b"s" * 16, submitted, 4, graph)
    assert [task.name for task in body.infeasible] == ["t1"]
    assert [event for event in head.log(2) if isinstance(event, TaskWarned)] == [TaskWarned(0, TEXT)]


# -- failed --------------------------------------------------------------------------------------------------------


def impatient(head: Head, **given: Any) -> Any:
    return head.run(wait_for_capacity=False, **given)


def test_a_run_that_does_not_wait_fails_such_tasks_at_once_and_skips_what_follows() -> None:
    head = joined(add(1), add(2, resources=LARGE), add(3, 2), add(4, 1, resources=LARGE))
    body = impatient(head)
    assert (body.failed, body.skipped) == (2, 1)
    assert [task.name for task in body.infeasible] == ["t2"]
    log = head.log()
    found = [event for event in log if isinstance(event, TaskFailed)]
    assert [(event.task, event.error.kind, event.error.text) for event in found] == [
        (1, "infeasible", f"Infeasible: {TEXT}"),
        (3, "infeasible", f"Infeasible: {TEXT}"),
    ]
    assert [event for event in log if isinstance(event, TaskSkipped)] == [TaskSkipped(2, 1)]
    assert not [event for event in log if isinstance(event, TaskWarned)]
    head.result(ok(head.leases()[0]))
    assert head.log()[-1] == RunFinished(1, 2, 1)


def test_such_a_run_fails_for_want_of_any_node_and_is_over_in_the_answer() -> None:
    head = made(add(1), add(2, 1))
    body = impatient(head)
    assert (body.status, body.sealed, body.failed, body.skipped) == ("failed", True, 1, 1)
    assert body.infeasible[0].reason.startswith("no node can take work: none has joined; ")
    assert head.ask(ev.DescribeRun, R).sealed


def test_a_node_that_drains_counts_for_nothing() -> None:
    head = joined(add(1, resources={"cpu": 3}))
    head.greet(b"L2", "n2", capacity=Capacity(1000, 4096, (), 4))
    head.say(Drain())
    reason = impatient(head).infeasible[0].reason
    assert reason == "the nodes that could take it take no work now: n1 is draining"


def test_a_busy_cluster_is_waited_for() -> None:
    head = joined(add(1, resources={"cpu": 4}), add(2, resources={"cpu": 4}))
    assert impatient(head).failed == 0
    assert failed(head) == []


def test_a_task_that_becomes_ready_when_its_node_is_gone_fails_then() -> None:
    head = joined(add(1), add(2, 1, resources={"gpu": 1}))
    head.greet(b"L2", "n2", capacity=gpus(8000))
    assert impatient(head).failed == 0
    (first,) = [lease for lease in head.core.state.leases.current.values() if lease.node.id == "n1"]
    head.say(Goodbye("enough"), b"L2")
    assert failed(head) == []
    head.result(ok(first.token))
    (event,) = failed(head)
    assert event.error.message.startswith("no node could ever take it; nearest fit: n1 has 0 GPUs, it asks for 1; ")


def test_a_task_that_waits_when_the_last_node_that_fits_goes_fails_then() -> None:
    head = joined(add(1, resources={"cpu": 4}), add(2, resources={"cpu": 3}))
    impatient(head)
    (lease,) = head.leases()
    head.result(ok(lease))
    head.forget()
    head.do(ev.LinkLost(b"L1", "timeout"))
    assert failed(head) == []
    head.wait(60)
    assert [event.task for event in failed(head)] == [1]


def test_all_alike_tasks_fail_and_a_fail_fast_run_stops_at_the_first() -> None:
    tasks = [add(number, resources=LARGE) for number in range(20)]
    assert impatient(joined(*tasks)).failed == 20
    body = impatient(joined(*tasks, add(30)), fail_fast=True)
    assert (body.failed, body.skipped, body.status) == (1, 20, "failed")


def test_nothing_fails_while_the_disk_is_full() -> None:
    head = joined(add(1), add(2, 1, resources={"cpu": 4}))
    impatient(head)
    head.result(ok(head.leases()[0]))
    head.do(ev.DiskTurned(full=True))
    head.forget()
    head.do(ev.LinkLost(b"L1", "timeout"))
    head.wait(60)
    assert not any(isinstance(event, TaskFailed) and event.error.kind == "infeasible" for event in head.log())
    head.do(ev.DiskTurned(full=False))
    assert [event.error.kind for event in failed(head)] == ["infeasible"]


def test_after_a_restart_the_nodes_of_the_journal_count_until_they_are_lost() -> None:
    head = joined(add(1, resources={"cpu": 4}), add(2, resources={"cpu": 4}))
    impatient(head)
    head = head.recover()
    assert failed(head) == []
    head.wait(60)
    assert {event.error.kind for event in failed(head)} == {"infeasible"}

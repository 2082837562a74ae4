"""Why a whole run waits, and what all runs wait for, counted by kinds."""

from __future__ import annotations

import pytest

from maze_head.core import events as ev
from maze_head.core.errors import NotFound
from maze_head.core.graph import Shape
from maze_head.core.waiting import shape_body
from maze_protocol.declare import normalise_resources
from maze_protocol.http import Op
from maze_protocol.messages import CRASHED, FAILED
from maze_protocol.resources import Request
from maze_protocol.terms import Terms
from maze_protocol.waiting import Demand, NamedTask, RunExplanation, ShapeBody, WaitingGroup
from support.head_core import Head, R, add, ended, gpus, ok, raw, tid

LARGE = {"cpu": 9}


def running(*ops: Op) -> Head:
    head = Head()
    head.workflow(*ops)
    head.greet()
    head.run()
    return head


def groups(head: Head) -> list[WaitingGroup]:
    answer: RunExplanation = head.ask(ev.ExplainRun, R)
    assert answer.run_id == head.ask(ev.DescribeRun, R).run_id
    counts = head.core.state.runs[1].counts
    assert sum(group.count for group in answer.groups) + answer.more == counts[0] + counts[1]
    return answer.groups


def kinds(head: Head) -> list[tuple[str, int, list[str]]]:
    return [(group.code, group.count, [task.name for task in group.tasks]) for group in groups(head)]


def demand(head: Head) -> Demand:
    found: Demand = head.ask(ev.DemandAsked)
    return found


# -- one run -------------------------------------------------------------------------------------------------------


def test_tasks_are_grouped_by_reason_and_shape_the_most_numerous_first() -> None:
    tasks = [add(1, resources={"cpu": 4}), *(add(number) for number in range(2, 12)), add(12, resources=LARGE)]
    head = running(*tasks, add(13, 1), add(14, 13), add(15, 12))
    assert kinds(head) == [
        ("no_capacity_now", 10, ["t2", "t3", "t4", "t5", "t6"]),
        ("waiting_inputs", 3, ["t13", "t14", "t15"]),
        ("infeasible", 1, ["t12"]),
    ]
    busy, inputs, never = groups(head)
    assert busy.shape == ShapeBody(1.0, python="3.11")
    assert (never.tasks, never.shape) == ([NamedTask(tid(12), "t12")], ShapeBody(9.0, python="3.11"))
    assert (inputs.text, inputs.shape) == ("the task waits for 't1' (leased)", None)
    assert never.text == head.ask(ev.ExplainTask, R, raw(12)).text


def test_a_run_of_which_nothing_waits_has_no_groups() -> None:
    head = running(add(1))
    assert groups(head) == []
    head.result(ok(head.leases()[0]))
    assert head.ask(ev.ExplainRun, R).groups == []
    with pytest.raises(NotFound):
        head.ask(ev.ExplainRun, b"?" * 16)


def test_tasks_that_pause_or_follow_are_groups_of_their_own() -> None:
    head = running(add(1, retries=3, retry_backoff=10), add(2, resources={"cpu": 4}), add(3))
    head.result(ended(head.leases()[0], FAILED, "user"))
    assert kinds(head) == [("backoff", 1, ["t1"]), ("no_capacity_now", 1, ["t2"])]
    follower = add(3, 1, same_node_as=tid(1), resources={"cpu": 3})
    head = running(add(1, resources={"cpu": 2}), add(2, resources={"cpu": 2}), follower)
    head.greet(b"L2", "n2")
    head.result(ok(head.leases()[0]))
    assert kinds(head) == [("same_node", 1, ["t3"])]


def test_a_task_that_shuns_its_node_is_not_among_those_that_are_alike() -> None:
    head = Head()
    head.workflow(*(add(number, resources={"cpu": 4}) for number in range(1, 4)))
    head.greet()
    head.greet(b"L2", "n2")
    head.run()
    head.result(ended(head.leases()[0], CRASHED, "crash"))
    head.greet(b"L3", "n3", capacity=gpus(cpu=3000))
    # n1 took the next one of its kind; the one that crashed there waits for n2.
    assert kinds(head) == [("no_capacity_now", 1, ["t1"])]
    head.result(ok(head.core.state.runs[1].lease[2]))
    assert kinds(head) == [("shunning", 1, ["t1"])]


def test_a_task_with_a_larger_claim_shows_that() -> None:
    head = running(add(1, resources={"cpu_mem": 100}), add(2))
    head.result(ended(head.leases()[0], FAILED, "memory", peak_mib=300))
    (group,) = groups(head)
    assert (group.code, group.count) == ("no_capacity_now", 1)
    assert group.shape is not None
    assert group.shape.cpu_mem > 300
    (wanted,) = demand(head).waiting
    assert wanted.shape == group.shape


def test_more_than_twenty_kinds_are_only_counted() -> None:
    head = running(*(add(number, resources={"cpu": 10 + number}) for number in range(30)))
    answer = head.ask(ev.ExplainRun, R)
    assert (len(answer.groups), answer.more) == (20, 10)
    assert (len(demand(head).waiting), demand(head).more) == (20, 10)


# -- all runs ------------------------------------------------------------------------------------------------------


def test_demand_counts_ready_tasks_of_all_runs_by_shape() -> None:
    head = running(*(add(number) for number in range(1, 8)), add(8, resources={"gpu_mem": 20_000}), add(9, 1))
    head.wait(2)
    head.beat()
    head.run(b"s" * 16)
    busy, never = demand(head).waiting
    assert (busy.shape, busy.count, busy.code) == (ShapeBody(1.0, python="3.11"), 3 + 7, "no_capacity_now")
    assert (never.shape, never.count) == (ShapeBody(1.0, gpu_mem=20_000, python="3.11"), 2)
    assert (never.code, never.oldest_s, busy.oldest_s) == ("infeasible", 2.0, 2.0)


def test_what_was_cancelled_is_no_demand() -> None:
    head = running(*(add(number, resources=LARGE) for number in range(5)))
    head.wait(2)
    head.beat()
    head.run(b"s" * 16)
    head.ask(ev.CancelRun, R)
    (wanted,) = demand(head).waiting
    assert (wanted.count, wanted.code, wanted.oldest_s) == (5, "infeasible", 0.0)
    head.ask(ev.CancelRun, b"s" * 16)
    assert demand(head) == Demand([])


def test_what_pauses_is_demand_that_has_not_waited() -> None:
    head = running(add(1, retries=3, retry_backoff=10))
    head.result(ended(head.leases()[0], FAILED, "user"))
    (wanted,) = demand(head).waiting
    assert (wanted.count, wanted.code, wanted.oldest_s) == (1, "backoff", 0.0)


def test_a_shape_is_told_with_all_its_terms() -> None:
    terms = Terms(require=(("zone", "a"),), limits=(("openai", 2),), nodes=3)
    shape = Shape(Request.of(normalise_resources({"cpu": 2, "gpu": 0.5, "gpu_mem": 100})), (0, 0), terms, 60.0)
    assert shape_body(shape) == ShapeBody(2.0, 0, 0.5, 100, 3, {"zone": "a"}, {"openai": 2}, "", 60.0)

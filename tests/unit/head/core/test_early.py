"""Early leases: the next of a chain goes to the node of the one before it, and counts only after that."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.early import MOST_EARLY
from maze_protocol.events import TaskReleased
from maze_protocol.http import CodeBody, InputBody
from maze_protocol.messages import (
    ACCEPTED,
    CRASHED,
    FAILED,
    HELD_DONE,
    HELD_RUNNING,
    STALE,
    Assignment,
    Cancel,
    Drain,
    Measured,
    Release,
    ResultAck,
)  # fmt: skip
from maze_protocol.resources import Capacity
from support.head_core import CODE_BODY, Head, R, add, ended, held, ok, raw, tid

ONE = Capacity(1000, 0, (), 4)
LAST = {"outputs": ["z"]}


def chain(tasks: int, **options: Any) -> Head:
    """Return a head with a node that has finished the first of a chain: its function is known to be short."""
    head = Head()
    head.workflow(*(add(number, *range(number)[-1:], **options) for number in range(tasks)))
    return begun(head)


def begun(head: Head, minor: int = 5, wall_ms: float = 1.0) -> Head:
    head.greet(capacity=ONE, minor=minor)
    head.run()
    (first,) = head.leases()
    head.forget()
    head.result(ok(first, wall_ms=wall_ms))
    return head


def orders(head: Head) -> list[Assignment]:
    return [effect.assignment for effect in head.take(fx.AssignTask)]


def verdicts(head: Head) -> list[int]:
    sent = [effect.message for effect in head.take(fx.Send)]
    return [item.verdict for message in sent if isinstance(message, ResultAck) for item in message.items]


def phases(head: Head) -> str:
    """Return a letter per task: waiting, ready, leased, running, or over."""
    return "".join("wrlu...."[phase] for phase in head.core.state.runs[1].phase)


def test_the_rest_of_a_chain_goes_with_the_first_of_it() -> None:
    head = chain(4)
    first, second, third = orders(head)
    assert (first.after, first.awaits) == (0, ())
    assert (second.after, second.awaits) == (first.lease, ((0, "y"),))
    assert (third.after, third.awaits) == (second.lease, ((0, "y"),))
    assert [each.grant for each in (first, second, third)] == [first.lease] * 3
    assert [(each.name, each.template, each.parts) for each in second.inputs] == [("x1", None, ())]
    assert phases(head) == ".lll"
    assert head.core.state.nodes["n1"].ledger.attempts == 1
    assert head.core.state.counters.leases_early == 2


def test_one_that_asks_is_told_what_it_follows() -> None:
    head = chain(3)
    told = [head.ask(ev.ExplainTask, R, raw(number)).text for number in (1, 2)]
    assert told[0] == "the task is leased on node n1"
    assert told[1] == "the task is leased on node n1, and begins there when 't1' has ended well"


def test_they_end_one_after_the_other_and_the_run_is_over() -> None:
    head = chain(4)
    tokens = [order.lease for order in orders(head)]
    head.forget()
    head.result(*(ok(token) for token in tokens))
    assert verdicts(head) == [ACCEPTED] * 3
    assert head.kinds() == ["TaskStarted", "TaskFinished"] * 3 + ["RunFinished"]
    assert head.core.state.nodes["n1"].ledger.attempts == 0


def test_a_long_chain_is_followed_by_half_queues() -> None:
    head = Head()
    head.workflow(*(add(number, *range(number)[-1:]) for number in range(3 * MOST_EARLY)))
    begun(head, wall_ms=0.001)
    placed = orders(head)
    assert len(placed) == MOST_EARLY
    counts = []
    for order in placed:
        head.result(ok(order.lease, wall_ms=0.001))
        counts.append(len(orders(head)))
    assert counts[: MOST_EARLY // 2] == [0] * (MOST_EARLY // 2 - 1) + [MOST_EARLY // 2]


def test_literals_come_along() -> None:
    head = Head()
    inputs = {"k": InputBody(value=3), "x": InputBody(source=f"{tid(1)}.output.y")}
    head.workflow(add(0), add(1, 0), add(2, inputs=inputs))
    begun(head)
    (order,) = [order for order in orders(head) if order.after]
    assert order.awaits == ((1, "y"),)
    assert order.inputs[0].template is not None


@pytest.mark.parametrize(
    "options",
    [
        {"at_most_once": True},
        {"sandbox": True},
        {"limits": {"api": 1}},
        {"apart": "others"},
        {"resources": {"cpu": 1, "gpu": 1}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_queues_nowhere_goes_nowhere_early(options: dict[str, Any]) -> None:
    head = Head()
    head.workflow(*(add(number, *range(number)[-1:], **options) for number in range(3)))
    head.greet(capacity=Capacity(4000, 0, (), 4), minor=5, sandbox="process sandbox")
    head.run()
    for _ in range(3):
        assert not [order for order in orders(head) if order.after]
        for token in list(head.core.state.leases.current):
            head.result(ok(token, wall_ms=1.0))


@pytest.mark.parametrize(
    ("second", "third"),
    [
        ({}, {"resources": {"cpu": 0.5}}),
        ({}, {"same_node_as": tid(0)}),
        (LAST, {}),
        ({}, {"at_most_once": True}),
        ({}, {"inputs": {"x": InputBody(source=f"{tid(1)}.output.y"), "k": InputBody(value="k" * 5000)}}),
    ],
    ids=["another shape", "bound to a node", "an output that is not declared", "once only", "large"],
)
def test_what_differs_waits_for_its_turn(second: dict[str, Any], third: dict[str, Any]) -> None:
    head = Head()
    last = {"inputs": {"x": InputBody(source=f"{tid(1)}.output.y")}} | third
    head.workflow(add(0), add(1, 0, strict_outputs=False, **second), add(2, strict_outputs=False, **last))
    begun(head)
    assert [order.after for order in orders(head)] == [0]


def test_who_waits_for_two_or_is_one_of_two_does_not_go_early() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0), add(2, 1), add(3, 1), add(4, 2, 3))
    begun(head)
    while head.core.state.leases.current:
        assert not [order for order in orders(head) if order.after]
        head.result(ok(next(iter(head.core.state.leases.current)), wall_ms=1.0))
    assert head.core.state.counters.leases_early == 0


def test_a_function_that_takes_long_or_that_nobody_knows_does_not_go_early() -> None:
    head = Head()
    code = hashlib.blake2b(b"another function", digest_size=16).hexdigest()
    other = CodeBody(code, "pickle", (3, 11), b"another function", "g")
    head.workflow(add(0), add(1, 0), add(2, 1), add(3, 2, code=code), codes=[CODE_BODY, other])
    assert [order.task[-1] for order in orders(begun(head))] == [1, 2]
    head = Head()
    head.workflow(add(0), add(1, 0), add(2, 1))
    assert [order.task[-1] for order in orders(begun(head, wall_ms=30.0))] == [1]


def test_an_older_node_is_sent_nothing_early() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0), add(2, 1))
    assert [order.after for order in orders(begun(head, minor=4))] == [0]


def test_a_node_that_has_less_than_it_gave_is_sent_nothing_early() -> None:
    head = chain(6)
    for order in orders(head):
        head.say(Measured(Capacity(500, 0, (), 4)))
        head.result(ok(order.lease, wall_ms=1.0))
        assert orders(head) == []


def test_nothing_goes_early_while_others_wait_for_the_room() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0), add(2, 1), *(add(number) for number in range(3, 300)))
    begun(head)
    assert head.core.state.counters.leases_early == 0


@pytest.mark.parametrize(
    ("resources", "early"),
    [({"cpu": 1, "gpu": 1}, 1), ({"cpu": 4}, 1), ({"cpu": 0.5}, 0)],
    ids=["GPU", "large", "small"],
)
def test_only_who_could_use_the_room_is_waited_for(resources: dict[str, float], early: int) -> None:
    head = Head()
    head.workflow(add(0), add(1, 0), add(2, 1), add(3, resources=resources))
    begun(head)
    assert head.core.state.counters.leases_early == early


def test_a_node_that_is_to_leave_is_sent_nothing_early() -> None:
    head = chain(6)
    first, *_ = orders(head)
    early = head.core.state.counters.leases_early
    head.say(Drain())
    head.result(ok(first.lease, wall_ms=1.0))
    assert head.core.state.counters.leases_early == early


@pytest.mark.parametrize("status", [FAILED, CRASHED])
def test_if_the_first_fails_the_rest_is_taken_back(status: int) -> None:
    head = chain(4, retries=1, retry_backoff=0.0)
    first, second, third = orders(head)
    head.forget()
    head.result(ended(first.lease, status, "user" if status == FAILED else "crash"))
    stopped = [effect.message for effect in head.take(fx.Send) if isinstance(effect.message, Cancel)]
    assert [message.leases for message in stopped] == [(third.lease,), (second.lease,)]
    released = [event.task for event in head.log() if isinstance(event, TaskReleased)]
    assert released == [3, 2]
    again = orders(head)
    assert again[0].after == 0
    assert phases(head)[1] == "l"
    assert again[0].attempt == 2


def test_a_task_that_fails_for_good_takes_the_rest_with_it() -> None:
    head = chain(4)
    first, *_ = orders(head)
    head.forget()
    head.result(ended(first.lease, FAILED, "user"))
    assert head.kinds()[-4:] == ["TaskFailed", "TaskSkipped", "TaskSkipped", "RunFinished"]
    assert head.core.state.leases.current == {}


def test_what_the_node_hands_back_waits_again_and_is_leased_when_its_turn_comes() -> None:
    head = chain(4)
    first, second, third = orders(head)
    head.say(Release((second.lease, third.lease), "what it waits for is not to be had here"))
    assert phases(head) == ".lww"
    head.result(ok(first.lease, wall_ms=1.0))
    assert [(order.task[-1], order.attempt) for order in orders(head)] == [(2, 2), (3, 2)]


def test_a_result_that_comes_before_that_of_its_source_does_not_count() -> None:
    head = chain(4)
    first, second, third = orders(head)
    head.forget()
    head.result(ok(second.lease, wall_ms=1.0))
    assert verdicts(head) == [STALE]
    assert phases(head) == ".lww"
    head.result(ok(first.lease, wall_ms=1.0), ok(third.lease, wall_ms=1.0))
    assert verdicts(head)[:2] == [ACCEPTED, STALE]
    assert phases(head) == "..ll"


def test_a_start_that_comes_before_the_end_of_its_source_is_ignored() -> None:
    head = chain(3)
    _, second = orders(head)
    head.started(second.lease)
    assert phases(head) == ".ll"


def test_in_a_run_that_stops_each_answers_for_itself() -> None:
    head = chain(4)
    first, second, third = orders(head)
    head.forget()
    head.ask(ev.CancelRun, R)
    stopped = [effect.message for effect in head.take(fx.Send) if isinstance(effect.message, Cancel)]
    assert [message.leases for message in stopped] == [(first.lease, second.lease, third.lease)]
    head.log()
    head.result(ok(first.lease, wall_ms=1.0))
    assert head.kinds() == ["TaskStarted", "TaskCancelled"], "the second may run: the run is not over before it is dead"
    head.started(second.lease)
    assert head.kinds() == [], "it is not told to have started: what it runs with does not count"
    head.result(ended(second.lease, CRASHED, "crash"))
    head.say(Release((third.lease,), "cancelled"))
    assert head.kinds() == ["TaskCancelled", "TaskCancelled", "RunCancelled"]


def test_a_lost_node_takes_the_whole_chain_with_it() -> None:
    head = chain(4)
    first, *_ = orders(head)
    head.started(first.lease)
    head.wait(30.0)
    assert phases(head) == ".rww"
    head.greet(b"L2", "n2", capacity=ONE, minor=5)
    assert [order.task[-1] for order in orders(head)] == [1, 2, 3]


def test_a_node_that_comes_back_keeps_the_chain_that_it_holds() -> None:
    head = chain(4)
    first, second, third = orders(head)
    inventory = (held(first.lease, HELD_DONE), held(second.lease, HELD_RUNNING), held(third.lease, 0))
    head.forget()
    head.greet(b"L2", capacity=ONE, minor=5, inventory=inventory)
    (admit,) = head.take(fx.Admit)
    assert admit.welcome.keep == tuple((order.lease, order.lease) for order in (first, second, third))
    assert phases(head) == ".lll", "what the second runs with is not accepted yet"
    head.result(ok(first.lease), ok(second.lease), ok(third.lease), link=b"L2")
    assert 1 not in head.core.state.runs


def test_what_a_node_has_never_got_waits_again() -> None:
    head = chain(4)
    first, *_ = orders(head)
    head.greet(b"L2", capacity=ONE, minor=5, inventory=(held(first.lease, HELD_RUNNING),))
    assert phases(head) == ".uww"


def test_a_chain_outlives_the_head() -> None:
    head = chain(4)
    first, second, third = orders(head)
    other = head.recover()
    inventory = tuple(held(order.lease, HELD_DONE) for order in (first, second, third))
    other.greet(b"L9", capacity=ONE, minor=5, inventory=inventory)
    (admit,) = other.take(fx.Admit)
    assert admit.welcome.send == (first.lease, second.lease, third.lease)
    other.result(ok(second.lease), link=b"L9")
    assert verdicts(other) == [STALE], "it still knows what follows what"
    other.result(ok(first.lease), link=b"L9")
    assert phases(other)[:2] == ".."

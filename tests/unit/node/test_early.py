"""Early leases at a node: they follow what makes their inputs in its worker, or are handed back."""

from __future__ import annotations

from typing import Any

import pytest

from maze_node.core.effects import Effect, Start
from maze_node.core.events import DrainAsked, LinkLost, WorkerExited, WorkerReported
from maze_node.core.objects import Room
from maze_node.frames import ReportFrame
from maze_protocol.limits import MAX_TASK_VALUES
from maze_protocol.messages import (
    FAILED,
    HELD_DONE,
    HELD_LEASED,
    HELD_RUNNING,
    OK,
    AckItem,
    Assignment,
    Cancel,
    Recall,
    Release,
    Result,
    ResultAck,
)  # fmt: skip
from maze_protocol.values import Input, ObjectRef, OutputValue, Value
from support.node_core import CODE, Rig, make_assignment, of

HOLE = (Input("x", None), Input("k", Value(0, 1, b"\x07")))
MADE = (Input("x", None, (Value(0, 1, b"\x01"),)), HOLE[1])


def early(lease: int, after: int, **fields: Any) -> Assignment:
    given = {"grant": 1, "inputs": HOLE, "awaits": ((0, "out"),), "after": after}
    return make_assignment(lease, **(given | fields))


def three() -> Rig:
    """Return a rig that runs lease 1 and holds 2 behind it and 3 behind that."""
    rig = Rig()
    rig.assign(make_assignment(1), early(2, 1), early(3, 2))
    return rig


def states(rig: Rig) -> dict[int, int]:
    return {held.lease: held.state for held in rig.agent.inventory()}


def started(rig: Rig) -> list[int]:
    return [start.frame.lease for start in rig.all(Start)]


def released(effects: list[Effect]) -> list[int]:
    return [lease for release in of(effects, Release) for lease in release.leases]


def test_each_gets_what_the_one_before_made_and_goes_on_in_its_worker() -> None:
    rig = three()
    assert states(rig) == {1: HELD_RUNNING, 2: HELD_LEASED, 3: HELD_LEASED}
    assert started(rig) == [1]
    rig.report(rig.worker_of(1), 1)
    rig.report(rig.worker_of(2), 2)
    assert started(rig) == [1, 2, 3]
    assert [start.frame.inputs for start in rig.all(Start)][1:] == [MADE, MADE]
    assert len({start.worker for start in rig.all(Start)}) == 1
    rig.report(rig.worker_of(3), 3)
    assert len(rig.agent._runner.slots) == 0


def test_one_that_comes_when_the_other_is_over_already_begins_at_once() -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.report(rig.worker_of(1), 1)
    rig.assign(early(2, 1))
    assert started(rig) == [1, 2]


@pytest.mark.parametrize("status", [OK, FAILED])
def test_one_that_follows_what_is_gone_or_failed_is_handed_back_as_it_comes(status: int) -> None:
    rig = Rig()
    rig.assign(make_assignment(1))
    rig.report(rig.worker_of(1), 1, status)
    if status == OK:
        rig.said(ResultAck((AckItem(1, 0),)))
    assert released(rig.assign(early(2, 1))) == [2]
    assert 2 not in states(rig)


def test_a_second_one_behind_the_same_lease_is_handed_back() -> None:
    rig = three()
    assert released(rig.assign(early(4, 1))) == [4]
    rig.said(Recall((2, 3)))
    assert released(rig.assign(early(5, 1))) == []
    rig.report(rig.worker_of(1), 1)
    assert started(rig) == [1, 5], "behind one whose early lease was given back there is room for another"


def test_if_one_fails_those_behind_it_are_handed_back() -> None:
    rig = three()
    effects = rig.report(rig.worker_of(1), 1, FAILED)
    assert released(effects) == [2, 3]
    assert states(rig) == {1: HELD_DONE}
    order = [type(message) for message in of(effects, object) if isinstance(message, (Release, Result))]
    assert order == [Release, Result], "the head hears first that they wait again"


def test_if_one_dies_with_its_worker_those_behind_it_are_handed_back() -> None:
    rig = three()
    assert released(rig.do(WorkerExited(rig.worker_of(1), "SIGSEGV"))) == [2, 3]
    assert len(rig.agent._runner.slots) == 0


@pytest.mark.parametrize(
    "outputs",
    [
        (OutputValue("other", Value(0, 1, b"\x01")),),
        (OutputValue("out", Value(0, MAX_TASK_VALUES + 1, b"")),),
    ],
    ids=["no such output", "too much of it"],
)
def test_what_cannot_be_filled_in_is_handed_back(outputs: tuple[OutputValue, ...]) -> None:
    rig = three()
    effects = rig.do(WorkerReported(rig.worker_of(1), ReportFrame(1, OK, 1.0, outputs)))
    assert released(effects) == [2, 3]


def test_an_input_that_is_not_there_is_handed_back() -> None:
    rig = Rig()
    rig.assign(make_assignment(1), early(2, 1, awaits=((7, "out"),)))
    assert released(rig.report(rig.worker_of(1), 1)) == [2]


def test_an_object_is_mapped_where_it_was_made() -> None:
    rig = Rig(welcome=False)
    rig.agent.provide(Room(1 << 20, directory="/objects"))
    rig.welcome(minor=5, blob_endpoint="tcp://head:1")
    rig.said(CODE)
    rig.assign(make_assignment(1), early(2, 1))
    value = Value(0, 100_000, ref=ObjectRef(1, 0, 100_000, 7))
    rig.do(WorkerReported(rig.worker_of(1), ReportFrame(1, OK, 1.0, (OutputValue("out", value),), objects=1)))
    assert started(rig) == [1, 2]
    assert rig.all(Start)[1].frame.objects == 1
    assert rig.all(Start)[1].frame.inputs[0].parts == (value,)


def test_cancel_and_recall_hand_back_what_waits_and_what_follows_it() -> None:
    for message in (Cancel((2,)), Recall((2,))):
        rig = three()
        assert released(rig.said(message)) == [2, 3]
        rig.report(rig.worker_of(1), 1)
        assert started(rig) == [1]


def test_a_drain_hands_back_what_waits() -> None:
    rig = three()
    assert released(rig.do(DrainAsked("maintenance", 60.0))) == [2, 3]


def test_nothing_follows_behind_the_fence() -> None:
    rig = three()
    rig.answers = False
    rig.mono += 60.0
    rig.report(rig.worker_of(1), 1)
    assert started(rig) == [1]
    assert states(rig) == {1: HELD_DONE, 2: HELD_LEASED, 3: HELD_LEASED}


def test_what_the_head_drops_goes_and_what_follows_it() -> None:
    rig = three()
    rig.do(LinkLost("disconnected"))
    rig.welcome(session=2, keep=((1, 1), (3, 3)), drop=(2,))
    assert states(rig) == {1: HELD_RUNNING}
    rig.report(rig.worker_of(1), 1)
    assert started(rig) == [1]


def test_what_goes_on_under_another_lease_is_followed_by_nothing() -> None:
    rig = three()
    rig.do(LinkLost("disconnected"))
    rig.welcome(session=2, keep=((1, 9),), drop=(2, 3))
    assert states(rig) == {9: HELD_RUNNING}
    rig.report(rig.worker_of(1), 1)
    assert started(rig) == [1]

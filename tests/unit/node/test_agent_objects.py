"""The agent and large values: what waits for them, what is told of them, what becomes of them when leases change."""

from __future__ import annotations

from typing import Any

from maze_node.core.effects import CancelFetch, FetchObject, ForgetObjects, Leave, RenameObjects, SpillObject, Start
from maze_node.core.events import DrainAsked, LinkLost, ObjectFailed, ObjectFetched, ObjectSpilled, WorkerReported
from maze_node.core.objects import Room
from maze_node.frames import ReportFrame
from maze_protocol.messages import (
    FAILED,
    OK,
    STALE,
    AckItem,
    Cancel,
    ErrorInfo,
    Forget,
    Holding,
    Recall,
    Release,
    Result,
    ResultAck,
    Starved,
)
from maze_protocol.values import Input, ObjectKey, ObjectRef, OutputValue, Value
from support.node_core import CODE, Rig, make_assignment, of

A = ObjectRef(70, 0, 1000, 0, (("tcp://other:1", "", b"ticket"),))
KEY = ObjectKey(70, 0)
KNOWS = {"minor": 3, "blob_endpoint": "tcp://:1"}


def rig(memory: int = 1 << 20) -> Rig:
    made = Rig(welcome=False)
    made.agent.provide(Room(memory, 100, "/spool"))
    made.welcome(**KNOWS)
    made.said(CODE)
    made.effects.clear()
    return made


def needs(*refs: ObjectRef) -> tuple[Input, ...]:
    return tuple(Input(f"x{number}", None, (Value(1, ref.size, ref=ref),)) for number, ref in enumerate(refs))


def made_by(lease: int, *sizes: int, said: int = 0, **fields: Any) -> ReportFrame:
    outputs = tuple(
        OutputValue(f"o{number}", Value(1, size, ref=ObjectRef(said or lease, number, size, 0)), "numpy.ndarray")
        for number, size in enumerate(sizes)
    )
    return ReportFrame(said or lease, OK, 1.0, outputs, objects=len(sizes), **fields)


def run(made: Rig, lease: int, report: ReportFrame, **fields: Any) -> None:
    made.assign(make_assignment(lease, **fields))
    made.do(WorkerReported(made.worker_of(lease), report))


def test_a_lease_starts_when_its_inputs_are_here_and_not_before() -> None:
    node = rig()
    effects = node.assign(make_assignment(1, inputs=needs(A)), make_assignment(2))
    assert of(effects, FetchObject) == [FetchObject(A)]
    assert [start.frame.lease for start in of(effects, Start)] == [2]
    assert {held.lease for held in node.agent.inventory()} == {1, 2}
    effects = node.do(ObjectFetched(KEY))
    assert [(start.frame.lease, start.frame.objects) for start in of(effects, Start)] == [(1, 1)]
    assert of(effects, Holding) == [Holding(((70, 0),))]


def test_leases_of_a_grant_pass_one_that_waits_for_its_inputs() -> None:
    node = rig()
    node.assign(make_assignment(1, grant=5, inputs=needs(A)), make_assignment(2, grant=5), make_assignment(3, grant=5))
    assert [start.frame.lease for start in node.all(Start)] == [2]
    node.do(ObjectFetched(KEY))
    worker = node.worker_of(2)
    node.report(worker, 2)
    node.report(worker, 3)  # it was sent ahead
    assert [start.frame.lease for start in node.all(Start)] == [2, 1]


def test_a_lease_whose_input_nobody_has_is_handed_back() -> None:
    node = rig()
    node.assign(make_assignment(1, inputs=needs(A)))
    effects = node.do(ObjectFailed(KEY, "nobody has it"))
    assert of(effects, Starved) == [Starved(1, ((70, 0),), "nobody has it")]
    assert node.agent.inventory() == ()


def test_what_waits_for_inputs_can_be_recalled_and_cancelled() -> None:
    for order in (Recall((1,)), Cancel((1,))):
        node = rig()
        node.assign(make_assignment(1, inputs=needs(A)))
        effects = node.said(order)
        assert of(effects, CancelFetch) == [CancelFetch(KEY)]
        assert [release.leases for release in of(effects, Release)] == [(1,)]
        assert node.do(ObjectFailed(KEY, "cancelled")) == []


def test_an_outcome_names_its_objects() -> None:
    node = rig()
    run(node, 1, made_by(1, 5000, 300))
    result = node.all(Result)[-1]
    assert [(each.value.ref, each.value.body, each.type) for each in result.items[0].outputs] == [
        (ObjectRef(1, 0, 5000, 0), b"", "numpy.ndarray"), (ObjectRef(1, 1, 300, 0), b"", "numpy.ndarray"),
    ]  # fmt: skip
    effects = node.assign(make_assignment(2, inputs=needs(ObjectRef(1, 1, 300, 0))))
    assert of(effects, FetchObject) == []
    assert of(effects, Start)[0].frame.objects == 1


def test_outputs_may_be_objects_only_where_the_head_knows_them() -> None:
    node = rig()
    node.assign(make_assignment(1))
    assert (node.all(Start)[-1].frame.spool, node.all(Start)[-1].frame.on_disk) == ("/spool", False)
    older = Rig()
    older.agent.provide(Room(1, 1, "/spool"))
    older.assign(make_assignment(1))
    assert older.all(Start)[-1].frame.spool == ""


def test_beyond_the_budget_new_ones_are_files_and_the_oldest_become_such() -> None:
    node = rig(memory=900)
    run(node, 1, made_by(1, 500))
    run(node, 2, made_by(2, 500))
    assert node.all(SpillObject) == [SpillObject(ObjectKey(1, 0))]
    node.assign(make_assignment(3))
    assert node.all(Start)[-1].frame.on_disk
    node.do(ObjectSpilled(ObjectKey(1, 0), done=True))
    node.do(WorkerReported(node.worker_of(3), made_by(3, 5000, on_disk=(0,))))
    node.assign(make_assignment(4))
    assert not node.all(Start)[-1].frame.on_disk


def test_nobody_keeps_what_a_stale_or_failed_attempt_made() -> None:
    node = rig()
    run(node, 1, made_by(1, 500))
    effects = node.said(ResultAck((AckItem(1, STALE),)))
    assert of(effects, ForgetObjects) == [ForgetObjects((ObjectKey(1, 0),))]
    node.assign(make_assignment(2))
    failed = ReportFrame(2, FAILED, 1.0, error=ErrorInfo("user", "ValueError", "bad"))
    assert of(node.do(WorkerReported(node.worker_of(2), failed)), ForgetObjects) == []


def test_what_is_forgotten_stays_while_somebody_here_needs_it() -> None:
    node = rig()
    run(node, 70, made_by(70, 1000))
    node.said(ResultAck((AckItem(70, 0),)))
    node.assign(make_assignment(2, inputs=needs(A)))
    assert of(node.said(Forget((70,))), ForgetObjects) == []
    effects = node.report(node.worker_of(2), 2)
    assert of(effects, ForgetObjects) == [ForgetObjects((KEY,))]


def test_a_new_session_is_told_of_everything() -> None:
    node = rig()
    run(node, 1, made_by(1, 500))
    node.assign(make_assignment(2, inputs=needs(A)))
    node.do(LinkLost("disconnected"))
    node.do(ObjectFetched(KEY))
    before = len(node.effects)
    node.welcome(session=2, **KNOWS)
    assert of(node.effects[before:], Holding) == [Holding(((1, 0), (70, 0)), True)]


def test_objects_of_an_adopted_attempt_go_by_its_new_name() -> None:
    node = rig()
    node.assign(make_assignment(1), make_assignment(2))
    node.do(WorkerReported(node.worker_of(1), made_by(1, 500)))
    node.do(LinkLost("disconnected"))
    before = len(node.effects)
    node.welcome(session=2, keep=((1, 11), (2, 12)), **KNOWS)
    effects = node.effects[before:]
    assert of(effects, RenameObjects) == [RenameObjects(1, 11)]
    assert of(effects, Holding) == [Holding(((11, 0),), True)]
    assert of(effects, Result)[0].items[0].outputs[0].value.ref == ObjectRef(11, 0, 500, 0)
    effects = node.do(WorkerReported(node.worker_of(2), made_by(12, 600, said=2)))
    assert of(effects, RenameObjects) == [RenameObjects(2, 12)]
    assert of(effects, Result)[0].items[0].outputs[0].value.ref == ObjectRef(12, 0, 600, 0)


def test_another_cluster_finds_nothing() -> None:
    node = rig()
    run(node, 1, made_by(1, 500))
    before = len(node.effects)
    node.welcome(session=2, cluster_id=b"d", **KNOWS)
    assert of(node.effects[before:], ForgetObjects) == [ForgetObjects((ObjectKey(1, 0),))]
    assert of(node.effects[before:], Holding) == [Holding((), True)]


def test_a_node_that_drains_leaves_when_the_head_has_no_use_for_its_objects_any_more() -> None:
    node = rig()
    run(node, 70, made_by(70, 1000))
    node.said(ResultAck((AckItem(70, 0),)))
    assert of(node.do(DrainAsked("SIGTERM", 30.0)), Leave) == []
    assert of(node.tick(10.0), Leave) == []
    effects = node.said(Forget((70,)))
    assert of(effects, Leave) == [Leave("SIGTERM", 0)]


def test_objects_hold_no_node_back_beyond_the_time_it_has() -> None:
    node = rig()
    run(node, 70, made_by(70, 1000))
    node.said(ResultAck((AckItem(70, 0),)))
    node.do(DrainAsked("SIGTERM", 5.0))
    assert of(node.tick(5.0), Leave) == [Leave("SIGTERM", 0)]

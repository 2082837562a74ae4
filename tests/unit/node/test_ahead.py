"""What is in a worker's queue: sent ahead, taken back, ended, blamed for nothing that it did not do."""

from __future__ import annotations

import pytest

from maze_node.core.ahead import MAX_AHEAD, MAX_SIZE
from maze_node.core.effects import Effect, Enqueue, Leave, Signal, Start, TakeBack
from maze_node.core.events import DrainAsked, LinkLost, Said, StopAsked, WorkerExited, WorkerReported, WorkersDoomed
from maze_node.core.objects import Room
from maze_node.frames import LikeFrame, ReportFrame, TaskFrame
from maze_protocol.messages import (
    AT_MOST_ONCE,
    CANCELLED,
    CRASHED,
    HELD_DONE,
    HELD_LEASED,
    HELD_RUNNING,
    OK,
    TIMED_OUT,
    Assignment,
    Cancel,
    Code,
    Outcome,
    Recall,
    Release,
    Result,
    Started,
)
from maze_protocol.resources import Claim, DeviceClaim
from maze_protocol.values import Input, ObjectRef, OutputValue, Value
from support.node_core import CODE, Rig, make_assignment, of


def outcomes(effects: list[Effect]) -> list[tuple[int, int]]:
    return [(item.lease, item.status) for result in of(effects, Result) for item in result.items]


def three(**fields: object) -> tuple[Rig, int]:
    """Return a rig with leases 1 to 3 of one grant in the queue of one worker, and that worker."""
    rig = Rig()
    rig.assign(*(make_assignment(lease, grant=1, **fields) for lease in (1, 2, 3)))
    return rig, rig.worker_of(1)


def states(rig: Rig) -> dict[int, int]:
    return {held.lease: held.state for held in rig.agent.inventory()}


def test_leases_of_a_grant_follow_the_first_and_count_as_not_started() -> None:
    rig, worker = three()
    assert [start.frame.lease for start in rig.all(Start)] == [1]
    assert [(each.worker, [frame.lease for frame in each.frames]) for each in rig.all(Enqueue)] == [(worker, [2, 3])]
    assert states(rig) == {1: HELD_RUNNING, 2: HELD_LEASED, 3: HELD_LEASED}
    assert [item.lease for started in rig.all(Started) for item in started.items] == [1]
    rig.report(worker, 1)
    assert states(rig) == {1: HELD_DONE, 2: HELD_RUNNING, 3: HELD_LEASED}
    rig.assign(make_assignment(4, grant=1))
    assert [frame.lease for frame in rig.all(Enqueue)[-1].frames] == [4], "more follow as they come"


def test_what_is_ahead_says_until_when_it_may_begin() -> None:
    rig, _ = three()
    assert [frame.until for _, frame in rig.given()] == [0.0, rig.mono + 10.0, rig.mono + 10.0]


def test_a_queue_is_bounded() -> None:
    rig = Rig()
    rig.assign(*(make_assignment(lease, grant=1) for lease in range(1, MAX_AHEAD + 12)))
    assert len(rig.given()) == 1 + MAX_AHEAD
    rig.report(rig.worker_of(1), 1)
    assert len(rig.given()) == 2 + MAX_AHEAD


@pytest.mark.parametrize(
    "fields",
    [
        {"flags": AT_MOST_ONCE},
        {"claim": Claim(1000, 100)},
        {"claim": Claim(1000, 0, (DeviceClaim(0, 1000, 0),))},
        {"gang": ("a", "b")},
        {"inputs": (Input("x", None, (Value(0, MAX_SIZE + 1, b"x" * (MAX_SIZE + 1)),)),)},
    ],
)
def test_what_is_large_or_needs_care_goes_alone(fields) -> None:
    rig, worker = three(**fields)
    assert [frame.lease for _, frame in rig.given()] == [1]
    rig.report(worker, 1)
    assert rig.worker_of(2)


def test_nothing_follows_what_may_begin_once_only_or_has_another_claim() -> None:
    rig = Rig()
    rig.assign(make_assignment(1, grant=1, flags=AT_MOST_ONCE), make_assignment(2, grant=1))
    rig.assign(make_assignment(3, grant=3), make_assignment(4, grant=3, claim=Claim(2000, 0)))
    assert [frame.lease for _, frame in rig.given()] == [1, 3]


def test_which_cpus_are_left_to_share_is_known_only_at_the_start() -> None:
    rig = Rig(cpus=(0, 1, 2, 3))
    rig.assign(*(make_assignment(lease, grant=1, claim=Claim(500, 0)) for lease in (1, 2)))
    assert [frame.lease for _, frame in rig.given()] == [1]
    rig.assign(*(make_assignment(lease, grant=3) for lease in (3, 4)))
    assert [frame.cpus for _, frame in rig.given()[1:]] == [(0,), (0,)]


def test_a_death_is_charged_to_the_first_without_a_report_and_the_others_go_on_elsewhere() -> None:
    rig, worker = three()
    rig.report(worker, 1)
    effects = rig.do(WorkerExited(worker, "SIGKILL"))
    assert outcomes(effects) == [(2, CRASHED)]
    assert [(start.frame.lease, start.worker != worker) for start in of(effects, Start)] == [(3, True)]


def test_a_worker_with_leftovers_has_begun_nothing_more() -> None:
    rig, worker = three()
    effects = rig.report(worker, 1, unclean="1 threads still run")
    assert of(effects, Signal) == [Signal(worker, "SIGKILL")]
    assert not of(effects, Start)
    assert states(rig) == {1: HELD_DONE, 2: HELD_LEASED, 3: HELD_LEASED}
    effects = rig.do(WorkerExited(worker, "SIGKILL"))
    assert ([start.frame.lease for start in of(effects, Start)], outcomes(effects)) == ([2], [])


def test_the_death_of_the_spawner_takes_back_what_has_not_begun() -> None:
    rig, worker = three()
    effects = rig.do(WorkersDoomed((worker,)))
    assert of(effects, TakeBack) == [TakeBack(worker, (2, 3))]
    effects = rig.do(WorkerExited(worker, "SIGKILL", blameless=True))
    assert outcomes(effects) == [(1, CRASHED)]
    assert [start.frame.lease for start in of(effects, Start)] == [2]


def test_recall_and_drain_give_back_what_has_not_begun_only() -> None:
    rig, worker = three()
    rig.begun.add(2)
    effects = rig.said(Recall((1, 2, 3)))
    assert of(effects, TakeBack) == [TakeBack(worker, (2, 3))]
    assert of(effects, Release) == [Release((3,), "recalled")]
    assert not of(effects, Signal)
    rig.report(worker, 1)
    assert outcomes(rig.report(worker, 2)) == [(2, OK)], "it had begun, and goes on"
    rig, _ = three()
    assert of(rig.do(DrainAsked("SIGTERM", 30.0)), Release) == [Release((2, 3), "draining")]


def test_what_was_taken_back_for_anothers_sake_is_sent_again_after_the_next_report() -> None:
    rig, worker = three()
    effects = rig.said(Recall((2,)))
    assert of(effects, Release) == [Release((2,), "recalled")]
    assert not of(effects, Enqueue), "it is still in the worker's socket, to be skipped"
    rig.assign(make_assignment(4, grant=1))
    effects = rig.report(worker, 1)
    assert [start.frame.lease for start in of(effects, Start)] == [3]
    assert [frame.lease for each in of(effects, Enqueue) for frame in each.frames] == [4]


def test_cancel_of_what_has_not_begun_is_a_release_and_signals_nobody() -> None:
    rig, _ = three()
    effects = rig.said(Cancel((2, 3), "enough"))
    assert of(effects, Release) == [Release((2, 3), "cancelled")]
    assert not of(effects, Signal)


def test_cancel_of_what_has_begun_takes_back_the_rest_before_the_signal() -> None:
    rig, worker = three()
    effects = rig.said(Cancel((1,), "enough", 2.0))
    asked, signalled = effects.index(TakeBack(worker, (2, 3))), effects.index(Signal(worker, "SIGTERM"))
    assert asked < signalled
    effects = rig.do(WorkerExited(worker, "SIGTERM"))
    assert outcomes(effects) == [(1, CANCELLED)]
    assert [start.frame.lease for start in of(effects, Start)] == [2], "the others are innocent"


def test_cancel_of_what_is_over_already_signals_nobody() -> None:
    """Its report is still in the socket: what would be hit is the one that came after it."""
    rig, worker = three()
    rig.begun.add(2)
    effects = rig.said(Cancel((1,), "enough"))
    assert not of(effects, Signal)
    assert outcomes(rig.report(worker, 1) + rig.report(worker, 2)) == [(1, OK), (2, OK)]


def test_cancel_of_what_began_unseen_hits_it_though_reports_are_still_to_come() -> None:
    rig, worker = three()
    rig.begun.add(2)
    effects = rig.said(Cancel((2,), "enough", 2.0))
    assert of(effects, Signal) == [Signal(worker, "SIGTERM")]
    rig.report(worker, 1)
    effects = rig.do(WorkerExited(worker, "SIGTERM"))
    assert outcomes(effects) == [(2, CANCELLED)]
    assert [start.frame.lease for start in of(effects, Start)] == [3]


def test_a_worker_that_dies_before_it_is_signalled_gave_what_was_asked() -> None:
    rig, worker = three()
    effects = rig.do(Said(Cancel((1, 3), "enough")), WorkerExited(worker, "SIGSEGV"))
    assert outcomes(effects) == [(1, CANCELLED)]
    assert of(effects, Release) == [Release((3,), "cancelled")]


def test_a_report_in_the_turn_of_the_question_stands() -> None:
    rig, worker = three()
    effects = rig.do(Said(Cancel((1,))), WorkerReported(worker, ReportFrame(1, OK, 1.0)))
    assert not of(effects, Signal)
    assert outcomes(effects) == [(1, OK)]
    assert of(effects, TakeBack) == [TakeBack(worker, (3,))], "2 runs now, as far as is known"


def test_the_last_of_a_queue_is_signalled_at_once() -> None:
    rig, worker = three()
    rig.report(worker, 1)
    effects = rig.do(WorkerReported(worker, ReportFrame(2, OK, 1.0)), Said(Cancel((3,), "", 2.0)))
    assert of(effects, Signal) == [Signal(worker, "SIGTERM")]
    assert not of(effects, TakeBack)


def test_a_time_limit_counts_from_the_report_of_the_one_before() -> None:
    rig, worker = three(timeout=5.0)
    rig.tick(3.0)
    rig.report(worker, 1)
    assert not of(rig.tick(3.0), Signal)
    effects = rig.tick(2.1)
    assert effects.index(TakeBack(worker, (3,))) < effects.index(Signal(worker, "SIGTERM"))
    assert outcomes(rig.do(WorkerExited(worker, "SIGTERM"))) == [(2, TIMED_OUT)]


def test_what_came_too_late_to_begin_waits_for_the_head_in_its_old_order() -> None:
    rig, worker = three()
    rig.do(LinkLost("silence"))
    rig.mono += 11.0
    late = [WorkerReported(worker, ReportFrame(lease, OK, 0.0, late=True)) for lease in (2, 3)]
    effects = rig.do(WorkerReported(worker, ReportFrame(1, OK, 1.0)), *late)
    assert states(rig) == {1: HELD_DONE, 2: HELD_LEASED, 3: HELD_LEASED}
    assert not of(effects, Start)
    rig.welcome(session=2)
    assert [frame.lease for _, frame in rig.given()] == [1, 2, 3, 2, 3]


def test_what_the_head_drops_is_forgotten_if_it_has_not_begun_and_ended_if_it_has() -> None:
    rig, worker = three()
    rig.begun.add(2)
    before = len(rig.effects)
    rig.welcome(session=2, drop=(2, 3))
    effects = rig.effects[before:]
    assert of(effects, Signal) == [Signal(worker, "SIGKILL")]
    assert not of(effects, Release)
    effects = rig.report(worker, 1) + rig.do(WorkerExited(worker, "SIGKILL"))
    assert outcomes(effects) == [(1, OK)]
    assert states(rig) == {1: HELD_DONE}


def test_what_was_dropped_has_no_outcome_though_it_was_over_by_then() -> None:
    rig, worker = three()
    rig.begun.add(2)
    rig.welcome(session=2, drop=(1,))
    assert outcomes(rig.report(worker, 1) + rig.report(worker, 2)) == [(2, OK)]


def test_adoption_renames_what_is_ahead() -> None:
    rig, worker = three()
    rig.welcome(session=2, keep=((1, 11), (2, 12), (3, 13)))
    rig.report(worker, 1)
    effects = rig.said(Recall((13,)))
    assert of(effects, TakeBack) == [TakeBack(worker, (13,))]
    assert of(effects, Release) == [Release((13,), "recalled")]
    assert outcomes(rig.report(worker, 2)) == [(12, OK)]


def test_a_head_that_is_away_for_too_long_leaves_nothing_in_a_queue() -> None:
    rig, worker = three()
    rig.do(LinkLost("silence"))
    effects = rig.tick(601.0)
    assert of(effects, Signal) == [Signal(worker, "SIGTERM")]
    assert states(rig) == {1: HELD_RUNNING}


def test_stop_asks_nobody() -> None:
    rig, worker = three()
    effects = rig.do(StopAsked("SIGTERM"))
    assert of(effects, Signal) == [Signal(worker, "SIGKILL")]
    assert not of(effects, TakeBack)
    assert of(effects, Leave)


def test_the_start_is_told_by_the_worker() -> None:
    rig, worker = three()
    report = ReportFrame(1, OK, 1.0, started_at=123.0)
    found: list[Outcome] = [item for each in of(rig.do(WorkerReported(worker, report)), Result) for item in each.items]
    assert [item.started_at for item in found] == [123.0]


def test_an_assignment_of_a_queue_that_comes_again_changes_nothing() -> None:
    rig, worker = three()
    again: list[Assignment] = [make_assignment(lease, grant=1) for lease in (1, 2, 3)]
    assert not [effect for effect in rig.assign(*again) if isinstance(effect, (Start, Enqueue, TakeBack))]
    assert rig.worker_of(3) == worker


def test_of_tasks_that_are_alike_only_the_first_is_told_whole() -> None:
    rig = Rig()
    rig.said(Code(b"g" * 16, "pickle", (3, 11), Value(1, 5, b"other"), "other"))
    alike = [make_assignment(lease, grant=1, task=bytes([lease]) * 16, attempt=lease) for lease in (1, 2, 3)]
    others = [
        make_assignment(4, grant=1, code=b"g" * 16),
        make_assignment(5, grant=1, code=b"g" * 16),
        make_assignment(6, grant=1, code=b"g" * 16, run=b"other"),
        make_assignment(7, grant=1, code=b"g" * 16, run=b"other", outputs=()),
        make_assignment(8, grant=1, code=b"g" * 16, run=b"other", outputs=(), name="else"),
        make_assignment(9, grant=1, code=b"g" * 16, run=b"other", outputs=(), name="else", strict_outputs=False),
    ]
    rig.assign(*alike, *others)
    (enqueue,) = rig.all(Enqueue)
    whole_ones = [frame.lease for frame in enqueue.frames if isinstance(frame, TaskFrame)]
    assert whole_ones == [4, 6, 7, 8, 9]
    for given, (_, frame) in zip((*alike, *others), rig.given(), strict=True):
        told = (frame.lease, frame.run, frame.task, frame.attempt, frame.name, frame.code, frame.inputs, frame.outputs)
        assert told == (
            given.lease, given.run, given.task, given.attempt, given.name, given.code, given.inputs, given.outputs,
        )  # fmt: skip
        assert frame.strict == given.strict_outputs
    assert [frame.fresh is not None for _, frame in rig.given()] == [frame.lease in (1, 4) for _, frame in rig.given()]


def test_what_the_node_says_of_objects_is_told_anew_when_it_changes() -> None:
    rig = Rig(welcome=False)
    rig.agent.provide(Room(10, directory="/objects"))
    rig.welcome(minor=5, blob_endpoint="tcp://head:1")
    rig.said(CODE)
    rig.assign(*(make_assignment(lease, grant=1) for lease in (1, 2)))
    outputs = (OutputValue("out", Value(0, 100_000, ref=ObjectRef(1, 0, 100_000, 7))),)
    rig.do(WorkerReported(rig.worker_of(1), ReportFrame(1, OK, 1.0, outputs, objects=1)))
    rig.assign(*(make_assignment(lease, grant=1) for lease in (3, 4)))
    assert [frame.on_disk for _, frame in rig.given()] == [False, False, True, True]
    assert [type(frame) for frame in rig.all(Enqueue)[-1].frames] == [TaskFrame, LikeFrame]

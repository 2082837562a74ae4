"""The state that events imply: legal moves, and the story of an illegal one."""

from __future__ import annotations

import msgspec
import pytest

from maze_head.core.errors import IllegalMove
from maze_head.core.graph import Graph, compile_graph, load_graph
from maze_head.core.runs import _APPLY, Run
from maze_head.core.tasks import TaskSpec, pack
from maze_head.core.transitions import FINISHED, IS_LEGAL, IS_OVER, MORE_READY, PHASE_NAMES, READY, RUNNING
from maze_protocol.events import (
    AttemptLost,
    ObjectLost,
    ObjectRebuilt,
    OutputMeta,
    RunEvent,
    RunFinished,
    RunSubmitted,
    TaskAdopted,
    TaskFinished,
    TaskLeased,
    TaskReleased,
    TaskStarted,
)  # fmt: skip
from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim, Request

SUBMITTED = RunSubmitted(b"r" * 16, b"w" * 16, 1, 2)


def graph() -> Graph:
    specs = [TaskSpec(bytes([n]) * 16, f"t{n}", Request(), (3, 11)) for n in range(2)]
    return compile_graph(Graph(b"w" * 16, 1, "g", [pack(spec) for spec in specs]), [(0, 1)])


def begun() -> Run:
    run = Run(1, SUBMITTED, graph(), 0.0)
    run.apply(SUBMITTED)
    return run


def test_every_event_of_the_log_is_applied() -> None:
    assert set(_APPLY) == set(RunEvent.__args__)


def test_phases_that_are_over_are_left_by_no_move_but_to_make_lost_objects_anew() -> None:
    assert [name for name, over in zip(PHASE_NAMES, IS_OVER, strict=True) if over] == [
        "finished", "failed", "skipped", "cancelled",
    ]  # fmt: skip
    left = [(phase, to) for phase in range(8) if IS_OVER[phase] for to in range(8) if IS_LEGAL[phase][to]]
    assert left == [(FINISHED, READY)]


def test_only_legal_moves_to_and_from_ready_change_how_many_are_ready() -> None:
    for phase in range(8):
        for to in range(8):
            more = (to == READY) - (phase == READY)
            assert MORE_READY[phase][to] == (more if IS_LEGAL[phase][to] else None)


def test_a_run_is_submitted_once() -> None:
    with pytest.raises(IllegalMove, match="has begun"):
        begun().apply(SUBMITTED)


def test_only_objects_can_be_lost_and_only_what_was_lost_is_made_anew() -> None:
    run = begun()
    for event in (TaskLeased(0, 1, 7, "n", Claim(1, 0)), TaskStarted(0, 1, 7, "n", "", 0.0)):
        run.apply(event)
    run.apply(TaskFinished(0, 1, 7, (), 1.0))
    with pytest.raises(IllegalMove, match="made no objects"):
        run.apply(ObjectLost(0, (0,), "n"))
    with pytest.raises(IllegalMove, match="nothing of it was lost"):
        run.apply(ObjectRebuilt(0, 2, 8, "n", ()))


def test_a_source_that_finishes_makes_the_next_ready() -> None:
    run = begun()
    assert run.fresh == [0]
    for event in (TaskLeased(0, 1, 7, "n", Claim(1, 0)), TaskStarted(0, 1, 7, "n", "", 0.0)):
        run.apply(event)
    run.apply(TaskFinished(0, 1, 7, (), 1.0))
    assert run.fresh == [0, 1]
    assert (run.next_seq, run.counts[:5]) == (5, [0, 1, 0, 0, 1])


@pytest.mark.parametrize(
    "event",
    [TaskStarted(1, 1, 7, "n", "", 0.0), TaskStarted(0, 1, 7, "n", "", 0.0), TaskFinished(0, 1, 7, (), 1.0)],
)
def test_an_illegal_move_tells_the_story(event: RunEvent) -> None:
    run = begun()
    with pytest.raises(IllegalMove, match=r"does not fit; run 1 task \d 't\d': (waiting|ready); attempt 0, lease 0x0"):
        run.apply(event)


def test_a_run_with_open_tasks_cannot_be_sealed() -> None:
    with pytest.raises(IllegalMove, match="2 tasks are not over"):
        begun().apply(RunFinished(0, 0, 0))


def test_a_returned_lease_is_tried_again() -> None:
    run = begun()
    run.fresh.clear()
    run.apply(TaskLeased(0, 1, 7, "n", Claim(1, 0)))
    run.apply(TaskReleased(0, 1, 7))
    assert (run.again, run.held) == ([0], 0)


def test_a_graph_survives_its_encoding() -> None:
    first = graph()
    again = load_graph(first.workflow_id, first.version, first.encode())
    for name in ("ids", "index", "manual", "shapes", "shape_of", "missing", "first", "successors", "roots", "packed"):
        assert getattr(again, name) == getattr(first, name)
    assert again.task_name(1) == "t1"


def test_a_graph_of_another_format_is_refused() -> None:
    import msgspec

    with pytest.raises(ValueError, match="format 9"):
        load_graph(b"w" * 16, 1, msgspec.msgpack.encode((9, "g", [], [])))


def test_a_node_that_came_back_with_an_attempt_is_not_avoided_for_having_lost_it() -> None:
    run = begun()
    for attempt, node in ((1, "a"), (2, "n")):
        run.apply(TaskLeased(0, attempt, attempt, node, Claim(1, 0)))
        run.apply(TaskStarted(0, attempt, attempt, node, "", 1e9))
        run.apply(AttemptLost(0, attempt, attempt, ErrorInfo("node_lost", "NodeLost", "gone"), 0.0, node))
    assert run.avoid == {0: ("a", "n")}
    run.apply(TaskAdopted(0, 3, 3, "n", Claim(1, 0), 2, refunded=True))
    assert run.avoid == {0: ("a",)}
    run.apply(TaskReleased(0, 3, 3))
    run.apply(TaskAdopted(0, 4, 4, "a", Claim(1, 0), 1, refunded=True))
    assert (run.avoid, run.faults) == ({}, {0: []})


def state_of(run: Run) -> dict[str, object]:
    return {name: getattr(run, name) for name in Run.__slots__ if name not in ("graph", "objects")}


@pytest.mark.parametrize("phase", range(len(PHASE_NAMES)))
def test_a_start_and_an_end_at_once_are_one_after_the_other(phase: int) -> None:
    started = TaskStarted(0, 1, 7, "n", "", 1.0)
    finished = TaskFinished(0, 1, 7, (OutputMeta("y", 0, 1),), 2.0)
    single, both = begun(), begun()
    for run in (single, both):
        run.apply(TaskLeased(0, 1, 7, "n", Claim(0, 0)))
        run.counts[run.phase[0]] -= 1
        run.counts[phase] += 1
        run.phase[0] = phase
        run.faults[0] = [ErrorInfo("crash", "", "")]
    if not IS_LEGAL[phase][RUNNING]:
        with pytest.raises(IllegalMove, match="start_task does not fit"):
            both.apply_both(started, finished)
        return
    single.apply(started)
    single.apply(finished)
    both.apply_both(started, finished)
    assert state_of(both) == state_of(single)
    assert both.fresh == [0, 1], "what waited for it is ready"


def test_many_leases_are_one_after_the_other() -> None:
    specs = [TaskSpec(bytes([n]) * 16, f"t{n}", Request(cpu_milli=n % 2), (3, 11)) for n in range(5)]
    specs[4] = msgspec.structs.replace(specs[4], same_node_as=bytes([1]) * 16)
    of = compile_graph(Graph(b"w" * 16, 1, "g", [pack(spec) for spec in specs]), [])
    single, many = Run(1, SUBMITTED, of, 0.0), Run(1, SUBMITTED, of, 0.0)
    leases = [TaskLeased(task, 1, 7 + task, "n", Claim(1, 0)) for task in (2, 1, 3)]
    for run in (single, many):
        run.apply(SUBMITTED)
        run.not_before.update({0: 1.0, 2: 1.0})
    for event in leases:
        single.apply(event)
    many.apply_leases(leases)
    assert state_of(many) == state_of(single)
    assert (many.places, many.not_before) == ({1: "n"}, {0: 1.0})
    with pytest.raises(IllegalMove, match="task_leased does not fit"):
        many.apply_leases(leases[:1])

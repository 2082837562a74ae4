"""Predictions of durations, and what feeds them: live attempts, live runs, and recovery."""

from __future__ import annotations

import pytest

from maze_head.core.observed import CPU, GPU, IO, SHORTEST, Observed, kind_of
from maze_head.core.sealed import pack_sealed
from maze_protocol.http import AddTask, TaskBody
from maze_protocol.messages import FAILED, Outcome
from maze_protocol.resources import Request
from maze_protocol.values import MSGPACK, OutputValue, Value
from support.head_core import CODE, Head, add, ended, gpus, ok, tid

F, G = b"f" * 16, b"g" * 16
MINE = bytes.fromhex(CODE)


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Request(), CPU),
        (Request(cpu_milli=4000, mem_mib=1 << 20), CPU),
        (Request(cpu_milli=999), IO),
        (Request(cpu_milli=0), IO),
        (Request(gpu_milli=1000), GPU),
        (Request(cpu_milli=0, gpu_mem_mib=1, gpu_share=True), GPU),
    ],
)
def test_a_kind_is_what_a_task_waits_for(request_: Request, kind: str) -> None:
    assert kind_of(request_) == kind


def test_there_is_always_a_prediction() -> None:
    observed = Observed()
    assert [observed.seconds(F, kind) for kind in (GPU, CPU, IO)] == [60.0, 3.0, 2.0]
    observed.note(F, GPU, 10.0)
    assert observed.seconds(F, GPU) == observed.known(F) == 10.0
    assert observed.seconds(G, GPU) == 10.0, "of an unknown function: what functions of its kind take"
    assert observed.known(G) is None
    assert observed.seconds(G, CPU) == 3.0


def test_a_function_is_averaged_plainly_at_first_then_exponentially() -> None:
    observed = Observed()
    for value in (100.0, 1.0, 1.0, 1.0, 1.0):
        observed.note(F, CPU, value)
    assert observed.known(F) == pytest.approx(104 / 5)
    observed.note(F, CPU, 0.8)
    assert observed.known(F) == pytest.approx(104 / 5 * 0.8 + 0.8 * 0.2)


def test_a_kind_is_averaged_over_functions_with_a_tenth() -> None:
    observed = Observed()
    for number in range(10):
        observed.note(bytes([number]), IO, 5.0)
    observed.note(F, IO, 15.0)
    assert observed.seconds(G, IO) == pytest.approx(6.0)


def test_nothing_takes_no_time() -> None:
    observed = Observed()
    observed.note(F, IO, 0.0)
    assert (observed.known(F), observed.seconds(F, IO)) == (0.0, SHORTEST)
    for _ in range(1000):
        observed.note_run(-5.0)
    assert observed.jct == pytest.approx(SHORTEST)


def test_only_the_functions_seen_last_are_kept() -> None:
    observed = Observed(keep=3)
    for code in (b"1", b"2", b"3", b"1", b"4"):
        observed.note(code, CPU, 1.0)
    assert [observed.known(code) is not None for code in (b"1", b"2", b"3", b"4")] == [True, False, True, True]


def took(lease: int, seconds: float) -> Outcome:
    return Outcome(lease, 0, 1e9, seconds * 1000, (OutputValue("y", Value(MSGPACK, 1, b"\x01")),))


def test_finished_attempts_are_noted_and_others_are_not() -> None:
    head = Head()
    head.workflow(add(0), add(1))
    head.greet()
    head.run()
    one, two = head.leases()
    assert head.core.state.observed.known(MINE) is None
    head.result(ended(one, FAILED, "user"))
    assert head.core.state.observed.known(MINE) is None
    head.result(took(two, 7.0))
    assert head.core.state.observed.known(MINE) == 7.0
    assert head.core.state.observed.seconds(G, CPU) == 7.0


def test_a_kind_comes_from_what_the_task_asks_for() -> None:
    head = Head()
    body = TaskBody(tid(0), name="t", code=CODE, outputs=["y"], resources={"gpu": 1, "gpu_mem": 10})
    head.workflow(AddTask(body))
    head.greet(capacity=gpus(100))
    head.run()
    head.result(took(head.leases()[0], 8.0))
    assert [head.core.state.observed.seconds(G, kind) for kind in (GPU, CPU)] == [8.0, 3.0]


def test_runs_that_succeed_move_the_completion_time_and_others_do_not() -> None:
    head = Head()
    head.workflow(add(0))
    head.greet()
    head.run(b"1" * 16)
    head.mono += 10.0
    head.result(ended(head.leases()[0], FAILED, "user"))
    assert head.core.state.observed.jct == 60.0
    head.run(b"2" * 16)
    head.mono += 20.0
    head.result(ok(head.leases()[0]))
    assert head.core.state.observed.jct == pytest.approx(60.0 * 0.9 + 20.0 * 0.1)


def test_a_recovery_knows_what_the_journal_says() -> None:
    head = Head()
    head.workflow(add(0), add(1, 0))
    head.greet()
    head.run(b"1" * 16)
    for seconds in (2.0, 4.0):
        head.mono += seconds
        head.result(took(head.leases()[0], seconds))
    head.run(b"2" * 16)
    head.mono += 6.0
    head.result(took(head.leases()[0], 6.0))
    again = head.recover().core.state.observed
    assert again.known(MINE) == head.core.state.observed.known(MINE) == 4.0
    assert again.jct == head.core.state.observed.jct == pytest.approx(60.0 * 0.9 + 6.0 * 0.1)


def test_a_recovery_from_summaries_knows_the_completion_time() -> None:
    head = Head()
    head.workflow(add(0))
    head.greet()
    head.run()
    head.mono += 5.0
    head.result(ok(head.leases()[0]))
    (summary,) = head.core.state.sealed.values()
    other = Head()
    other.core.restore_sealed(1, pack_sealed(summary))
    assert other.core.state.observed.jct == head.core.state.observed.jct != 60.0


def test_the_longest_attempt_is_remembered_and_counts_for_less_and_less() -> None:
    observed = Observed()
    assert observed.longest(b"f") is None
    for seconds in (0.5, 3.0, 0.5):
        observed.note(b"f", CPU, seconds)
    known, longest = observed.known(b"f"), observed.longest(b"f")
    assert known is not None
    assert longest is not None
    assert known < 1.5 < 2.9 < longest <= 3.0
    for _ in range(300):
        observed.note(b"f", CPU, 0.5)
    assert observed.longest(b"f") == pytest.approx(0.5, abs=0.01)


def test_the_longest_attempts_are_forgotten_with_their_functions() -> None:
    observed = Observed(keep=1)
    observed.note(b"f", CPU, 3.0)
    observed.note(b"g", CPU, 1.0)
    assert (observed.longest(b"f"), observed.longest(b"g")) == (None, 1.0)

"""The gate that spreads waves of HELLOs; what a HELLO must look like is in test_membership.py."""

from __future__ import annotations

from maze_head.core import effects as fx
from maze_head.core.admission import PER_SECOND, Gate
from maze_protocol.messages import RetryAfter
from support.head_core import Head


def test_a_wave_comes_in_within_the_time_that_its_size_takes() -> None:
    gate, waiting, admitted = Gate(), [(0.0, number) for number in range(500)], list[float]()
    while waiting:
        now, number = min(waiting)
        waiting.remove((now, number))
        seconds = gate.wait(now)
        if seconds:
            waiting.append((now + seconds, number))
        else:
            admitted.append(now)
    assert admitted[PER_SECOND - 1] == 0.0
    assert 1.4 < admitted[-1] < 3.0
    for begin in (0.5, 1.0):  # evenly, after the first
        assert sum(begin <= at < begin + 0.5 for at in admitted) <= PER_SECOND


def test_a_trickle_passes() -> None:
    gate = Gate()
    assert [gate.wait(number / 100) for number in range(1000)] == [0.0] * 1000


def test_who_comes_in_a_wave_is_told_when_to_come_again_and_nothing_else_happens() -> None:
    head = Head()
    for number in range(PER_SECOND + 1):
        head.greet(b"L%d" % number, f"n{number}")
    assert [refuse.message for refuse in head.take(fx.Refuse)] == [RetryAfter(1 / PER_SECOND)]
    assert len(head.core.state.nodes) == PER_SECOND
    head.wait(0.01)
    head.greet(b"M", f"n{PER_SECOND}")
    assert len(head.core.state.nodes) == PER_SECOND + 1

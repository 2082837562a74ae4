"""The fence counts from what was said and answered, not from what was read."""

from __future__ import annotations

from maze_node.core.fence import MAX_ASKED, Fence


def test_without_a_welcome_nothing_may_start() -> None:
    fence = Fence()
    fence.ask(1.0, 100.0)
    fence.answer(1.0)
    assert not fence.is_open(100.0)


def test_a_welcome_counts_from_the_asking() -> None:
    fence = Fence()
    fence.welcome(10.0, 100.0)
    assert fence.is_open(110.0)
    assert not fence.is_open(110.1)


def test_an_answer_counts_from_when_its_heartbeat_was_said() -> None:
    fence = Fence()
    fence.welcome(10.0, 100.0)
    fence.ask(1.0, 101.0)
    fence.ask(2.0, 102.0)
    assert not fence.is_open(111.0)
    fence.answer(2.0)
    assert fence.is_open(112.0)
    fence.answer(1.0)
    assert fence.is_open(112.0), "an older answer takes nothing back"
    fence.answer(2.0)
    fence.answer(77.0)
    assert not fence.is_open(112.1)


def test_heartbeats_of_an_earlier_session_do_not_count() -> None:
    fence = Fence()
    fence.welcome(10.0, 100.0)
    fence.ask(1.0, 150.0)
    fence.welcome(10.0, 120.0)
    fence.answer(1.0)
    assert not fence.is_open(131.0)


def test_equal_marks_mean_the_earlier_saying_and_their_number_is_bounded() -> None:
    fence = Fence()
    fence.welcome(10.0, 100.0)
    fence.ask(1.0, 101.0)
    fence.ask(1.0, 109.0)
    fence.answer(1.0)
    assert not fence.is_open(112.0)
    for number in range(2 * MAX_ASKED):
        fence.ask(float(number), 110.0)
    fence.answer(0.0)
    assert not fence.is_open(112.0)

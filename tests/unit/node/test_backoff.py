"""When a node connects again."""

from __future__ import annotations

from maze_node.core.backoff import FIRST_DELAY, LASTED, LOOK_AGAIN, LOOK_OFTEN, MAX_DELAY, SPACING, Backoff


def test_delays_grow_to_a_bound_and_are_spread() -> None:
    early, late = Backoff(), Backoff()
    shortest = [early.delay(100.0, 0.0) for _ in range(8)]
    longest = [late.delay(100.0, 1.0) for _ in range(8)]
    assert longest == [min(MAX_DELAY, FIRST_DELAY * 2**number) for number in range(8)]
    assert shortest == [delay / 2 for delay in longest]


def test_connections_are_never_more_than_ten_a_second() -> None:
    backoff, now, connects = Backoff(), 100.0, []
    while len(connects) < 200:
        backoff.connecting(now)
        connects.append(now)
        backoff.established(now + LASTED if len(connects) % 3 == 0 else now)
        now += backoff.delay(now, 0.0)
    assert all(connects[i + 10] - connects[i] >= 10 * SPACING - 1e-9 for i in range(len(connects) - 10))


def test_a_session_that_lasted_forgives_and_a_short_one_does_not() -> None:
    backoff = Backoff()
    for _ in range(9):
        backoff.delay(100.0, 1.0)
    backoff.established(100.0)
    assert backoff.delay(100.0 + LASTED / 2, 1.0) == MAX_DELAY
    backoff.established(200.0)
    assert backoff.delay(200.0 + LASTED, 1.0) == FIRST_DELAY


def test_what_the_head_asks_for_is_the_least() -> None:
    assert Backoff().delay(100.0, 1.0, at_least=7.0) == 7.0


def test_a_head_that_has_not_told_its_address_is_looked_for_often_at_first() -> None:
    backoff = Backoff()
    assert backoff.look_again(100.0, 1.0) == LOOK_AGAIN
    assert backoff.look_again(100.0 + LOOK_OFTEN - 0.1, 1.0) == LOOK_AGAIN
    assert [backoff.look_again(100.0 + LOOK_OFTEN, 1.0) for _ in range(9)][-1] == MAX_DELAY
    backoff.connecting(200.0)
    assert backoff.look_again(300.0, 1.0) == LOOK_AGAIN

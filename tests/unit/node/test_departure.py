"""Leaving: begun, told, and done once."""

from __future__ import annotations

from maze_node.core.departure import LAST_WORDS, Departure
from maze_node.core.effects import Effect, Leave, Send
from maze_protocol.messages import Drain, Goodbye


def departing() -> tuple[Departure, list[Effect]]:
    effects: list[Effect] = []
    departure = Departure(effects.append)
    departure.begin("SIGTERM", 130.0)
    return departure, effects


def test_what_has_not_begun_is_neither_told_nor_due() -> None:
    effects: list[Effect] = []
    departure = Departure(effects.append)
    departure.tell(1.0)
    departure.give_up(1e9, live=True)
    assert (departure.begun, departure.left, departure.is_due(1e9), effects) == (False, False, False, [])


def test_the_head_is_told_how_much_time_is_left() -> None:
    departure, effects = departing()
    for mono in (100.0, 125.0, 140.0):
        departure.tell(mono)
    assert effects == [Send(Drain("SIGTERM", left)) for left in (30.0, 5.0, 0.0)]
    assert not departure.is_due(129.9)
    assert departure.is_due(130.0)


def test_good_order_is_said_to_a_head_that_is_there_and_once() -> None:
    departure, effects = departing()
    departure.finish(live=True)
    departure.leave("again", 1)
    assert effects == [Send(Goodbye("SIGTERM")), Leave("SIGTERM", 0)]
    departure, effects = departing()
    departure.finish(live=False)
    assert effects == [Leave("SIGTERM", 0)]


def test_nobody_is_waited_for_for_ever() -> None:
    for live, code in ((True, 1), (False, 75)):
        departure, effects = departing()
        departure.give_up(130.0 + LAST_WORDS - 0.1, live=live)
        assert effects == []
        departure.give_up(130.0 + LAST_WORDS, live=live)
        assert effects == [Leave("drain timeout", code)]

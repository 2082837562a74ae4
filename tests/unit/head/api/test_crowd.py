"""Who has to go when there are too many connections."""

from __future__ import annotations

from maze_head.api.crowd import STRANGER_SECONDS, STRANGERS, Crowd
from maze_head.tokens import ADMIN, READ, Token

HERE, THERE = "127.0.0.1", "192.0.2.7"
READER, OTHER, CHIEF = Token(b"r", READ), Token(b"o", READ), Token(b"a", ADMIN)


def filled(count: int, limit: int = 4096, address: str = HERE, now: float = 0.0) -> Crowd[int]:
    crowd: Crowd[int] = Crowd(limit)
    for key in range(count):
        assert crowd.arrive(key, address, now) == []
    return crowd


def test_strangers_that_say_nothing_make_room_first_come_first_gone() -> None:
    crowd = filled(STRANGERS)
    assert crowd.arrive(-1, HERE, STRANGER_SECONDS) == [0]
    crowd.leave(0)
    assert crowd.arrive(-2, HERE, STRANGER_SECONDS) == [1]


def test_a_burst_of_those_who_are_about_to_speak_is_let_in() -> None:
    crowd = filled(4 * STRANGERS)
    assert all(crowd.admit(key, CHIEF) for key in range(4 * STRANGERS))
    assert crowd.arrive(-1, HERE, 100.0) == []


def test_the_admitted_stay_and_who_comes_is_refused_when_all_places_are_taken() -> None:
    crowd = filled(10, limit=10)
    assert all(crowd.admit(key, CHIEF) for key in range(10))
    assert crowd.arrive(10, HERE, 0.0) == [10]
    crowd.leave(10)
    crowd.leave(3)
    assert crowd.arrive(11, HERE, 0.0) == []
    assert len(crowd) == 10


def test_when_all_places_are_taken_a_stranger_goes_however_new() -> None:
    assert filled(10, limit=10).arrive(10, HERE, 0.0) == [0]


def test_one_address_elsewhere_has_a_quarter() -> None:
    crowd = filled(25, limit=100, address=THERE)
    assert crowd.arrive(25, THERE, 0.0) == [25]
    crowd.leave(25)
    assert crowd.arrive(26, "192.0.2.8", 0.0) == []
    crowd.leave(0)
    assert crowd.arrive(27, THERE, 0.0) == []


def test_one_token_has_a_half_unless_it_is_an_admins() -> None:
    crowd = filled(30, limit=20 + 10)
    assert [crowd.admit(key, READER) for key in range(16)] == [True] * 15 + [False]
    assert crowd.admit(16, OTHER)
    assert all(crowd.admit(key, CHIEF) for key in range(16, 30))


def test_a_connection_that_shows_another_token_counts_for_that_one() -> None:
    crowd = filled(4, limit=4)
    assert crowd.admit(0, READER)
    assert crowd.admit(1, READER)
    assert crowd.admit(0, OTHER)
    assert crowd.admit(2, READER)
    assert sorted(crowd.of_tokens()) == [(0, OTHER), (1, READER), (2, READER)]


def test_nothing_is_remembered_of_those_who_left() -> None:
    crowd = filled(3)
    crowd.admit(0, READER)
    crowd.admit(1, None)
    for key in range(3):
        crowd.leave(key)
        crowd.leave(key)
    assert len(crowd) == 0
    assert crowd.of_tokens() == []
    assert crowd.admit(0, READER)
    assert crowd.of_tokens() == []

"""Whose piece is sent next, and to whom nothing is; tests/property/test_transfers.py proves the turns."""

from __future__ import annotations

from typing import Any

import pytest

from maze_protocol.limits import CHUNK
from maze_protocol.serving import IDLE, MAX_WAITING, Close, Find, Piece, Say, Serving
from maze_protocol.tickets import make_ticket
from maze_protocol.transfers import Denied, Fetch, Unknown
from maze_protocol.values import ObjectKey

KEY = ObjectKey(7, 1)
WALL = 1000.0


def fetch(request: int = 1, offset: int = 0, length: int = 10, secret: bytes = b"s", **given: Any) -> Fetch:
    key = given.get("key", KEY)
    ticket = make_ticket(secret, *key, given.get("to", "n2"), WALL + 10)
    return Fetch(request, key.lease, key.output, offset, length, ticket, key.hash, "n2")


def everybody(_: object) -> bool:
    return True


def test_an_object_is_looked_for_once_and_sent_when_found() -> None:
    machine = Serving(b"s")
    assert machine.hear("a", fetch(1), 0.0, WALL) == [Find(KEY)]
    assert machine.hear("a", fetch(2, 10), 0.0, WALL) == []
    assert machine.take(everybody) is None
    assert machine.found(KEY, 100, 0.0) == []
    assert machine.take(everybody) == Piece("a", 1, KEY, 0, 10, 100)
    assert machine.take(everybody) == Piece("a", 2, KEY, 10, 10, 100)
    assert machine.take(everybody) is None


def test_what_is_not_here_is_said_to_all_who_asked() -> None:
    machine = Serving(b"s")
    machine.hear("a", fetch(1), 0.0, WALL)
    machine.hear("b", fetch(2), 0.0, WALL)
    assert machine.missing(KEY) == [Say("a", Unknown(1)), Say("b", Unknown(2))]
    assert machine.missing(KEY) == []
    assert machine.hear("a", fetch(3), 0.0, WALL) == [Find(KEY)], "it may have come meanwhile"


def test_what_can_be_read_no_more_is_closed() -> None:
    machine = Serving(b"s")
    machine.hear("a", fetch(1), 0.0, WALL)
    machine.found(KEY, 100, 0.0)
    assert machine.missing(KEY) == [Say("a", Unknown(1)), Close(KEY)]


@pytest.mark.parametrize("wrong", [{"secret": b"other"}, {"to": "n3"}])
def test_without_a_ticket_nothing_is_even_looked_for(wrong: dict[str, Any]) -> None:
    machine = Serving(b"s")
    (said,) = machine.hear("a", fetch(1, **wrong), 0.0, WALL)
    assert said == Say("a", Denied(1, "the ticket is not valid here"))
    assert machine.hear("a", fetch(1), 0.0, WALL + 1000) == [said], "expired"


def test_tickets_of_this_session_and_the_one_before_count() -> None:
    machine = Serving()
    for secret in (b"1", b"2", b"2", b"3"):
        machine.trust(secret)
    verdicts = [type(machine.hear("a", fetch(secret=secret), 0.0, WALL)[0]) for secret in (b"1", b"2")]
    assert verdicts == [Say, Find]
    assert machine.hear("a", fetch(2, secret=b"3"), 0.0, WALL) == []


def test_where_uploads_are_open_their_hash_is_enough() -> None:
    upload = ObjectKey(0, 0, bytes(32))
    assert Serving(b"s").hear("a", fetch(secret=b"no", key=upload), 0.0, WALL)[0] != Find(upload)
    machine = Serving(b"s", open_uploads=True)
    assert machine.hear("a", fetch(secret=b"no", key=upload), 0.0, WALL) == [Find(upload)]
    assert isinstance(machine.hear("a", fetch(secret=b"no", key=ObjectKey(0, 0)), 0.0, WALL)[0], Say)


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, CHUNK + 1), (95, 6), (101, 1)])
def test_pieces_that_there_cannot_be_are_denied(offset: int, length: int) -> None:
    machine = Serving(b"s")
    machine.hear("a", fetch(1), 0.0, WALL)
    machine.hear("a", fetch(2, offset, length), 0.0, WALL)
    early = machine.found(KEY, 100, 0.0)
    late = machine.hear("a", fetch(2, offset, length), 0.0, WALL)
    assert late == [Say("a", Denied(2, "there is no such piece"))]
    assert early in (late, [])
    assert machine.take(everybody) == Piece("a", 1, KEY, 0, 10, 100)
    assert machine.take(everybody) is None


def test_a_link_that_cannot_take_more_holds_up_nobody_else() -> None:
    machine = Serving(b"s")
    for link in ("a", "b"):
        machine.hear(link, fetch(1), 0.0, WALL)
    machine.found(KEY, 100, 0.0)
    assert machine.take(lambda link: link == "b") == Piece("b", 1, KEY, 0, 10, 100)
    assert machine.take(lambda link: link == "b") is None
    assert machine.take(everybody) == Piece("a", 1, KEY, 0, 10, 100)


def test_of_what_is_on_its_way_here_comes_what_is_there() -> None:
    machine = Serving(b"s")
    machine.hear("a", fetch(1), 0.0, WALL)
    machine.hear("a", fetch(2, 10), 0.0, WALL)
    machine.found(KEY, 100, 0.0)
    assert machine.take(everybody, lambda key, offset, length: False) is None
    assert machine.take(everybody, lambda key, offset, length: offset >= 10) == Piece("a", 2, KEY, 10, 10, 100)
    assert machine.take(everybody) == Piece("a", 1, KEY, 0, 10, 100)


def test_a_request_that_waits_is_not_queued_twice_and_their_number_is_bounded() -> None:
    machine = Serving(b"s")
    for request in (1, 1, *range(MAX_WAITING + 10)):
        machine.hear("a", fetch(request), 0.0, WALL)
    assert machine.waiting == MAX_WAITING
    machine.hear("b", fetch(1), 0.0, WALL)
    assert machine.waiting == MAX_WAITING + 1
    machine.lost("a")
    assert machine.waiting == 1


def test_an_object_that_nobody_asks_for_is_closed() -> None:
    machine = Serving(b"s")
    machine.hear("a", fetch(1), 0.0, WALL)
    machine.found(KEY, 100, 1.0)
    assert machine.tick(1.1 + IDLE) == [], "somebody waits for it"
    machine.take(everybody)
    machine.hear("a", fetch(2), 5.0, WALL)
    machine.take(everybody)
    assert machine.tick(5.0 + IDLE) == []
    assert machine.tick(5.1 + IDLE) == [Close(KEY)]
    assert machine.found(KEY, 100, 20.0) == [], "nobody waits for that any more"

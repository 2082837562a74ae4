"""Which piece is asked of whom, move by move; tests/property/test_transfers.py plays all of it over a bad wire."""

from __future__ import annotations

import zlib

from maze_protocol.fetching import (
    OPEN,
    PATIENCE,
    SILENCE,
    STRIKES,
    WINDOW_OF_ALL,
    Ask,
    Effect,
    Failed,
    Fetched,
    Fetching,
    Order,
    Origin,
    Take,
)
from maze_protocol.limits import CHUNK, CHUNK_WINDOW
from maze_protocol.transfers import Chunk, Denied, Unknown
from maze_protocol.values import ObjectKey

KEY = ObjectKey(7, 1)
PIECE = bytes(CHUNK)
CRC = zlib.crc32(PIECE)


def order(pieces: int = 20, *links: str, key: ObjectKey = KEY) -> Order:
    return Order(key, pieces * CHUNK, tuple(Origin(link, b"ticket") for link in links or ("a", "b")))


def asks(effects: list[Effect]) -> list[tuple[str, int]]:
    """Return (link, piece) of what is asked."""
    return [(str(ask.link), ask.fetch.offset // CHUNK) for ask in effects if isinstance(ask, Ask)]


def answer(effects: list[Effect], number: int, pieces: int = 20) -> Chunk:
    """Return the answer to one of the asks."""
    fetch = [effect for effect in effects if isinstance(effect, Ask)][number].fetch
    return Chunk(fetch.request, fetch.offset, pieces * CHUNK, CRC)


def test_eight_pieces_are_under_way_and_each_that_comes_makes_room_for_one() -> None:
    machine = Fetching("me")
    begun = machine.begin(order(), 0.0)
    assert asks(begun) == [("a", number) for number in range(CHUNK_WINDOW)]
    assert (begun[0].fetch.ticket, begun[0].fetch.node) == (b"ticket", "me")
    came = machine.hear("a", answer(begun, 2), PIECE, 0.1)
    assert came[0] == Take(KEY, 2 * CHUNK)
    assert asks(came) == [("a", CHUNK_WINDOW)]


def test_the_last_piece_is_as_long_as_what_is_left() -> None:
    machine = Fetching("me")
    begun = machine.begin(Order(KEY, CHUNK + 5, (Origin("a"),)), 0.0)
    assert [ask.fetch.length for ask in begun] == [CHUNK, 5]
    machine.hear("a", Chunk(begun[0].fetch.request, 0, CHUNK + 5, CRC), PIECE, 0.0)
    end = machine.hear("a", Chunk(begun[1].fetch.request, CHUNK, CHUNK + 5, zlib.crc32(b"hello")), b"hello", 0.0)
    assert end == [Take(KEY, CHUNK), Fetched(KEY)]
    assert len(machine) == machine.under_way == 0


def test_an_empty_object_is_there_at_once_and_one_without_holders_fails() -> None:
    machine = Fetching("me")
    assert machine.begin(Order(KEY, 0, ()), 0.0) == [Fetched(KEY)]
    assert machine.begin(Order(KEY, 1, ()), 0.0) == [Failed(KEY, "it has no holder")]


def test_what_is_being_fetched_is_not_begun_again() -> None:
    machine = Fetching("me")
    machine.begin(order(), 0.0)
    assert machine.begin(order(), 0.0) == []


def test_the_next_holder_is_asked_for_what_is_missing_only() -> None:
    machine = Fetching("me")
    begun = machine.begin(order(3), 0.0)
    machine.hear("a", answer(begun, 1, 3), PIECE, 0.0)
    assert asks(machine.hear("a", Unknown(begun[0].fetch.request), b"", 0.0)) == [("b", 0), ("b", 2)]


def test_the_last_holder_says_why_it_failed() -> None:
    machine = Fetching("me")
    begun = machine.begin(order(3, "a"), 0.0)
    assert machine.hear("a", Denied(begun[0].fetch.request, "no"), b"", 0.0) == [Failed(KEY, "a holder denied it: no")]


def test_a_holder_of_another_size_is_left() -> None:
    machine = Fetching("me")
    begun = machine.begin(order(3), 0.0)
    left = machine.hear("a", answer(begun, 0, 4), PIECE, 0.0)
    assert asks(left) == [("b", 0), ("b", 1), ("b", 2)]


def test_damage_is_asked_for_again_and_too_much_of_it_means_another_holder() -> None:
    machine = Fetching("me")
    begun = machine.begin(order(1), 0.0)
    for _ in range(STRIKES - 1):
        again = machine.hear("a", answer(begun, 0, 1), PIECE[1:], 0.0)
        assert asks(again) == [("a", 0)]
        assert again[0].fetch.request == begun[0].fetch.request
    assert asks(machine.hear("a", answer(begun, 0, 1), b"\1" + PIECE[1:], 0.0)) == [("b", 0)]


def test_what_comes_twice_or_from_another_counts_once() -> None:
    machine = Fetching("me")
    begun = machine.begin(order(), 0.0)
    assert machine.hear("b", answer(begun, 0), PIECE, 0.0) == []
    machine.hear("a", answer(begun, 0), PIECE, 0.0)
    assert machine.hear("a", answer(begun, 0), PIECE, 0.0) == []


def test_a_piece_that_eight_later_ones_overtook_is_asked_for_again() -> None:
    machine = Fetching("me")
    pending = [effect for effect in machine.begin(order(), 0.0) if isinstance(effect, Ask)]
    for _ in range(CHUNK_WINDOW):
        effects = machine.hear("a", answer(pending, 1), PIECE, 0.0)
        del pending[1]
        pending += [effect for effect in effects if isinstance(effect, Ask)]
    assert 0 in [piece for _, piece in asks(effects)]


def test_silence_repeats_and_goes_on_to_the_next_holder() -> None:
    machine = Fetching("me")
    machine.begin(order(2), 0.0)
    assert machine.tick(SILENCE) == []
    assert asks(machine.tick(SILENCE + 0.1)) == [("a", 0), ("a", 1)]
    assert machine.tick(SILENCE + 0.2) == []
    assert asks(machine.tick(PATIENCE + 0.1)) == [("b", 0), ("b", 1)]


def test_a_lost_link_means_the_next_holder_at_once() -> None:
    machine = Fetching("me")
    machine.begin(order(1), 0.0)
    assert asks(machine.lost("a", "cut", 0.0)) == [("b", 0)]
    assert machine.lost("b", "cut", 0.0) == [Failed(KEY, "cut")]


def test_who_is_not_dialled_is_asked_when_there_and_waited_for_a_while() -> None:
    machine = Fetching("me")
    waiting = Order(KEY, CHUNK, (Origin("node", dialled=False), Origin("b")))
    assert machine.begin(waiting, 0.0) == []
    assert asks(machine.opened("node", 1.0)) == [("node", 0)]
    assert machine.lost("node", "cut", 2.0) == []
    assert asks(machine.opened("node", 3.0)) == [("node", 0)]
    machine.lost("node", "cut", 4.0)
    assert asks(machine.tick(4.0 + PATIENCE)) == [("b", 0)]


def test_transfers_share_a_window_evenly_and_the_young_wait() -> None:
    machine = Fetching("me")
    keys = [ObjectKey(number, 0) for number in range(OPEN + 4)]
    shares = dict.fromkeys(keys, 0)
    for key in keys:
        machine.begin(order(20, "a", key=key), 0.0)
    assert machine.under_way == WINDOW_OF_ALL
    for transfer in machine._transfers.values():
        shares[transfer.order.key] = len(transfer.under_way)
    assert max(shares.values()) == CHUNK_WINDOW, "the first came when it was alone"
    first = machine._transfers[keys[0]]
    for _ in range(6):
        offset, piece = next(iter(first.under_way.items()))
        machine.hear("a", Chunk(piece.request, offset, 20 * CHUNK, CRC), PIECE, 0.0)
    assert len(first.under_way) == 2, "others had fewer under way"
    assert not machine._transfers[keys[-1]].under_way


def test_cancelled_and_broken_transfers_make_room() -> None:
    machine = Fetching("me")
    keys = [ObjectKey(number, 0) for number in range(5)]
    for key in keys:
        machine.begin(order(20, "a", key=key), 0.0)
    before = machine.under_way
    assert len(asks(machine.cancel(keys[0], 0.0))) == CHUNK_WINDOW
    assert machine.under_way == before
    broken = machine.break_off(keys[1], "the disk is full", 0.0)
    assert broken[0] == Failed(keys[1], "the disk is full")
    assert machine.cancel(keys[0], 0.0) == machine.break_off(keys[0], "", 0.0) == []


def test_what_has_come_can_be_told_from_what_has_not() -> None:
    machine = Fetching("me")
    begun = machine.begin(order(20), 0.0)
    machine.hear("a", answer(begun, 1), PIECE, 0.0)
    machine.hear("a", answer(begun, 2), PIECE, 0.0)
    assert machine.has(KEY, CHUNK, CHUNK)
    assert machine.has(KEY, CHUNK + 5, CHUNK)
    assert not machine.has(KEY, 0, 1), "under way"
    assert not machine.has(KEY, 2 * CHUNK, CHUNK + 1), "half of it"
    assert not machine.has(KEY, 19 * CHUNK, 1), "not asked for"
    machine.lost("a", "cut", 0.0)
    machine.lost("b", "cut", 0.0)
    assert machine.has(KEY, 0, 1), "of what is not being fetched the machine knows nothing"


def test_what_must_be_asked_again_is_not_there() -> None:
    machine = Fetching("me")
    machine.begin(Order(KEY, 2 * CHUNK, (Origin("node", dialled=False),)), 0.0)
    machine.opened("node", 0.0)
    machine.lost("node", "cut", 0.0)
    assert not machine.has(KEY, 0, 1)

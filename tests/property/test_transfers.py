"""Fetching from and serving to each other over a bad wire: the bytes that arrive are the bytes that were sent.

The oracle is support/transfer_world.py. That it bites is itself tested: every mutant is a check removed from the
machines, and a schedule that catches it must be found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol import fetching, serving
from maze_protocol.fetching import Fetching
from maze_protocol.serving import Serving
from maze_protocol.tickets import make_ticket
from maze_protocol.transfers import Fetch
from maze_protocol.values import ObjectKey
from support.transfer_world import PIECE, World, small_pieces

INDEX = st.integers(0, 30)
STEP = st.one_of(
    st.tuples(st.just("deliver"), INDEX),
    st.tuples(st.just("deliver"), st.just(0)),
    st.tuples(st.sampled_from(["drop", "double", "damage", "lie"]), INDEX),
    st.tuples(st.sampled_from(["cut", "mute", "forget"]), st.integers(0, 3)),
    st.tuples(st.just("pass_time"), st.sampled_from([0.25, 1.0, 2.5, 11.0])),
    st.tuples(
        st.just("want"), st.integers(1, 5), st.integers(0, 40), st.lists(st.integers(0, 3), max_size=4), st.booleans()
    ),
)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_pieces():
        yield


def play(schedule: list[tuple[Any, ...]]) -> World:
    """Run a schedule, then let the wire be good."""
    world = World()
    for action, *arguments in schedule:
        getattr(world, action)(*arguments)
    world.settle()
    assert set(world.ended) == set(world.sizes)
    world.check_asked()
    return world


@given(st.lists(STEP, max_size=60))
def test_what_arrives_is_what_was_sent_whatever_the_wire_does(schedule: list[tuple[Any, ...]]) -> None:
    play(schedule)


@given(
    st.lists(
        st.tuples(st.just("want"), st.integers(1, 5), st.integers(0, 40), st.lists(st.integers(0, 3), max_size=4)),
        max_size=5,
    ),
    st.lists(INDEX, max_size=40),
)
def test_on_a_wire_that_only_reorders_whoever_has_it_gives_it(wants: list[tuple[Any, ...]], order: list[int]) -> None:
    world = play([*wants, *(("deliver", index) for index in order)])
    for key, reason in world.ended.items():
        held = any(key in holder.objects for holder in world.holders.values())
        assert (reason == "") == (held or not world.sizes[key]), reason


def test_a_forged_ticket_gets_nothing_and_the_next_holder_gives_it() -> None:
    world = play([("want", 1, 20, [0, 1], True)])
    assert world.ended == {ObjectKey(1, 0): ""}
    assert not world.holders["h0"].opened
    assert world.holders["h1"].opened


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 30))
def test_turns_go_round_among_all_who_want_something(order: list[int], taken: int) -> None:
    machine = Serving(b"s")
    waiting: Counter[str] = Counter()
    for number, who in enumerate(order):
        link = f"c{who}"
        ticket = make_ticket(b"s", 1, 0, b"", link, 100.0)
        for effect in machine.hear(link, Fetch(number, 1, 0, 0, PIECE, ticket, b"", link), 0.0, 0.0):
            assert isinstance(effect, serving.Find)
            machine.found(effect.key, 100, 0.0)
        waiting[link] += 1
    got: Counter[str] = Counter()
    for _ in range(min(taken, len(order))):
        piece = machine.take(lambda _: True)
        assert piece is not None
        got[str(piece.link)] += 1
        served = [got[link] for link in waiting if got[link] < waiting[link]]
        assert not served or max(got.values()) - min(served) <= 1, "somebody was passed over"


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3)), max_size=200))
def test_what_a_link_has_waiting_is_bounded_and_garbage_opens_nothing(asked: list[tuple[int, int]]) -> None:
    machine = Serving(b"s")
    for number, lease in asked:
        ticket = make_ticket(b"s", lease, 0, b"", "c", 100.0)
        effects = machine.hear("c", Fetch(number, lease, 0, 0, PIECE, ticket, b"", "c"), 0.0, 0.0)
        assert all(isinstance(effect, serving.Find) for effect in effects)
        assert machine.waiting <= serving.MAX_WAITING
        denied = machine.hear("c", Fetch(number, lease, 0, 0, PIECE, ticket[::-1], b"", "c"), 0.0, 0.0)
        assert [type(effect) for effect in denied] == [serving.Say]


# -- mutants


def _trusting_crc(patch: pytest.MonkeyPatch) -> None:
    class Blind:
        @staticmethod
        def crc32(_: bytes) -> Always:
            return Always()

    class Always(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

        __hash__ = int.__hash__

    patch.setattr(fetching, "zlib", Blind)


def _keeping_requests(patch: pytest.MonkeyPatch) -> None:
    recall = Fetching._recall

    def forgetful(self: Fetching, transfer: Any) -> None:
        kept = dict(self._requests)
        recall(self, transfer)
        self._requests.update(kept)

    patch.setattr(Fetching, "_recall", forgetful)


def _never_silent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fetching, "_repeat_after_silence", lambda self, transfer, now: [])
    patch.setattr(fetching, "PATIENCE", 1e9)
    patch.setattr(fetching.Origin.__new__, "__defaults__", (b"", True, 1e9))


def _unbounded_window(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fetching, "CHUNK_WINDOW", 1000)
    patch.setattr(Fetching, "_ask", _ask_without_end)


def _ask_without_end(self: Fetching, now: float) -> list[Any]:
    return [
        self._ask_piece(transfer, transfer.next_offset(), now)
        for transfer in self._transfers.values()
        for _ in range(100)
        if transfer.hungry
    ]


def _open_to_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(serving, "check_ticket", lambda *_: True)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "checksums are not looked at": _trusting_crc,
    "what was asked of another holder still counts": _keeping_requests,
    "silence is waited out": _never_silent,
    "the window has no end": _unbounded_window,
    "any ticket will do": _open_to_all,
}


def test_the_schedules_for_mutants_break_nothing_of_ours() -> None:
    for seed in range(100):
        _check_forged(play(_draw(Random(seed))))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_oracle_notices_a_check_that_is_gone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    for seed in range(400):
        try:
            world = play(_draw(Random(seed)))
            _check_forged(world)
        except (AssertionError, KeyError):
            return
    pytest.fail(f"400 schedules did not catch that {name}")


def _check_forged(world: World) -> None:
    assert all(key.lease != 9 for key in world.holders["h0"].opened), "served against a forged ticket"


def _draw(random: Random) -> list[tuple[Any, ...]]:
    actions = ["deliver"] * 12 + ["drop", "double", "damage", "lie", "cut", "mute", "forget"]
    schedule: list[tuple[Any, ...]] = [("want", 9, random.randrange(1, 60), [0, 1], True)]
    schedule += [("want", number, random.randrange(60), [random.randrange(4)] * 2) for number in range(1, 4)]
    schedule += [(random.choice(actions), random.randrange(30)) for _ in range(60)]
    return [*schedule, ("pass_time", random.choice([0.5, 2.5, 11.0]))]

"""The two machines over a bad wire: never a reliable message twice or out of order, and one live session at the end.

The oracle (support/wire.py) compares each session's deliveries with what was sent in it. That it bites is itself
tested: every mutant in MUTANTS is a check removed from the machines, and a schedule that catches it must be found.
(Removing HELLO's retry, REHELLO, or obedience to a refusal is not caught here and need not be: the node's silence
limit is a second way to the same end. The unit tests hold those.)
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from maze_protocol.codec import Envelope
from maze_protocol.errors import IllegalTransition
from maze_protocol.messages import RELIABLE, Hello, Message
from maze_protocol.ordering import Ordering, Verdict
from maze_protocol.session import HeadSession, NodeSession, SessionState
from support.wire import World

INDEX = st.integers(0, 30)
STEP = st.one_of(
    st.tuples(st.just("deliver"), INDEX),
    st.tuples(st.just("deliver"), st.just(0)),
    st.tuples(st.sampled_from(["drop", "double", "replay"]), INDEX),
    st.sampled_from([("node_send",), ("head_send",), ("beat",), ("reroute",), ("restart_head",)]),
    st.tuples(st.just("pass_time"), st.sampled_from([0.25, 1.0, 3.5, 6.0])),
    st.tuples(st.just("settle"), st.sampled_from([0.25, 1.0])),
)
SCHEDULES = st.lists(STEP, max_size=40)


def play(schedule: list[tuple]) -> World:
    """Run a schedule from a live session (most of what can go wrong needs one), then let the wire be good."""
    world = World()
    world.settle(1.0)
    for action, *arguments in schedule:
        getattr(world, action)(*arguments)
    world.settle()
    world.check_converged()
    return world


@given(SCHEDULES)
def test_a_bad_wire_never_repeats_and_a_good_one_heals(schedule: list[tuple]) -> None:
    play(schedule)


@given(SCHEDULES)
def test_a_first_hello_may_be_lost_doubled_or_late(schedule: list[tuple]) -> None:
    world = World()
    for action, *arguments in schedule:
        getattr(world, action)(*arguments)
    world.settle()
    world.check_converged()


def test_a_good_wire_needs_one_session_only() -> None:
    world = play([("node_send",), ("head_send",), ("settle", 30.0)])
    assert world.ends == []
    assert len(world.records) == 2


def test_a_lost_last_message_is_noticed_though_nothing_follows_it() -> None:
    world = play([("head_send",), ("drop", -1), ("settle", 10.0)])
    assert [end.code for end in world.ends] == ["rehello"]


def _accept_duplicates(self: Ordering, seq: int) -> Verdict:
    self._got = max(self._got, seq)
    return Verdict.NEW if seq <= self._got + 1 else Verdict.GAP


def _accept_gaps(self: Ordering, seq: int) -> Verdict:
    if seq <= self._got:
        return Verdict.DUPLICATE
    self._got = seq
    return Verdict.NEW


def _trust_acks(_self: Ordering, _ack: int, _now: float) -> None:
    return None


def _accept_all_loose(self: Ordering, envelope: Envelope, now: float) -> Verdict:
    if type(envelope.message) in RELIABLE:
        return _JUDGE(self, envelope, now)
    return Verdict.NEW


def _ignore_session(self: HeadSession, envelope: Envelope, allowed: frozenset[type], now: float) -> object:
    return _FAULT_IN(self, Envelope(self.session, envelope.seq, envelope.ack, envelope.message), allowed, now)


def _forget_the_first_hello(self: HeadSession, hello: Hello, now: float) -> object:
    self._hello = None
    return _ON_HELLO(self, hello, now)


def _second_welcome_begins_anew(self: NodeSession, envelope: Envelope, now: float) -> object:
    if self.state is SessionState.LIVE:
        self._state = SessionState.GREETING
    return _ON_WELCOME(self, envelope, now)


def _unnumbered(self: Ordering, session: int, message: Message, now: float) -> Envelope:
    envelope = _WRAP(self, session, message, now)
    return Envelope(session, 1, envelope.ack, message)


_JUDGE = Ordering.judge
_WRAP = Ordering.wrap
_FAULT_IN = HeadSession._fault_in
_ON_HELLO = HeadSession._on_hello
_ON_WELCOME = NodeSession._on_welcome

MUTANTS: dict[str, tuple[type, str, Callable]] = {
    "duplicates are delivered": (Ordering, "_judge_reliable", _accept_duplicates),
    "gaps are not noticed": (Ordering, "_judge_reliable", _accept_gaps),
    "a stall of acknowledgements is not noticed": (Ordering, "_note_ack", _trust_acks),
    "unreliable messages are not numbered": (Ordering, "judge", _accept_all_loose),
    "every message has number 1": (Ordering, "wrap", _unnumbered),
    "frames of old sessions count": (HeadSession, "_fault_in", _ignore_session),
    "each HELLO is a first one": (HeadSession, "_on_hello", _forget_the_first_hello),
    "a repeated WELCOME restarts the numbers": (NodeSession, "_on_welcome", _second_welcome_begins_anew),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_removed_check_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, replacement)

    @given(SCHEDULES)
    @settings(max_examples=1_000, database=None, phases=[Phase.generate], report_multiple_bugs=False)
    def search(schedule: list[tuple]) -> None:
        play(schedule)

    with pytest.raises((AssertionError, IllegalTransition)):
        search()

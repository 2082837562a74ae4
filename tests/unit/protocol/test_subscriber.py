"""maze_protocol.subscriber: feeds in, exactly these outputs out."""

from __future__ import annotations

from typing import Any

import pytest

from maze_protocol import subscriber as subscriber_module
from maze_protocol.subscriber import (
    Deliver,
    Diverged,
    Ended,
    Published,
    Rejoin,
    Replay,
    Replayed,
    Subscriber,
    Ticked,
    Tipped,
    Welcomed,
)
from support.event_wire import CLUSTER, Event

NOW = 50.0
WELCOME = Welcomed(1, CLUSTER)


def events(first: int, last: int, epoch: int = 1) -> list[Event]:
    """Return events by number."""
    return [Event(seq, epoch) for seq in range(first, last + 1)]


def end(seq: int, epoch: int = 1) -> Event:
    """Return the sealing event."""
    return Event(seq, epoch, "finish_workflow")


def joined(after: int = 0) -> Subscriber[Event]:
    """Return a subscriber that has read the log up to `after` + 3."""
    reader: Subscriber[Event] = Subscriber(NOW, after)
    assert reader.handle(WELCOME, NOW) == [Replay(1, after)]
    found = events(after + 1, after + 3)
    assert reader.handle(Replayed(1, found, sealed=False), NOW) == [Deliver(found), Replay(2, after + 3)]
    assert reader.handle(Replayed(2, [], sealed=False), NOW) == []
    return reader


@pytest.mark.parametrize("after", [0, 7])
def test_who_joins_reads_what_was_before_until_nothing_more_comes(after: int) -> None:
    reader = joined(after)
    assert reader.seq == after + 3
    assert reader.handle(WELCOME, NOW) == [], "somebody else joined the topic"


def test_publications_in_order_are_delivered_as_they_are() -> None:
    reader = joined()
    assert reader.handle(Published(events(4, 5)), NOW) == [Deliver(events(4, 5))]
    assert reader.handle(Published(events(4, 5)), NOW) == []
    assert reader.handle(Published(events(5, 7)), NOW) == [Deliver(events(6, 7))]


def test_a_gap_is_asked_for_once_and_what_is_beyond_it_kept() -> None:
    reader = joined()
    assert reader.handle(Published(events(6, 7)), NOW) == [Replay(3, 3)]
    assert reader.handle(Published(events(8, 8)), NOW) == []
    assert reader.handle(Replayed(3, events(4, 5), sealed=False), NOW) == [Deliver(events(4, 8))]


def test_a_late_publication_fills_the_gap_and_the_answer_then_brings_nothing_new() -> None:
    reader = joined()
    assert reader.handle(Published(events(5, 6)), NOW) == [Replay(3, 3)]
    assert reader.handle(Published(events(4, 4)), NOW) == [Deliver(events(4, 6))]
    assert reader.handle(Replayed(3, events(4, 5), sealed=False), NOW) == []


def test_a_page_that_does_not_reach_what_was_heard_of_is_followed_by_the_next() -> None:
    reader = joined()
    assert reader.handle(Tipped(1, 9, sealed=False), NOW) == [Replay(3, 3)]
    page = events(4, 6)
    assert reader.handle(Replayed(3, page, sealed=False), NOW) == [Deliver(page), Replay(4, 6)]


def test_a_lost_tail_is_found_by_a_tip() -> None:
    reader = joined()
    assert reader.handle(Tipped(1, 3, sealed=False), NOW) == []
    assert reader.handle(Tipped(1, 4, sealed=True), NOW) == [Replay(3, 3)]
    assert reader.handle(Replayed(3, [end(4)], sealed=True), NOW) == [Deliver([end(4)]), Ended()]


def test_only_so_much_is_kept_beyond_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber_module, "HELD_EVENTS", 2)
    reader = joined()
    assert reader.handle(Published(events(5, 9)), NOW) == [Replay(3, 3)]
    assert reader.handle(Replayed(3, events(4, 4), sealed=False), NOW) == [Deliver(events(4, 6)), Replay(4, 6)]


def test_the_sealing_event_is_the_end_and_nothing_follows_it() -> None:
    reader = joined()
    assert reader.handle(Published([*events(4, 4), end(5)]), NOW) == [Deliver([*events(4, 4), end(5)]), Ended()]
    assert reader.over
    assert reader.handle(Published(events(6, 6)), NOW) == []


@pytest.mark.parametrize("told", [Tipped(1, 3, sealed=True), Replayed(3, [], sealed=True)])
def test_who_has_read_everything_is_told_the_end(told: Any) -> None:
    reader = joined()
    reader.handle(Ticked(), NOW + 4)
    assert reader.handle(told, NOW + 4) == [Ended()]


def test_only_the_answer_to_the_newest_question_counts() -> None:
    reader = joined()
    assert reader.handle(Replayed(2, events(4, 5), sealed=False), NOW) == [], "nothing is asked now"
    reader.handle(Tipped(1, 5, sealed=False), NOW)
    assert reader.handle(Replayed(2, events(4, 5), sealed=False), NOW) == []
    assert reader.handle(Replayed(3, events(4, 5), sealed=False), NOW) == [Deliver(events(4, 5))]


def test_a_question_without_an_answer_is_asked_again() -> None:
    reader = joined()
    assert reader.handle(Tipped(1, 5, sealed=False), NOW) == [Replay(3, 3)]
    assert reader.handle(Ticked(), NOW + 9.9) == []
    assert reader.handle(Ticked(), NOW + 10) == [Replay(4, 3), Rejoin()]


def test_silence_makes_it_ask_and_then_look_for_the_head() -> None:
    reader = joined()
    assert reader.handle(Ticked(), NOW + 2.9) == []
    assert reader.handle(Ticked(), NOW + 3) == [Replay(3, 3)]
    assert reader.handle(Replayed(3, [], sealed=False), NOW + 3) == []
    assert reader.handle(Ticked(), NOW + 5.9) == []
    assert reader.handle(Ticked(), NOW + 6) == [Replay(4, 3)]
    assert reader.handle(Ticked(), NOW + 10) == [Rejoin()]
    assert reader.handle(Ticked(), NOW + 10.5) == []
    assert reader.handle(Replayed(4, [], sealed=False), NOW + 11) == []
    assert reader.handle(WELCOME, NOW + 11) == [Replay(5, 3)]


def test_a_new_epoch_is_believed_once_the_last_event_is_confirmed() -> None:
    reader = joined()
    assert reader.handle(Welcomed(2, CLUSTER), NOW) == [Replay(3, 2)]
    assert reader.handle(Published(events(4, 4, epoch=2)), NOW) == [], "nothing is delivered before"
    assert reader.handle(Tipped(2, 3, sealed=True), NOW) == []
    both = [*events(3, 3), *events(4, 5, epoch=2)]
    assert reader.handle(Replayed(3, both, sealed=False), NOW) == [Deliver(both[1:]), Replay(4, 5)]
    assert reader.handle(Published(events(6, 6)), NOW) == [], "of the earlier epoch"
    assert reader.handle(Tipped(1, 9, sealed=False), NOW) == []
    assert reader.handle(Welcomed(1, CLUSTER), NOW) == []


def test_a_new_epoch_found_by_a_publication_makes_an_open_question_void() -> None:
    reader = joined()
    assert reader.handle(Tipped(1, 9, sealed=False), NOW) == [Replay(3, 3)]
    assert reader.handle(Published(events(4, 4, epoch=2)), NOW) == [Replay(4, 2)]
    assert reader.handle(Replayed(3, events(4, 9), sealed=False), NOW) == []
    assert reader.handle(Replayed(4, events(3, 3), sealed=False), NOW) == [Deliver(events(4, 4, epoch=2)), Replay(5, 4)]


def test_a_position_that_the_reader_brought_needs_no_confirmation() -> None:
    reader: Subscriber[Event] = Subscriber(NOW, 3)
    assert reader.handle(WELCOME, NOW) == [Replay(1, 3)]
    assert reader.handle(Welcomed(2, CLUSTER), NOW) == [Replay(2, 3)]


@pytest.mark.parametrize("there", [[], events(3, 3, epoch=2)])
def test_a_log_that_lost_its_end_is_not_read_on(there: list[Event]) -> None:
    reader = joined()
    reader.handle(Welcomed(2, CLUSTER), NOW)
    (told,) = reader.handle(Replayed(3, there, sealed=False), NOW)
    assert isinstance(told, Diverged)
    assert "event 3 was delivered" in told.reason
    assert reader.handle(Ticked(), NOW + 60) == []


def test_another_cluster_is_not_read_on() -> None:
    reader = joined()
    assert reader.handle(Welcomed(1, b"x" * 16), NOW) == [Diverged("another cluster answers")]

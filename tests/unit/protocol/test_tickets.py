"""Tickets open one object to one consumer for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.tickets import check_ticket, make_ticket, prove_session, session_secret

SECRET = session_secret(b"head", 5)
NOW = 1_000_000.0


def ticket(**changes: object) -> tuple[object, ...]:
    given = {"lease": 7, "output": 1, "hash_": b"", "consumer": "n2", **changes}
    return tuple(given.values())


def test_a_ticket_opens_what_it_was_made_for() -> None:
    made = make_ticket(SECRET, 7, 1, b"", "n2", NOW + 10)
    assert check_ticket(SECRET, made, 7, 1, b"", "n2", NOW)


@pytest.mark.parametrize(
    "change", [{"lease": 8}, {"output": 2}, {"hash_": b"x"}, {"consumer": "n3"}, {"consumer": ""}], ids=str
)
def test_it_opens_nothing_else(change: dict[str, object]) -> None:
    made = make_ticket(SECRET, 7, 1, b"", "n2", NOW + 10)
    assert not check_ticket(SECRET, made, *ticket(**change), NOW)  # type: ignore[arg-type]  # built from keywords


def test_it_expires_a_minute_late_at_most() -> None:
    made = make_ticket(SECRET, 7, 1, b"", "n2", NOW)
    assert check_ticket(SECRET, made, 7, 1, b"", "n2", NOW + 59)
    assert not check_ticket(SECRET, made, 7, 1, b"", "n2", NOW + 62)


@given(st.binary(max_size=64))
def test_what_is_no_ticket_opens_nothing(noise: bytes) -> None:
    assert not check_ticket(SECRET, noise, 7, 1, b"", "n2", 0.0)


def test_another_session_has_another_secret_and_proof() -> None:
    other = session_secret(b"head", 6)
    assert other != SECRET != session_secret(b"other head", 5)
    assert prove_session(SECRET, 5) != prove_session(other, 5)
    assert not check_ticket(other, make_ticket(SECRET, 7, 1, b"", "n2", NOW + 10), 7, 1, b"", "n2", NOW)

"""Who fails too often, and for how long; memory is bounded."""

from __future__ import annotations

from maze_head.api.failures import ADDRESSES, BURST, PER_SECOND, TELL_SECONDS, Failures


def fail(failures: Failures, address: str, times: int, now: float = 0.0) -> int:
    """Return how many of the failures were too many."""
    return sum(failures.count(address, now).too_many for _ in range(times))


def test_a_burst_is_forgiven_and_what_follows_is_not() -> None:
    failures = Failures()
    assert fail(failures, "10.0.0.1", BURST) == 0
    assert fail(failures, "10.0.0.1", 5) == 5


def test_time_heals() -> None:
    failures = Failures()
    fail(failures, "10.0.0.1", BURST + 50)
    assert fail(failures, "10.0.0.1", 3, now=5 / PER_SECOND) == 0
    assert fail(failures, "10.0.0.1", 1, now=1e6) == 0


def test_others_are_not_held_liable() -> None:
    failures = Failures()
    fail(failures, "10.0.0.1", 2 * BURST)
    assert fail(failures, "10.0.0.2", BURST) == 0


def test_a_host_of_many_ipv6_addresses_is_one() -> None:
    failures = Failures()
    for number in range(BURST):
        failures.count(f"2001:db8::{number:x}", 0.0)
    assert failures.count("2001:db8::ffff:1", 0.0).too_many
    assert not failures.count("2001:db8:0:1::1", 0.0).too_many


def test_memory_is_bounded_and_the_latest_are_remembered() -> None:
    failures = Failures()
    fail(failures, "10.9.9.9", BURST)
    for number in range(2 * ADDRESSES):
        failures.count(f"10.0.{number // 256}.{number % 256}", 0.0)
        if number % 1000 == 0:
            assert failures.count("10.9.9.9", 0.0).too_many
    assert len(failures) == ADDRESSES


def test_it_is_told_once_a_minute() -> None:
    failures = Failures()
    fail(failures, "10.0.0.1", BURST)
    told = [failures.count("10.0.0.1", now / 10).tell for now in range(int(TELL_SECONDS) * 10)]
    assert told == [True] + [False] * (len(told) - 1)
    fail(failures, "10.0.0.1", BURST, now=TELL_SECONDS)
    assert failures.count("10.0.0.1", 2 * TELL_SECONDS).too_many is False
    fail(failures, "10.0.0.1", BURST, now=2 * TELL_SECONDS)
    assert len(failures) == 1

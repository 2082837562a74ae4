"""Host and Origin: who may call from a browser."""

from __future__ import annotations

import pytest

from maze_head.api.guard import host_allowed, origin_allowed

NAMES = frozenset({"head.example"})


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "10.1.2.3:8000",
     "head.example:8000", "Head.Example"],
)  # fmt: skip
def test_own_names_and_addresses_are_served(host: str) -> None:
    assert host_allowed(host, NAMES)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "a b"]
)
def test_other_names_are_not(host: str) -> None:
    assert not host_allowed(host, NAMES)


def test_a_page_of_the_head_itself_may_call() -> None:
    assert origin_allowed("http://head.example:8000", "head.example:8000", ())
    assert origin_allowed("https://Head.Example:8000", "head.example:8000", ())
    assert not origin_allowed("http://head.example:9000", "head.example:8000", ())


def test_pages_that_the_operator_named_may_call() -> None:
    named = frozenset({"http://localhost:3000"})
    assert origin_allowed("http://LocalHost:3000", "10.0.0.1:8000", named)
    assert not origin_allowed("https://localhost:3000", "10.0.0.1:8000", named)
    assert not origin_allowed("http://localhost:3001", "10.0.0.1:8000", named)


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", "http://localhost", "http://localhost:3000", "https://127.0.0.1:8001",
     "http://[::1]:1", "http://localhost.evil.example", "http://10.0.0.1:1", "file://localhost",
     "chrome-extension://abc", "http://[::1", "localhost"],
)  # fmt: skip
def test_other_pages_may_not(origin: str) -> None:
    assert not origin_allowed(origin, "10.0.0.1:8000", ())

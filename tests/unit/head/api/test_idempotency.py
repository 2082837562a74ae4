"""Ids from keys: the same for the same key and route, and told apart otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from maze_head.api import idempotency
from maze_head.api.errors import Malformed
from maze_head.api.idempotency import HEADER, Keyed, Repeats, keyed
from maze_head.core.errors import Invalid
from support.api_double import asynchronous


class Request:
    """What `keyed` looks at."""

    def __init__(self, key: str | None, path: str = "/api/v1/runs", body: bytes = b"{}", method: str = "POST") -> None:
        self.headers = {} if key is None else {HEADER: key}
        self.path, self.body, self.method = path, body, method

    async def read(self) -> bytes:
        return self.body


async def key_of(*args: Any, **kwargs: Any) -> Keyed | None:
    return await keyed(Request(*args, **kwargs))  # type: ignore[arg-type]  # all that is looked at


@asynchronous
async def test_a_key_gives_the_same_id_on_the_same_route_only() -> None:
    one, again = await key_of("k"), await key_of("k", body=b"{ }")
    assert one is not None
    assert again is not None
    assert (one.id == again.id, one.digest == again.digest, len(one.id)) == (True, False, 16)
    others = [await key_of("l"), await key_of("k", "/api/v1/workflows"), await key_of("k", method="PUT")]
    assert len({each.id for each in (one, *others) if each}) == 4
    assert one.edit_id == f"key_{one.id.hex()}"


@asynchronous
async def test_without_a_key_or_for_a_question_there_is_no_id() -> None:
    assert await key_of(None) is None
    assert await key_of("k", method="GET") is None


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "clé", "\udcff"])
@asynchronous
async def test_keys_that_are_no_plain_text_are_refused(key: str) -> None:
    with pytest.raises(Malformed, match="1 to 255 printable ASCII"):
        await key_of(key)


def test_a_key_with_another_body_is_told_as_long_as_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "REMEMBERED", 2)
    repeats = Repeats()
    first, changed = Keyed(b"1", b"a"), Keyed(b"1", b"b")
    repeats.check(changed)
    repeats.keep(first)
    repeats.check(first)
    with pytest.raises(Invalid, match="another body") as caught:
        repeats.check(changed)
    assert caught.value.code == "idempotency_mismatch"
    for other in (b"2", b"3"):
        repeats.keep(Keyed(other, b"a"))
    repeats.check(changed)

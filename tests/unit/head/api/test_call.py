"""Ids and query parameters are read, and refused, in one way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from maze_head.api.call import Call, make_id, raw_id
from maze_head.api.errors import Malformed
from maze_head.api.idempotency import Keyed
from maze_protocol.ids import RUN, TASK


def call(query: str = "", **places: str) -> Call:
    request = make_mocked_request("GET", f"/?{query}", match_info=places)
    nothing: Any = None
    return Call(nothing, nothing, nothing, nothing, request=request, body=None)


def test_what_a_request_makes_has_the_id_of_its_key() -> None:
    plain, keyed = call(), replace(call(), key=Keyed(b"k" * 16, b""))
    assert plain.new_id() != plain.new_id()
    assert (plain.edit_id, keyed.edit_id, keyed.new_id()) == ("", f"key_{'6b' * 16}", b"k" * 16)


def test_a_number_has_a_default_and_bounds() -> None:
    assert call().number("n", 7, 0, 9) == 7
    assert call("n=").number("n", 7, 0, 9) == 7
    assert call("n=9").number("n", 7, 0, 9) == 9


@pytest.mark.parametrize("text", ["10", "-1", "x", "1.0", "1e3", "%D9%A1", "9" * 5_000, "0x1"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        call(f"n={text}").number("n", 7, 0, 9)
    assert caught.value.code == "bad_query"
    assert len(caught.value.message) < 120


def test_a_choice_has_a_default() -> None:
    assert call().choice("c", ("a", "b")) == "a"
    assert call("c=b").choice("c", ("a", "b")) == "b"
    with pytest.raises(Malformed):
        call("c=z").choice("c", ("a", "b"))


def test_ids_are_of_their_kind() -> None:
    text = "run_" + "0f" * 16
    assert call(run_id=text).id("run_id", RUN) == b"\x0f" * 16
    for kind, bad in ((TASK, text), (RUN, text + "0"), (RUN, "x" * 10_000)):
        with pytest.raises(Malformed) as caught:
            raw_id(bad, kind)
        assert caught.value.code == "bad_id"
        assert len(caught.value.message) < 200


def test_made_ids_differ() -> None:
    assert len({make_id() for _ in range(100)}) == 100

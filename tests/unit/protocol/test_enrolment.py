"""Join tokens as texts that are copied by hand."""

from __future__ import annotations

import pytest

from maze_protocol.enrolment import BadJoinToken, JoinToken, pack_join_token, unpack_join_token

TOKEN = JoinToken("https://head.example:8000", "0123456789abcdefghijklmnopqrstuvwxyzABCD", "x" * 43)


def test_what_is_packed_is_read_back() -> None:
    text = pack_join_token(TOKEN)
    assert text.isascii()
    assert not set(text) & set(" \"'$&|;<>(){}[]*?!#=+/\\"), "nothing that a shell would touch"
    assert unpack_join_token(f"  {text}\n") == TOKEN


def test_a_part_of_one_or_another_text_is_refused() -> None:
    text = pack_join_token(TOKEN)
    for damaged in (text[:-1], text[:40], text[1:], f"{text}~", "maze1-", "", "x" * 43, "maze1-" + "A" * 5000):
        with pytest.raises(BadJoinToken):
            unpack_join_token(damaged)


@pytest.mark.parametrize("head_key", ["", "short", "~" * 40])
def test_a_token_without_a_key_is_refused(head_key: str) -> None:
    text = pack_join_token(JoinToken(TOKEN.url, head_key, TOKEN.token))
    with pytest.raises(BadJoinToken, match="damaged"):
        unpack_join_token(text)

"""What a token allows, and which text is which token."""

from __future__ import annotations

import pytest

from maze_head.tokens import ADMIN, NODE_JOIN, READ, SCOPES, SUBMIT, Token, TokenBook, digest_of

TEXT = "a" * 43
ANNA = Token(digest_of(TEXT), SUBMIT, "anna")


@pytest.mark.parametrize(
    ("scope", "rights"),
    [(READ, {READ}), (SUBMIT, {READ, SUBMIT}), (ADMIN, set(SCOPES)), (NODE_JOIN, {NODE_JOIN})],
)
def test_a_scope_is_a_set_of_rights(scope: str, rights: set[str]) -> None:
    assert {right for right in SCOPES if Token(b"", scope).allows(right)} == rights


def test_a_token_is_found_by_its_text_only() -> None:
    book = TokenBook([ANNA])
    assert book.find(TEXT) == ANNA
    for other in ("", "a" * 42, "a" * 44, TEXT.upper(), ANNA.digest.hex(), ANNA.id, "\udcff", "ä"):
        assert book.find(other) is None


def test_a_revoked_token_is_no_longer_held() -> None:
    assert TokenBook([ANNA]).holds(ANNA)
    assert not TokenBook([]).holds(ANNA)
    assert not TokenBook([Token(ANNA.digest, READ, "anna")]).holds(ANNA)


def test_nothing_of_the_text_is_kept() -> None:
    assert TEXT not in repr(ANNA)
    assert TEXT[:8] not in ANNA.id

"""A token that is good for one thing is good for one, whatever happens at the same time or in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_head.errors import TokensUnusable
from maze_head.token_store import TokenStore
from maze_head.tokens import NODE_JOIN, Token


def store_with_token(tmp_path: Path) -> tuple[TokenStore, Token]:
    store = TokenStore(tmp_path)
    return store, store.create(NODE_JOIN, "", 0.0)[0]


def test_a_token_is_revoked_by_its_use(tmp_path: Path) -> None:
    store, token = store_with_token(tmp_path)
    with store.spending(token):
        assert store.holds(token)
    assert not store.holds(token)
    assert token not in TokenStore(tmp_path).tokens
    with pytest.raises(TokensUnusable, match="used already; make another one"), store.spending(token):
        raise AssertionError("it is used twice")


def test_two_that_use_it_at_once_do_not_both_succeed(tmp_path: Path) -> None:
    store, token = store_with_token(tmp_path)
    with store.spending(token), pytest.raises(TokensUnusable), store.spending(token):
        raise AssertionError("it is used twice")


def test_what_fails_leaves_it_good(tmp_path: Path) -> None:
    store, token = store_with_token(tmp_path)
    with pytest.raises(ValueError, match="refused"), store.spending(token):
        raise ValueError("refused")
    with store.spending(token):
        pass
    assert not store.holds(token)


def test_one_that_cannot_be_revoked_is_used_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: str) -> Token:
        raise TokensUnusable(f"{which} cannot be written")

    store, token = store_with_token(tmp_path)
    monkeypatch.setattr(store, "revoke", refuse)
    with store.spending(token):
        pass
    with pytest.raises(TokensUnusable), store.spending(token):
        raise AssertionError("it is used twice")


def test_a_token_is_known_as_soon_as_it_is_made(tmp_path: Path) -> None:
    running, command = TokenStore(tmp_path), TokenStore(tmp_path)
    token, text = command.create(NODE_JOIN, "", 0.0)
    assert running.find(text) == token
    assert running.find("nonsense") is None

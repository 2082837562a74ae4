"""A machine joins: what it keeps, and whom it believes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from maze._daemon.errors import HeadRefused
from maze._daemon.keys import KeyPair, load_pair
from maze_node import joining
from maze_node.errors import JoinRefused
from maze_node.identity import Joined, read_joined
from maze_protocol.enrolment import JoinToken

TOLD = JoinToken("http://head:8000", KeyPair.make().public, "secret")


class Head:
    """Answers as the test wants."""

    def __init__(self, head_key: str = TOLD.head_key) -> None:
        self.head_key = head_key
        self.asked: list[Any] = []
        self.refusal: HeadRefused | None = None

    def __call__(self, url: str, token: str, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((url, token, method, path))
        if self.refusal is not None:
            raise self.refusal
        return {**body, "endpoint": "tcp://head:8001", "head_key": self.head_key}


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    head = Head()
    monkeypatch.setattr(joining, "ask", head)
    return head


def test_a_node_keeps_where_it_has_joined_and_its_key_to_itself(head: Head, tmp_path: Path) -> None:
    joined = joining.join(TOLD, "n1", tmp_path / "node")
    assert joined == Joined("tcp://head:8001", TOLD.head_key, "n1", TOLD.url) == read_joined(tmp_path / "node")
    assert head.asked == [(TOLD.url, TOLD.token, "POST", "/node-keys")]
    assert load_pair(tmp_path / "node" / "node.key").secret
    assert oct((tmp_path / "node" / "head.json").stat().st_mode)[-3:] == "600"


def test_a_node_is_called_as_its_host_and_may_join_anew_with_the_same_key(head: Head, tmp_path: Path) -> None:
    assert joining.join(TOLD, None, tmp_path / "node").node_id == socket.gethostname()
    before = load_pair(tmp_path / "node" / "node.key")
    assert joining.join(TOLD, "other", tmp_path / "node").node_id == "other"
    assert load_pair(tmp_path / "node" / "node.key") == before
    joined = read_joined(tmp_path / "node")
    assert joined is not None
    assert joined.node_id == "other"


def test_an_answer_with_another_key_is_not_from_that_head(head: Head, tmp_path: Path) -> None:
    head.head_key = KeyPair.make().public
    with pytest.raises(JoinRefused, match="is not the one that made this token"):
        joining.join(TOLD, "n1", tmp_path / "node")
    assert read_joined(tmp_path / "node") is None


def test_a_token_that_is_no_good_is_told_in_its_own_words(head: Head, tmp_path: Path) -> None:
    head.refusal = HeadRefused(401, "unauthorized", "no", "")
    with pytest.raises(JoinRefused, match="used before, or revoked"):
        joining.join(TOLD, "n1", tmp_path / "node")
    head.refusal = HeadRefused(409, "node_exists", "taken", "revoke it")
    with pytest.raises(HeadRefused, match="taken; revoke it"):
        joining.join(TOLD, "n1", tmp_path / "node")
    assert read_joined(tmp_path / "node") is None

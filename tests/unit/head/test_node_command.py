"""The commands about nodes: whom they ask, and what they say when nobody can be asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from maze._daemon import asking
from maze._daemon.connection import ConnectionInfo, write_connection
from maze._daemon.errors import HeadRefused
from maze._daemon.secret_files import make_own_token, read_secret
from maze_head.node_command import node
from maze_head.token_command import token
from maze_head.token_store import TokenStore
from maze_protocol.enrolment import unpack_join_token

KEY = "0" * 40


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAZE_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("MAZE_CONNECTION_FILE", raising=False)
    return tmp_path


def serve(state: Path, head_key: str = KEY) -> None:
    """Leave what a head that runs there would."""
    own = make_own_token(state)
    info = ConnectionInfo("http://h:1", "", "", "", os.getpid(), head_key=head_key, token_file=str(own))
    write_connection(state / "connection.json", info)


def invoke(group: Any, *words: str) -> Result:
    return CliRunner().invoke(group, words)


def test_a_join_token_says_where_the_head_is_and_who(state: Path) -> None:
    serve(state)
    text = invoke(token, "create", "--scope=node-join", f"--state-dir={state}").output
    told = unpack_join_token(text)
    assert (told.url, told.head_key) == ("http://h:1", KEY)
    assert TokenStore(state).find(told.token) is not None
    assert invoke(token, "create", "--scope=read", f"--state-dir={state}").output.startswith("maze1-") is False


@pytest.mark.parametrize("words", [("create", "--scope=node-join"), ("list",)])
def test_without_a_head_that_authenticates_there_is_nothing_to_join(state: Path, words: tuple[str, ...]) -> None:
    group = token if words[0] == "create" else node
    said = invoke(group, *words, f"--state-dir={state}")
    assert said.exit_code == 2
    assert "no head runs that" in said.output
    serve(state, "")
    said = invoke(group, *words, f"--state-dir={state}")
    assert said.exit_code == 2
    assert "does not authenticate nodes; start it with --curve" in said.output
    assert len(TokenStore(state).tokens) == 1, "nothing was made"


def test_the_head_is_asked_with_its_users_token(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def answer(url: str, shown: str, method: str, path: str, body: Any = None) -> Any:
        asked.append((method, path, body))
        assert (url, shown) == ("http://h:1", read_secret(state / "auth" / "token"))
        told = {"node_id": "gpu/7", "key": KEY, "endpoint": "tcp://h:2", "head_key": KEY}
        return {"nodes": [told]} if method == "GET" else told

    serve(state)
    monkeypatch.setattr(asking, "ask", answer)
    where = f"--state-dir={state}"
    assert invoke(node, "list", where).output == f"{KEY}  gpu/7\n"
    assert invoke(node, "list", "--json", where).output.startswith('{"nodes": [{"node_id": "gpu/7"')
    assert invoke(node, "revoke", "gpu/7", where).output == f"revoked {KEY} of gpu/7\n"
    assert "gpu/7 may connect to tcp://h:2" in invoke(node, "authorise", "gpu/7", KEY, where).output
    assert asked[2:] == [
        ("DELETE", "/node-keys/gpu%2F7", None),
        ("POST", "/node-keys", {"node_id": "gpu/7", "key": KEY}),
    ]


def test_what_the_head_refuses_is_told_in_one_line(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise HeadRefused(404, "unknown_node", "no key was authorised for a node 'x'", "")

    serve(state)
    monkeypatch.setattr(asking, "ask", refuse)
    said = invoke(node, "revoke", "x", f"--state-dir={state}")
    assert (said.exit_code, said.output) == (1, "Error: no key was authorised for a node 'x'\n")

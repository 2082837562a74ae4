"""`maze-head token`: what is printed where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from maze_head.cli import command
from maze_head.token_store import TokenStore


@pytest.fixture
def token(tmp_path: Path) -> Any:
    def run(*words: str) -> Any:
        return CliRunner().invoke(command, ["token", *words, f"--state-dir={tmp_path / 'state'}"])

    return run


def test_a_token_is_printed_alone_and_listed_without_its_text(token: Any, tmp_path: Path) -> None:
    made = token("create", "--scope=submit", "--name=anna")
    text = made.stdout.strip()
    assert (made.exit_code, made.stdout) == (0, f"{text}\n")
    assert TokenStore(tmp_path / "state").find(text) is not None
    listed = token("list")
    assert [line.split()[1] for line in listed.stdout.splitlines()] == ["admin", "submit"]
    assert "anna" in listed.stdout
    assert text not in listed.stdout


def test_json_for_programs(token: Any) -> None:
    made = json.loads(token("create", "--scope=read", "--json").stdout)
    assert set(made) == {"token", "id", "name", "scope", "created_at"}
    (own, other) = json.loads(token("list", "--json").stdout)["tokens"]
    assert (own["name"], other["id"]) == ("own", made["id"])
    assert "token" not in other


def test_a_revoked_token_is_gone(token: Any) -> None:
    token("create", "--scope=read", "--name=rack-7")
    assert token("revoke", "rack-7").exit_code == 0
    again = token("revoke", "rack-7")
    assert again.exit_code == 2
    assert "maze-head token list" in again.output


def test_a_scope_must_be_said(token: Any) -> None:
    assert token("create").exit_code == 2
    assert "node-join" in token("create", "--scope=root").output


def test_a_file_that_others_can_read_ends_it(token: Any, tmp_path: Path) -> None:
    token("list")
    (tmp_path / "state" / "auth" / "token").chmod(0o644)
    refused = token("list")
    assert refused.exit_code == 2
    assert "chmod 600" in refused.output
    assert len(refused.output.splitlines()) == 1

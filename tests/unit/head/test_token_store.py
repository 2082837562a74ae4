"""Token files: private, made once, changed in one step, noticed, and never trusted when others could read them."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from maze_head.errors import Misconfigured, TokensUnusable
from maze_head.token_store import OWN, TokenStore
from maze_head.tokens import ADMIN, READ, SUBMIT


def own(directory: Path) -> Path:
    return directory / "auth" / "token"


def test_the_first_start_makes_a_private_token_and_the_next_one_keeps_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = TokenStore(tmp_path)
    finally:
        os.umask(before)
    text = own(tmp_path).read_text().strip()
    assert len(text) == 43
    assert stat.S_IMODE(own(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(own(tmp_path).parent.stat().st_mode) == 0o700
    found = store.find(text)
    assert found is not None
    assert (found.scope, found.name) == (ADMIN, OWN)
    TokenStore(tmp_path)
    assert own(tmp_path).read_text().strip() == text


def test_a_created_token_works_is_shown_once_and_is_in_no_file(tmp_path: Path) -> None:
    token, text = TokenStore(tmp_path).create(SUBMIT, "anna", 7.0)
    for path in own(tmp_path).parent.iterdir():
        assert text not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = TokenStore(tmp_path)
    assert again.find(text) == token
    assert [(each.name, each.scope, each.created_at) for each in again.tokens[1:]] == [("anna", SUBMIT, 7.0)]


def test_a_running_head_notices_what_a_command_did(tmp_path: Path) -> None:
    head, command = TokenStore(tmp_path), TokenStore(tmp_path)
    assert not head.tick()
    token, text = command.create(READ, "", 0.0)
    assert head.find(text) == token
    assert head.tick()
    assert head.holds(token)
    assert command.revoke(token.id) == token
    assert head.find("x" * 43) is None  # which looks at the file, too, and must not keep the news to itself
    assert head.tick()
    assert head.find(text) is None
    assert not head.holds(token)
    assert not head.tick()


def test_two_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    first, second = TokenStore(tmp_path), TokenStore(tmp_path)
    texts = [store.create(READ, name, 0.0)[1] for store, name in ((first, "a"), (second, "b"), (first, "c"))]
    assert all(TokenStore(tmp_path).find(text) for text in texts)


@pytest.mark.parametrize("name", ["x" * 65, "a\nb", OWN, "\x1b[31m"])
def test_names_that_cannot_be_shown_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="cannot be named"):
        TokenStore(tmp_path).create(READ, name, 0.0)


def test_a_name_is_unique_and_umlauts_are_fine(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    store.create(READ, "Zoë", 0.0)
    with pytest.raises(Misconfigured, match="already"):
        store.create(READ, "Zoë", 0.0)
    assert TokenStore(tmp_path).revoke("Zoë").name == "Zoë"


@pytest.mark.parametrize("which", ["nobody", OWN, ""])
def test_only_tokens_that_were_handed_out_can_be_revoked(tmp_path: Path, which: str) -> None:
    store = TokenStore(tmp_path)
    store.create(READ, "", 0.0)
    with pytest.raises(Misconfigured, match="there is no token"):
        store.revoke(which)


def unreadable(file: Path) -> None:
    file.chmod(0o640)


def empty(file: Path) -> None:
    file.write_text("\n")


def a_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir(mode=0o700)


@pytest.mark.parametrize("spoil", [unreadable, empty, a_link, a_directory])
@pytest.mark.parametrize("name", ["token", "tokens.json"])
def test_a_file_that_cannot_be_trusted_stops_the_start_with_a_remedy(tmp_path: Path, spoil, name: str) -> None:
    TokenStore(tmp_path).create(READ, "", 0.0)
    spoil(own(tmp_path).with_name(name))
    with pytest.raises(TokensUnusable) as caught:
        TokenStore(tmp_path)
    assert caught.value.exit_code == 2
    assert name in str(caught.value)
    assert caught.value.remedy


def test_a_directory_that_others_can_look_into_is_refused(tmp_path: Path) -> None:
    TokenStore(tmp_path)
    own(tmp_path).parent.chmod(0o755)
    with pytest.raises(TokensUnusable, match="chmod 700"):
        TokenStore(tmp_path)


@pytest.mark.parametrize("text", ["[", '[{"digest":"zz","scope":"read","name":"","created_at":0}]', "[1]",
                                  '[{"digest":"00","scope":"root","name":"","created_at":0}]'])  # fmt: skip
def test_a_damaged_list_is_refused(tmp_path: Path, text: str) -> None:
    TokenStore(tmp_path).create(READ, "", 0.0)
    own(tmp_path).with_name("tokens.json").write_text(text)
    with pytest.raises(TokensUnusable, match="damaged"):
        TokenStore(tmp_path)


def test_a_head_that_runs_keeps_what_it_had_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = TokenStore(tmp_path)
    token, text = store.create(READ, "", 0.0)
    assert store.tick()
    listed = own(tmp_path).with_name("tokens.json")
    listed.chmod(0o644)
    os.utime(listed, ns=(1, 1))
    with caplog.at_level(logging.ERROR):
        assert not store.tick()
        assert not store.tick()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert store.find(text) == token
    listed.chmod(0o600)
    assert store.tick()

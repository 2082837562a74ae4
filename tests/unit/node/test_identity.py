"""Which head is meant, and by which key the node says who it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from maze._daemon.connection import ConnectionInfo, write_connection
from maze._daemon.errors import SecretUnusable
from maze._daemon.keys import KeyPair, load_or_make_pair, load_pair
from maze._daemon.secret_files import create_secret
from maze_node.config import Settings
from maze_node.identity import HeadAddress, Joined, own_pair, read_joined

HEAD_KEY = KeyPair.make().public
JOINED = Joined("tcp://far:8001", HEAD_KEY, "n7", "http://far:8000")


def connection(tmp_path: Path, node_key_file: Path | str, head_key: str = HEAD_KEY) -> Path:
    file = tmp_path / "connection.json"
    info = ConnectionInfo("u", "tcp://near:1", "", "", os.getpid(), head_key=head_key, node_key_file=str(node_key_file))
    write_connection(file, info)
    return file


def join(directory: Path, joined: Joined = JOINED) -> Path:
    directory.mkdir(mode=0o700)
    create_secret(directory / "head.json", json.dumps(joined._asdict()))
    return directory


def parts(address: HeadAddress | None) -> tuple[str, str, KeyPair | None]:
    assert address is not None
    return address.endpoint, address.side.server if address.side else "", address.pair


def test_a_head_without_a_key_is_spoken_to_as_ever(tmp_path: Path) -> None:
    settings = Settings(connection_file=connection(tmp_path, "", head_key=""), node_dir=tmp_path / "node")
    assert settings.find_head() == HeadAddress("tcp://near:1")
    assert Settings(head="tcp://h:1", node_dir=tmp_path / "node").find_head() == HeadAddress("tcp://h:1")
    assert not (tmp_path / "node").exists(), "nobody asked for a key"


def test_the_heads_own_user_has_its_local_key(tmp_path: Path) -> None:
    pair = load_or_make_pair(tmp_path / "keys" / "local.key")
    settings = Settings(
        connection_file=connection(tmp_path, tmp_path / "keys" / "local.key"), node_dir=tmp_path / "node"
    )
    assert parts(settings.find_head()) == ("tcp://near:1", HEAD_KEY, pair)
    assert not (tmp_path / "node").exists()


def test_whoever_does_not_see_the_heads_directory_has_a_key_of_its_own(tmp_path: Path) -> None:
    settings = Settings(connection_file=connection(tmp_path, tmp_path / "none"), node_dir=tmp_path / "node")
    found = parts(settings.find_head())
    assert found == ("tcp://near:1", HEAD_KEY, load_pair(tmp_path / "node" / "node.key"))
    assert parts(settings.find_head()) == found
    named = Settings(head="tcp://h:1", head_key=HEAD_KEY, node_dir=tmp_path / "node")
    assert parts(named.find_head()) == ("tcp://h:1", HEAD_KEY, own_pair(tmp_path / "node"))


def test_a_head_that_is_named_and_known_here_needs_no_key_to_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = load_or_make_pair(tmp_path / "keys" / "local.key")
    monkeypatch.setenv("MAZE_CONNECTION_FILE", str(connection(tmp_path, tmp_path / "keys" / "local.key")))
    named = Settings(head="tcp://near:1", node_dir=tmp_path / "node")
    assert parts(named.find_head()) == ("tcp://near:1", HEAD_KEY, pair)
    assert Settings(head="tcp://other:1", node_dir=tmp_path / "node").find_head() == HeadAddress("tcp://other:1")


def test_a_local_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_make_pair(tmp_path / "local.key")
    (tmp_path / "local.key").chmod(0o644)
    with pytest.raises(SecretUnusable):
        Settings(connection_file=connection(tmp_path, tmp_path / "local.key")).find_head()


def test_who_has_joined_needs_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_NODE_DIR", str(join(tmp_path / "node")))
    monkeypatch.setenv("MAZE_CONFIG_FILE", os.devnull)
    assert parts(Settings().find_head()) == (JOINED.endpoint, HEAD_KEY, own_pair(tmp_path / "node"))
    assert Settings().node_id() == "n7"
    assert Settings(head=JOINED.endpoint).node_id() == "n7"
    assert Settings(name="other").node_id() == "other", "the head will say that the key is not this one's"


def test_what_is_named_counts_more_than_where_it_has_joined(tmp_path: Path) -> None:
    directory, file = join(tmp_path / "node"), connection(tmp_path, "", head_key="")
    elsewhere = Settings(head="tcp://other:1", node_dir=directory)
    assert elsewhere.find_head() == HeadAddress("tcp://other:1")
    assert elsewhere.node_id() != "n7"
    assert Settings(connection_file=file, node_dir=directory).find_head() == HeadAddress("tcp://near:1")


def test_who_has_not_joined_is_told_nothing(tmp_path: Path) -> None:
    assert read_joined(tmp_path) is None


@pytest.mark.parametrize("text", ["{}", "[]", '{"endpoint": "x"}', "x"])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    create_secret(tmp_path / "head.json", text)
    with pytest.raises(SecretUnusable, match="is damaged; join again"):
        read_joined(tmp_path)

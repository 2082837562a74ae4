"""The keys of a head, and whose may connect where."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from maze._daemon.keys import KeyPair, load_pair
from maze._daemon.zap import EVENTS, NODES
from maze_head import keyring as keyring_module
from maze_head.errors import KeysUnusable
from maze_head.keyring import READ_SECONDS, Keyring, local_key_file

LOCAL, NODE, READER = (KeyPair.make().public for _ in range(3))


def test_the_pairs_are_made_once(tmp_path: Path) -> None:
    made = Keyring.open(tmp_path)
    again = Keyring.open(tmp_path)
    assert (again.head, again.local) == (made.head, made.local)
    assert load_pair(local_key_file(tmp_path)).public == made.local != made.head.public
    assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "keys").iterdir()} == {0o600}


def test_a_key_that_others_can_read_stops_the_head(tmp_path: Path) -> None:
    Keyring.open(tmp_path)
    (tmp_path / "keys" / "head.key").chmod(0o644)
    with pytest.raises(KeysUnusable, match=r"head\.key is open to other users .*chmod 600") as caught:
        Keyring.open(tmp_path)
    assert caught.value.exit_code == 2


def test_the_local_key_opens_everything_and_a_nodes_key_what_is_for_nodes(tmp_path: Path) -> None:
    ring = Keyring.open(tmp_path)
    ring.restore({NODE: "n1"})
    assert [ring.admits(domain, ring.local) for domain in (NODES, EVENTS)] == [True, True]
    assert [ring.admits(domain, NODE) for domain in (NODES, EVENTS)] == [True, False]
    assert not ring.admits(NODES, ring.head.public), "the head's own key is public"
    assert not ring.admits(NODES, KeyPair.make().public)


def test_readers_are_let_in_for_an_hour_and_to_publications_only(tmp_path: Path) -> None:
    now, good = [0.0], [True]
    ring = Keyring(KeyPair.make(), LOCAL, lambda: now[0])
    assert not ring.may_read(READER)
    assert ring.let_read(READER, lambda: good[0]) == READ_SECONDS
    assert [ring.admits(domain, READER) for domain in (NODES, EVENTS)] == [False, True]
    good[0] = False
    assert not ring.admits(EVENTS, READER), "its token was revoked"
    good[0], now[0] = True, READ_SECONDS
    assert not ring.admits(EVENTS, READER), "its hour is over"
    ring.restore({NODE: "n1"})
    assert not ring.may_read(NODE), "nodes read nothing"


def test_no_more_readers_are_known_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring_module, "MAX_READERS", 2)
    now = [0.0]
    ring = Keyring(KeyPair.make(), LOCAL, lambda: now[0])
    for key in ("first", "second", "first", "third"):
        ring.let_read(key, lambda: True)
    assert [ring.may_read(key) for key in ("first", "second", "third")] == [True, False, True]
    now[0] = 2 * READ_SECONDS
    ring.let_read("fourth", lambda: True)
    assert len(ring._readers) == 1, "those whose time is over have made room"


def test_what_is_authorised_and_revoked_counts_at_once(tmp_path: Path) -> None:
    ring = Keyring.open(tmp_path)
    ring.authorise(NODE, "n1")
    assert ring.admits(NODES, NODE)
    ring.revoke(NODE)
    ring.revoke(NODE)
    assert not ring.admits(NODES, NODE)

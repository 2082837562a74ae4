"""The keys of a head, and whose may connect where."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from maze._daemon.keys import KeyPair, load_pair
from maze._daemon.zap import EVENTS, NODES
from maze_head.errors import KeysUnusable
from maze_head.keyring import Keyring, local_key_file

NODE = KeyPair.make().public


def test_the_pairs_are_made_once(tmp_path: Path) -> None:
    made = Keyring.open(tmp_path)
    again = Keyring.open(tmp_path)
    assert (again.head, again.local) == (made.head, made.local)
    assert load_pair(local_key_file(tmp_path)).public == made.local != made.head.public
    assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "keys").iterdir()} == {0o600}


def test_a_key_that_others_can_read_stops_the_head(tmp_path: Path) -> None:
    Keyring.open(tmp_path)
    (tmp_path / "keys" / "head.key").chmod(0o644)
    with pytest.raises(KeysUnusable, match=r"head\.key can be read by others; chmod 600") as caught:
        Keyring.open(tmp_path)
    assert caught.value.exit_code == 2


def test_the_local_key_opens_everything_and_a_nodes_key_what_is_for_nodes(tmp_path: Path) -> None:
    ring = Keyring.open(tmp_path)
    ring.restore({NODE: "n1"})
    assert [ring.admits(domain, ring.local) for domain in (NODES, EVENTS)] == [True, True]
    assert [ring.admits(domain, NODE) for domain in (NODES, EVENTS)] == [True, False]
    assert not ring.admits(NODES, ring.head.public), "the head's own key is public"
    assert not ring.admits(NODES, KeyPair.make().public)


def test_what_is_authorised_and_revoked_counts_at_once(tmp_path: Path) -> None:
    ring = Keyring.open(tmp_path)
    ring.authorise(NODE, "n1")
    assert ring.admits(NODES, NODE)
    ring.revoke(NODE)
    ring.revoke(NODE)
    assert not ring.admits(NODES, NODE)

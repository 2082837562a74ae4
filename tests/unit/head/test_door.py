"""The way in, open or guarded, and what becomes of a head without its doorkeeper."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from maze._daemon.curve import ClientSide
from maze._daemon.keys import KeyPair, load_pair
from maze._daemon.signals import Stop
from maze_head.app import Head
from maze_head.config import HeadConfig
from maze_head.errors import EXIT_BUG, DoorkeeperLost, KeysUnusable
from maze_head.keyring import Keyring


def with_head(state: Path, check: Callable[[Head], Awaitable[None]], **given: Any) -> None:
    """Run a test against a head in this process."""
    ports = {"port": 0, "node_port": 0, "blob_port": 0, "event_port": 0}
    config = HeadConfig(state_dir=state, connection_file=state / "connection.json", **ports, **given)

    async def run() -> None:
        async with Head(config) as head:
            await check(head)

    asyncio.run(run())


def test_an_open_door_knows_no_keys(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        assert (head.door.pair, head.door.local_key, head.door.admits_nodes) == (None, "", None)
        assert (head.info.head_key, head.info.node_key_file) == ("", "")
        assert head.door.counters() == {}

    with_head(tmp_path, check)
    assert not (tmp_path / "keys").exists()


def test_a_guarded_door_tells_processes_of_the_same_user_how_to_get_in(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        assert head.door.pair is not None
        assert head.info.head_key == head.door.pair.public
        assert load_pair(Path(head.info.node_key_file)).public == head.door.local_key

    with_head(tmp_path, check, curve=True)


def test_unsafe_keys_or_libraries_stop_the_head_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(head: Head) -> None:
        raise AssertionError("it serves")

    Keyring.open(tmp_path)
    (tmp_path / "keys" / "local.key").chmod(0o666)
    with pytest.raises(KeysUnusable, match=r"local\.key is open to other users"):
        with_head(tmp_path, never, curve=True)
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 3, 1))
    with pytest.raises(KeysUnusable, match=r"4\.3\.1 has known holes"):
        with_head(tmp_path / "other", never)


def test_a_head_whose_doorkeeper_falls_ill_stops(tmp_path: Path) -> None:
    """Somebody knocks, and the question itself is what kills the thread that should answer it."""

    async def check(head: Head) -> None:
        assert head.door.keyring is not None
        head.door.keyring._nodes = None  # type: ignore[assignment]  # the bug
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            ClientSide(KeyPair.make(), head.info.head_key).apply(dealer)
            dealer.connect(head.info.node)
            async with asyncio.timeout(20):
                assert await head.until(Stop()) == EXIT_BUG
        lost = head._failure.result()
        assert isinstance(lost, DoorkeeperLost)
        assert "TypeError" in str(lost)

    with_head(tmp_path, check, curve=True)


def test_a_doorkeeper_that_is_gone_without_a_word_is_missed(tmp_path: Path) -> None:
    async def check(head: Head) -> None:
        head.door.check()
        assert not head._failure.done()
        assert head.door._doorkeeper is not None
        head.door._doorkeeper._thread = type("Dead", (), {"is_alive": lambda _: False, "ident": None})()
        head.door.check()
        assert isinstance(head._failure.result(), DoorkeeperLost)

    with_head(tmp_path, check, curve=True)

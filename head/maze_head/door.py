"""The way into the head's ZeroMQ sockets: for anybody who speaks ZeroMQ, or for those with known keys (docs/adr/0025).

There is a doorkeeper, and one object, either way, so that nobody else asks whether connections are authenticated. In
order: made before anything is bound, `start` when the journal has told whose keys were authorised, `check` a few times
per second, `close` last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import zmq

from maze._daemon.keys import KeyPair
from maze._daemon.zap import NODES, Doorkeeper
from maze_head.core.effects import AppendCluster, SaveGraph
from maze_head.errors import DoorkeeperLost
from maze_head.keyring import Keyring, local_key_file

__all__ = ["Door"]


class Door:
    """Who may connect. Made and used on the event loop."""

    def __init__(
        self,
        state_dir: Path,
        context: zmq.Context[zmq.Socket[bytes]],
        failed: Callable[[BaseException], None],
        *,
        guarded: bool,
    ) -> None:
        """Put a doorkeeper there; `guarded`: connections are to be authenticated.

        Raises:
            KeysUnusable: keys cannot be made, read or trusted.
        """
        self._state_dir = state_dir
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self.keyring = Keyring.open(state_dir) if guarded else None
        self._doorkeeper = Doorkeeper(context, self.keyring.admits if self.keyring else _anybody, self._lost)

    @property
    def pair(self) -> KeyPair | None:
        """Return the head's pair; None: without CURVE."""
        return self.keyring.head if self.keyring else None

    @property
    def local_key(self) -> str:
        """Return the key of nodes of the head's own user; "" without CURVE."""
        return self.keyring.local if self.keyring else ""

    @property
    def admits_nodes(self) -> Callable[[str], bool] | None:
        """Return what tells whether a key may speak as a node; None: connections have none."""
        return partial(self.keyring.admits, NODES) if self.keyring else None

    def may_read(self, key: str) -> bool:
        """Tell whether a key may subscribe to publications."""
        return self.keyring is None or self.keyring.may_read(key)

    def told(self) -> dict[str, str]:
        """Return what the connection file says, for processes of our own user."""
        if self.keyring is None:
            return {}
        return {"head_key": self.keyring.head.public, "node_key_file": str(local_key_file(self._state_dir).resolve())}

    def start(self, nodes: Mapping[str, str]) -> None:
        """Let in whom we know: node ids by key, from the journal."""
        if self.keyring is not None:
            self.keyring.restore(nodes)
        self._doorkeeper.start()

    def note(self, facts: Iterable[SaveGraph | AppendCluster]) -> None:
        """Take over which keys were authorised and revoked, when that is committed."""
        for fact in facts:
            if self.keyring is None or not isinstance(fact, AppendCluster):
                continue
            if fact.kind == "node_authorised":
                self.keyring.authorise(fact.body["key"], fact.body["node_id"])
            elif fact.kind == "node_revoked":
                self.keyring.revoke(fact.body["key"])

    def check(self) -> None:
        """Notice that the doorkeeper is gone, whatever became of it."""
        if not self._doorkeeper.alive:
            self._failed(DoorkeeperLost("nobody says any more who may connect: the thread for it has ended"))

    def close(self) -> None:
        """End; all sockets are closed by now."""
        self._doorkeeper.close()

    def counters(self) -> dict[str, int | float]:
        """Return what was counted."""
        return {f"connections_{name}_total": value for name, value in self._doorkeeper.counts.copy().items()}

    def _lost(self, error: BaseException) -> None:
        """Take note, on the doorkeeper's thread, that it ends."""
        lost = DoorkeeperLost(f"nobody says any more who may connect: {error!r}")
        lost.__cause__ = error
        with suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._failed, lost)


def _anybody(domain: str, key: str) -> bool:
    """Let in whoever speaks ZeroMQ: the address keeps strangers out."""
    return True

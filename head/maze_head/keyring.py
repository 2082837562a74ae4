"""The head's keys, and whose may connect to it: asked by the doorkeeper's thread, told by the event loop.

Rules
* Two pairs lie in `keys/` of the state directory: `head.key`, by which this head is known, and `local.key`, for nodes
  that its own user starts on this machine. Who can read the second one could read the first as well, and the journal.
* Nodes of other machines have keys of their own; the core knows them and binds each to one node id (core/keys.py). Here
  they are known from the commit on that authorised them, until the one that revoked them.
* Readers of publications show a token over HTTP, and get in by a key of their own for READ_SECONDS; a restarted head
  knows none of them, and they come again.
* A dictionary is read by one thread while another one changes it, a key at a time: that is as safe as a lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from maze._daemon.errors import SecretUnusable
from maze._daemon.keys import KeyPair, load_or_make_pair
from maze._daemon.zap import EVENTS, NODES
from maze_head.errors import KeysUnusable

__all__ = ["KEYS_DIRECTORY", "Keyring", "local_key_file"]

KEYS_DIRECTORY: Final = "keys"
READ_SECONDS: Final = 3600.0
StillGood = Callable[[], bool]
NOBODY: Final[tuple[float, StillGood]] = (0.0, lambda: False)
MAX_READERS: Final = 10_000
"""Above it the oldest key of a reader counts no more."""


def local_key_file(state_dir: Path) -> Path:
    """Return where the key lies that nodes of the head's own user have."""
    return state_dir / KEYS_DIRECTORY / "local.key"


class Keyring:
    """All keys that a head knows."""

    def __init__(self, head: KeyPair, local: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.head = head
        self.local = local
        self._clock = clock
        self._nodes: dict[str, str] = {}
        self._readers: dict[str, tuple[float, StillGood]] = {}
        """Until when each counts, in the order of their coming, and what tells whether it still does."""

    @classmethod
    def open(cls, state_dir: Path) -> Keyring:
        """Read the pairs of a state directory; those that are missing are made.

        Raises:
            KeysUnusable: they cannot be made, read or trusted.
        """
        directory = state_dir / KEYS_DIRECTORY
        try:
            return cls(load_or_make_pair(directory / "head.key"), load_or_make_pair(local_key_file(state_dir)).public)
        except SecretUnusable as error:
            raise KeysUnusable(f"{error.path} {error.trouble}", remedy=error.remedy) from error

    def restore(self, nodes: Mapping[str, str]) -> None:
        """Take over the keys of nodes that the journal knows: node ids by key."""
        self._nodes.update(nodes)

    def authorise(self, key: str, node_id: str) -> None:
        """Let a node connect."""
        self._nodes[key] = node_id

    def revoke(self, key: str) -> None:
        """Let a node connect no more."""
        self._nodes.pop(key, None)

    def let_read(self, key: str, still_good: StillGood) -> float:
        """Let somebody subscribe; return for how many seconds.

        Args:
            key: of the reader.
            still_good: tells whether the token that was shown for it is; asked on any thread.
        """
        now = self._clock()
        self._readers.pop(key, None)
        while self._readers and (len(self._readers) >= MAX_READERS or next(iter(self._readers.values()))[0] <= now):
            del self._readers[next(iter(self._readers))]
        self._readers[key] = now + READ_SECONDS, still_good
        return READ_SECONDS

    def may_read(self, key: str) -> bool:
        """Tell whether a key may subscribe to publications now."""
        until, still_good = self._readers.get(key, NOBODY)
        return key == self.local or (until > self._clock() and still_good())

    def admits(self, domain: str, key: str) -> bool:
        """Tell whether a key may connect to the sockets of a domain."""
        if domain == EVENTS:
            return self.may_read(key)
        return key == self.local or (domain == NODES and key in self._nodes)

"""Where the head is, by which key it is known, and by which key this node says who it is.

Rules
* A node of the head's own user on the head's machine uses the head's local key, which the connection file names. Any
  other has a pair of its own in its directory, made at the first need and never sent anywhere but its public half.
* A head whose key is known is spoken to with CURVE or not at all.
* What `maze-node join` was told lies beside the node's own pair (`head.json`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, NamedTuple

from maze._daemon.config import node_dir
from maze._daemon.connection import ConnectionInfo
from maze._daemon.curve import ClientSide
from maze._daemon.errors import SecretUnusable
from maze._daemon.keys import KeyPair, load_or_make_pair, load_pair
from maze._daemon.secret_files import read_secret

__all__ = ["HeadAddress", "JOINED", "Joined", "address_of", "by_connection", "own_pair", "read_joined"]

PAIR: Final = "node.key"
JOINED: Final = "head.json"


class HeadAddress(NamedTuple):
    """How the head is reached."""

    endpoint: str
    side: ClientSide | None = None
    """This node's pair and the head's key; None: without CURVE."""

    @property
    def pair(self) -> KeyPair | None:
        """Return the pair by which this node is known there."""
        return None if self.side is None else self.side.pair


class Joined(NamedTuple):
    """A head that this node was authorised at."""

    endpoint: str
    head_key: str
    node_id: str
    url: str


def read_joined(directory: Path | None) -> Joined | None:
    """Return where a node has joined, if it has.

    Raises:
        SecretUnusable: the file that tells it cannot be trusted.
    """
    path = (directory or node_dir()) / JOINED
    if not os.path.lexists(path):
        return None
    try:
        told = json.loads(read_secret(path))
        return Joined(*(str(told[name]) for name in Joined._fields))
    except (ValueError, TypeError, KeyError) as error:
        raise SecretUnusable(path, "is damaged", "join again") from error


def own_pair(directory: Path | None) -> KeyPair:
    """Return a node's own pair, made now if there is none.

    Raises:
        SecretUnusable: it cannot be made, read or trusted.
    """
    return load_or_make_pair((directory or node_dir()) / PAIR)


def address_of(endpoint: str, head_key: str, directory: Path | None) -> HeadAddress:
    """Return the way to a head that was named."""
    return HeadAddress(endpoint, ClientSide(own_pair(directory), head_key) if head_key else None)


def by_connection(info: ConnectionInfo, directory: Path | None) -> HeadAddress:
    """Return the way to a head that wrote a connection file."""
    if not info.head_key:
        return HeadAddress(info.node)
    local = Path(info.node_key_file)
    # On another machine the connection file may be there, in a shared home, but not the head's directory.
    pair = load_pair(local) if info.node_key_file and os.access(local, os.F_OK) else own_pair(directory)
    return HeadAddress(info.node, ClientSide(pair, info.head_key))

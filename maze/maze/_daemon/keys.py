"""Key pairs of CURVE, and the files in which a daemon keeps its own (secret_files.py has the rules for those).

A public key is 40 characters of Z85, as text, wherever it is told. A secret leaves its file only for a socket.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from maze._daemon.errors import SecretUnusable
from maze._daemon.secret_files import create_secret, private_directory, read_secret
from maze_protocol.keys import is_key

__all__ = ["KeyPair", "load_or_make_pair", "load_pair"]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public key and its secret."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls) -> Self:
        """Return a new pair."""
        import zmq  # what a daemon is told on its command line needs no sockets

        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


def load_or_make_pair(path: Path) -> KeyPair:
    """Return the pair of a file, which is made first if there is none, in a private directory.

    Raises:
        SecretUnusable: it cannot be made, read or trusted.
    """
    if not os.path.lexists(path):
        try:
            path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SecretUnusable(path, f"cannot be made ({error.strerror})", "give a writable directory") from error
        private_directory(path.parent)
        pair = KeyPair.make()
        # If another process of ours was quicker, its pair counts.
        create_secret(path, f"{pair.public} {pair.secret}")
    return load_pair(path)


def load_pair(path: Path) -> KeyPair:
    """Return the pair of a file.

    Raises:
        SecretUnusable: it cannot be read or trusted.
    """
    words = read_secret(path).split()
    if len(words) != 2 or not all(map(is_key, words)):
        raise SecretUnusable(path, "holds no key pair", "remove it to have a new one made")
    return KeyPair(*words)

"""Key pairs of CURVE, and the files in which a daemon keeps its own.

Rules
* A file holds one pair. It is made with mode 0600 in a directory of mode 0700, never over another one, never through
  a symbolic link; a file that others can read, or that another user owns, is refused: its secret may be known.
* A public key is 40 characters of Z85, as text, wherever it is told. A secret leaves its file only for a socket.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from maze._daemon.errors import KeyFileUnusable
from maze_protocol.keys import is_key

__all__ = ["KeyPair", "load_or_make_pair", "load_pair", "private_directory", "read_private", "write_private"]

_MAX_BYTES: Final = 65_536
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public key and its secret."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls) -> Self:
        """Return a new pair."""
        import zmq

        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


def load_or_make_pair(path: Path) -> KeyPair:
    """Return the pair of a file, which is made first if there is none.

    Raises:
        KeyFileUnusable: it cannot be made, read or trusted.
    """
    if not path.exists():
        private_directory(path.parent)
        pair = KeyPair.make()
        try:
            write_private(path, json.dumps({"public": pair.public, "secret": pair.secret}).encode() + b"\n")
        except FileExistsError:
            pass  # another process of ours was quicker
        except OSError as error:
            raise KeyFileUnusable(path, f"cannot be written ({error.strerror})") from error
    return load_pair(path)


def load_pair(path: Path) -> KeyPair:
    """Return the pair of a file.

    Raises:
        KeyFileUnusable: it cannot be read or trusted.
    """
    text = read_private(path)
    try:
        told = json.loads(text)
        pair = KeyPair(told["public"], told["secret"])
    except (ValueError, TypeError, KeyError) as error:
        raise KeyFileUnusable(path, "holds no key pair", "remove it to have a new one made") from error
    if not (is_key(pair.public) and is_key(pair.secret)):
        raise KeyFileUnusable(path, "holds no key pair", "remove it to have a new one made")
    return pair


def private_directory(path: Path) -> None:
    """Make a directory that only its owner can use, and refuse one that others can change.

    Raises:
        KeyFileUnusable: it cannot be made, or others can write there.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise KeyFileUnusable(path, f"cannot be made ({error.strerror})") from error
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyFileUnusable(path, "can be changed by others", f"chmod 700 {path}, or use another directory")


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        FileExistsError: there is one already.
        OSError: it cannot be written; nothing is left behind.
    """
    # Under a name of its own first: a reader finds all of it or nothing.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path, follow_symlinks=False)
    finally:
        temporary.unlink()


def read_private(path: Path) -> bytes:
    """Return what a file says that only we can have written and read.

    Raises:
        KeyFileUnusable: it cannot be read, belongs to another user, or others can read it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise KeyFileUnusable(path, f"cannot be read ({error.strerror})") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise KeyFileUnusable(path, "is no file of this user", "remove it, and see who put it there")
        if status.st_mode & _OTHERS:
            raise KeyFileUnusable(path, "can be read by others", f"chmod 600 {path} if nobody else has seen it")
        return os.read(handle, _MAX_BYTES)
    finally:
        os.close(handle)

"""The connection file: how commands and clients on one machine find the head.

Rules. It is written whole or not at all (temporary file, fsync, rename) with mode 0600, and removed on a clean stop by
the process that wrote it only. A reader trusts it as it trusts a command line, so it ignores a file that another user
owns or that others can write: it would name a head of their choice. It names files of secrets and holds none. Readers
ignore unknown fields.

A head also enters its file into a list of this user's heads on this machine, by port: whoever names the address of one
that keeps its state elsewhere, or is embedded, finds its token by it (access.py), and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from maze._daemon.config import load_config, state_dir, user_state
from maze._daemon.errors import SecretUnusable
from maze._daemon.secret_files import private_directory

__all__ = [
    "DEFAULT_URL", "ConnectionInfo", "default_path", "enlist", "find_own_url", "find_url", "listed", "read_connection",
    "remove_connection", "write_connection",
]  # fmt: skip

DEFAULT_URL: Final = "http://localhost:8000"
_MAX_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """Where a head listens. `node`, `blob` and `events` are `tcp://host:port`."""

    url: str
    node: str
    blob: str
    events: str
    pid: int
    cluster_id: str = ""
    embedded: bool = False
    head_key: str = ""
    """The head's public key: what is said to the last three addresses is authenticated by it; "": it is not."""
    node_key_file: str = ""
    """By which key nodes of the head's own user say who they are."""
    listens: str = ""
    """The address that the head is bound to; a wildcard for all of its machine."""
    token_file: str = ""
    """Where its user's programs find the token that it wants; empty if it wants none."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConnectionInfo:
        """Build it from a READY line or a file, ignoring unknown fields.

        Raises:
            ValueError: a field is missing or has the wrong type.
        """
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        try:
            info = cls(**known)
        except TypeError as error:
            raise ValueError(f"connection information is incomplete: {error}") from error
        _check_types(info)
        return info

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary, as they stand in the file and in the READY line."""
        return asdict(self)


def default_path() -> Path:
    """Return the connection file as configured, else `connection.json` in the state directory."""
    named = os.environ.get("MAZE_CONNECTION_FILE") or load_config("head").get("connection_file")
    return Path(named) if named else state_dir() / "connection.json"


def find_url() -> str:
    """Return the head to talk to when none is named: the user's own, else the default address."""
    return find_own_url() or DEFAULT_URL


def find_own_url() -> str | None:
    """Return the head this user was told of: `MAZE_URL`, `url` of a configuration file, the connection file."""
    named = os.environ.get("MAZE_URL") or load_config("head").get("url")
    if named:
        return str(named)
    info = read_connection(default_path())
    return None if info is None else info.url


def write_connection(path: Path, info: ConnectionInfo) -> None:
    """Put the file in place in one step, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file 0600 whatever the umask is.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(info.to_dict(), indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def enlist(path: Path, info: ConnectionInfo) -> Callable[[], None]:
    """Enter a connection file into the list of this user's heads; return what takes it out again.

    A convenience: where no list can be kept, programs must be told the file.
    """
    try:
        entry = listed(urlsplit(info.url).port or 0)
    except RuntimeError:  # a user without a home
        return lambda: None
    temporary = entry.with_name(f".{entry.name}.{os.getpid()}")
    with contextlib.suppress(OSError, SecretUnusable):
        entry.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_directory(entry.parent)
        _forget_dead(entry.parent)
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(path.absolute())
        temporary.replace(entry)
    return partial(_delist, entry, path.absolute())


def listed(port: int) -> Path:
    """Return where the head of this user that has this port on this machine is entered, if there is one."""
    return user_state() / "heads" / f"{socket.gethostname()}-{port}.json"


def _delist(entry: Path, path: Path) -> None:
    with contextlib.suppress(OSError):
        if entry.readlink() == path:
            entry.unlink()


def _forget_dead(directory: Path) -> None:
    """Remove entries whose file is gone."""
    for entry in directory.glob("*.json"):
        if not entry.exists():
            entry.unlink(missing_ok=True)


def read_connection(path: Path) -> ConnectionInfo | None:
    """Return what the file says; None if it is absent, malformed, or not safely ours."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        text = os.read(handle, _MAX_BYTES) if _ours(os.fstat(handle)) else b""
        return ConnectionInfo.from_dict(json.loads(text))
    except (ValueError, TypeError, AttributeError, OSError, RecursionError):
        return None
    finally:
        os.close(handle)


def remove_connection(path: Path, pid: int) -> None:
    """Remove the file if the process `pid` wrote it; a successor's file stays."""
    info = read_connection(path)
    if info is not None and info.pid == pid:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _ours(status: os.stat_result) -> bool:
    if not stat.S_ISREG(status.st_mode):
        return False
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _check_types(info: ConnectionInfo) -> None:
    texts = (
        info.url, info.node, info.blob, info.events, info.cluster_id, info.head_key, info.node_key_file, info.listens,
        info.token_file,
    )  # fmt: skip
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("connection information: addresses must be texts")
    if type(info.pid) is not int or type(info.embedded) is not bool:
        raise ValueError("connection information: pid must be a number, embedded true or false")

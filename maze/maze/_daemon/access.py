"""Which token a head wants, as a program of its user finds it: standard library only, for the SDK and the commands.

The order, first match wins:

1. `MAZE_TOKEN`, the token itself;
2. `MAZE_TOKEN_FILE`, a file with it;
3. the connection file, if it is that of the head at this address; then this user's list of heads on this machine;
4. `~/.config/maze/token`, a file with it.

Rules. A token that was found by a connection file goes to the address that this file tells, and never elsewhere: for
`localhost` that address is used, since another user may listen on its other one; and a head that has died is none,
since anybody may listen where it did. The tokens of 1, 2 and 4 go to whichever head the program names. A file that is
named and cannot be used is an error, and nothing is tried in its place.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from maze._daemon.config import user_config
from maze._daemon.connection import ConnectionInfo, default_path, listed, read_connection
from maze._daemon.errors import SecretUnusable
from maze._daemon.secret_files import read_secret

if TYPE_CHECKING:
    import ssl

__all__ = ["TOKEN", "TOKEN_FILE", "Access", "access_by", "bearer", "find_access", "tls_context"]

TOKEN: Final = "MAZE_TOKEN"  # noqa: S105 -- the name of a variable
CA: Final = "MAZE_CA"
TOKEN_FILE: Final = "MAZE_TOKEN_FILE"  # noqa: S105 -- the name of a variable
_ALPHABET: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
"""RFC 6750; nothing that would end a header."""
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- compared, not bound
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Access:
    """Where a head is asked, and what is shown to it."""

    url: str
    token: str = ""
    """Empty if none was found."""
    source: str = ""
    """Where it was found, in words."""

    def __repr__(self) -> str:
        """Leave the token out: this may end up in a log."""
        return f"Access({self.url!r}, source={self.source!r})"


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token; none for no token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def find_access(url: str) -> Access:
    """Return how the head at `url` is to be asked.

    Raises:
        SecretUnusable: a token file that is named cannot be used, or holds no token.
    """
    named = os.environ.get(TOKEN, "").strip()
    if named:
        return Access(url, _checked(named, TOKEN), TOKEN)
    file = os.environ.get(TOKEN_FILE)
    if file:
        return access_by(url, Path(file), f"{file} ({TOKEN_FILE})")
    return _of_connection(url) or _of_user(url)


def access_by(url: str, file: Path, source: str = "") -> Access:
    """Return how the head at `url` is to be asked with the token of a file.

    Raises:
        SecretUnusable: the file cannot be used, or holds no token.
    """
    return Access(url, _checked(read_secret(file), str(file)), source or str(file))


def tls_context(url: str) -> ssl.SSLContext | None:
    """Return what certificates of an https URL are checked against: those of `MAZE_CA`, else the system's.

    Raises:
        SecretUnusable: `MAZE_CA` names no file of certificates.
    """
    if not url.startswith("https:"):
        return None
    import ssl  # most heads are spoken to without, and commands start at once

    file = os.environ.get(CA) or None
    try:
        context = ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise SecretUnusable(Path(file or CA), "holds no certificates", f"let {CA} name a PEM file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _of_connection(url: str) -> Access | None:
    asked = urlsplit(url)
    try:
        files = [default_path(), listed(_port(asked))]
    except RuntimeError:  # a user without a home
        return None
    for file in files:
        info = read_connection(file)
        place = None if info is None else _place(asked, info)
        if info is not None and place is not None and info.token_file:
            return access_by(place, Path(info.token_file))
    return None


def _of_user(url: str) -> Access:
    try:
        file = user_config() / "token"
    except RuntimeError:  # a user without a home
        return Access(url)
    return access_by(url, file) if file.exists() else Access(url)


def _checked(token: str, where: str) -> str:
    if _ALPHABET.fullmatch(token) is None:
        raise SecretUnusable(Path(where), "holds no token", "put in what `maze-head token create` printed")
    return token


def _place(asked: SplitResult, info: ConnectionInfo) -> str | None:
    """Return where the head of a connection file is asked, if it is the one that was asked for."""
    told = urlsplit(info.url)
    if asked.path or asked.scheme != told.scheme or _port(asked) != _port(told):
        return None
    if not _is_local(asked.hostname):
        return asked.geturl() if asked.hostname == told.hostname else None
    bound = _ANY.get(info.listens, info.listens or told.hostname or "")
    if not _is_local(bound) or not _lives(info.pid):
        return None
    if asked.scheme == "https":
        return asked.geturl()  # its certificate says who answers, and may not hold for an address
    host = f"[{bound}]" if ":" in bound else bound
    return f"http://{host}:{_port(asked)}"


def _port(parts: SplitResult) -> int:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def _is_local(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _lives(pid: int) -> bool:
    """Tell whether this user has such a process."""
    if os.name != "posix":
        return False  # where only the client runs, no head does; and `kill` is no question there
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True

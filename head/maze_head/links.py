"""The table of links: one per TCP connection of the node port, keyed by the routing id that the ROUTER gave it.

A link is live while its session is; all others are strangers: not yet admitted, refused, or over. Strangers are
bounded in number and age, live links are bounded by the file descriptors of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from maze_protocol.session import HeadSession, SessionState

__all__ = ["Link", "LinkTable"]

MAX_STRANGERS: Final = 1024
STRANGER_SECONDS: Final = 30.0
"""How long a silent stranger is remembered, so that its session can repeat its last word."""


class Link:
    """One connection and its session."""

    __slots__ = ("fd", "greeted", "heard_at", "id", "key", "session", "strikes")

    def __init__(self, link_id: bytes, fd: int, now: float, key: str = "") -> None:
        self.id = link_id
        self.fd = fd
        self.key = key
        """By which the connection was authenticated; "" without CURVE."""
        self.session = HeadSession(now)
        self.heard_at = now
        self.greeted = False
        """The core knows of this link."""
        self.strikes = 0

    @property
    def live(self) -> bool:
        """Tell whether a session is open."""
        return self.session.state is SessionState.LIVE


class LinkTable:
    """All links, live ones apart."""

    def __init__(self) -> None:
        self._live: dict[bytes, Link] = {}
        self._strangers: dict[bytes, Link] = {}
        self._by_fd: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._live) + len(self._strangers)

    @property
    def live(self) -> int:
        """Return how many sessions are open."""
        return len(self._live)

    def get(self, link_id: bytes) -> Link | None:
        """Return a link, or None."""
        return self._live.get(link_id) or self._strangers.get(link_id)

    def by_fd(self, fd: int) -> Link | None:
        """Return the link of a descriptor, or None."""
        link_id = self._by_fd.get(fd)
        return None if link_id is None else self.get(link_id)

    def add(self, link: Link) -> Link | None:
        """Take in a stranger; return the oldest one if it had to make room."""
        self._strangers[link.id] = link
        if link.fd >= 0:
            self._by_fd[link.fd] = link.id
        if len(self._strangers) <= MAX_STRANGERS:
            return None
        oldest = next(iter(self._strangers.values()))
        self.remove(oldest)
        return oldest

    def sort(self, link: Link) -> None:
        """Put a link where the state of its session belongs."""
        here, there = (self._live, self._strangers) if link.live else (self._strangers, self._live)
        if there.pop(link.id, None) is not None:
            here[link.id] = link

    def remove(self, link: Link) -> None:
        """Forget a link."""
        self._live.pop(link.id, None)
        self._strangers.pop(link.id, None)
        if self._by_fd.get(link.fd) == link.id:
            del self._by_fd[link.fd]

    def strangers(self) -> list[Link]:
        """Return all links without an open session."""
        return list(self._strangers.values())

    def all(self) -> Iterator[Link]:
        """Yield all links."""
        yield from list(self._live.values())
        yield from list(self._strangers.values())

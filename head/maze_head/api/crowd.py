"""How many connections there may be, and who has to go. Pure: the clock is the caller's; a connection is any key.

Rules. A connection is a stranger until its first request was admitted. Strangers are bounded: beyond STRANGERS the one
that came first goes, if it had STRANGER_SECONDS for its request; so whoever opens connections and says nothing makes
room for those who speak. Of all connections there are at most `limit`, of one address other than this machine's a
quarter of that, and of one token other than an admin's a half: nobody shuts the others out. Where all places are
taken by admitted ones, who comes is refused.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from maze_head.tokens import ADMIN, Token

__all__ = ["CONNECTIONS", "STRANGERS", "STRANGER_SECONDS", "Crowd"]

CONNECTIONS: Final = 4096
STRANGERS: Final = 256
STRANGER_SECONDS: Final = 1.0

Key = TypeVar("Key", bound=Hashable)


class Crowd(Generic[Key]):
    """The connections that are open."""

    def __init__(self, limit: int = CONNECTIONS) -> None:
        self._limit = limit
        self._strangers: OrderedDict[Key, float] = OrderedDict()
        """When they came, the first first."""
        self._addresses: dict[Key, str] = {}
        self._tokens: dict[Key, Token | None] = {}
        self._by_address: Counter[str] = Counter()
        self._by_token: Counter[Token] = Counter()

    def __len__(self) -> int:
        return len(self._addresses)

    def arrive(self, key: Key, address: str, now: float) -> list[Key]:
        """Count a connection that was opened; return those that have to go, maybe this one."""
        self._addresses[key] = address
        self._by_address[address] += 1
        self._strangers[key] = now
        if self._by_address[address] > self._limit // 4 and not _is_loopback(address):
            return [key]
        over_limit = len(self._addresses) > self._limit
        if not over_limit and len(self._strangers) <= STRANGERS:
            return []
        first, came = next(iter(self._strangers.items()))
        if first != key and (over_limit or now - came >= STRANGER_SECONDS):
            return [first]
        return [key] if over_limit else []

    def admit(self, key: Key, token: Token | None) -> bool:
        """Note that a request of a connection was admitted; False if its token has too many connections."""
        self._strangers.pop(key, None)
        before = self._tokens.get(key)
        if key not in self._addresses or before == token:
            return True
        self._forget_token(key)
        if token is None:
            return True
        self._tokens[key] = token
        self._by_token[token] += 1
        return token.scope == ADMIN or self._by_token[token] <= self._limit // 2

    def leave(self, key: Key) -> None:
        """Forget a connection that was closed."""
        address = self._addresses.pop(key, None)
        if address is None:
            return
        self._strangers.pop(key, None)
        self._forget_token(key)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def of_tokens(self) -> list[tuple[Key, Token]]:
        """Return the connections that showed a token, and which."""
        return [(key, token) for key, token in self._tokens.items() if token is not None]

    def _forget_token(self, key: Key) -> None:
        token = self._tokens.pop(key, None)
        if token is not None:
            self._by_token[token] -= 1
            if not self._by_token[token]:
                del self._by_token[token]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False

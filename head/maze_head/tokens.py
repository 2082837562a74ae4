"""Tokens and what they allow. Pure: files are token_store.py's, requests api/access.py's.

Rules. A token is 256 random bits as text; what is kept of it is its SHA-256, which needs no salt since nobody can guess
the text. It is looked up by that digest, so how long a look-up takes says nothing about any token, and the digest found
is compared in constant time all the same. A scope is a fixed set of rights; whoever may submit can run any code as the
user of the nodes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["ADMIN", "NODE_JOIN", "READ", "SCOPES", "SUBMIT", "Token", "TokenBook", "TokenFinding", "digest_of"]

READ: Final = "read"
SUBMIT: Final = "submit"
ADMIN: Final = "admin"
NODE_JOIN: Final = "node-join"
RIGHTS: Final[dict[str, frozenset[str]]] = {
    READ: frozenset({READ}),
    SUBMIT: frozenset({READ, SUBMIT}),
    ADMIN: frozenset({READ, SUBMIT, ADMIN, NODE_JOIN}),
    NODE_JOIN: frozenset({NODE_JOIN}),
}
"""What each scope allows."""
SCOPES: Final = tuple(RIGHTS)
ID_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token."""

    digest: bytes
    scope: str
    name: str = ""
    created_at: float = 0.0
    """Unix seconds."""

    @property
    def id(self) -> str:
        """Return a short name for lists; nothing of the token can be told from it."""
        return self.digest.hex()[:ID_LENGTH]

    def allows(self, scope: str) -> bool:
        """Tell whether it may do what needs `scope`."""
        return scope in RIGHTS[self.scope]


class TokenFinding(Protocol):
    """The tokens, as whoever admits requests sees them."""

    def find(self, text: str) -> Token | None:
        """Return the good token that this text is, or None."""

    def holds(self, token: Token) -> bool:
        """Tell whether a token that was found once is still good."""

    def spending(self, token: Token) -> AbstractContextManager[None]:
        """Use a token that is good for one thing, once.

        Raises:
            TokensUnusable: it is being used, or was.
        """


class TokenBook:
    """All tokens that are good at a time."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._by_digest = {token.digest: token for token in tokens}

    def find(self, text: str) -> Token | None:
        """Return the token that this text is, or None."""
        digest = digest_of(text)
        token = self._by_digest.get(digest)
        return token if token is not None and hmac.compare_digest(token.digest, digest) else None

    def holds(self, token: Token) -> bool:
        """Tell whether a token that was found once is still good."""
        return self._by_digest.get(token.digest) == token


def digest_of(text: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

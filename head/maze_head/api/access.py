"""Who may ask for what: a token of the right scope on every request, before an upgrade and before the body is read.

Deny by default. The scope that a request needs is that of its route in the table; whatever is not in the table, what
has no route at all included, needs ADMIN or at least some good token. Only what answers OPEN paths needs none, and the
original's routes where the operator opened them. A token travels in the Authorization header only: one in a URL would
end up in logs and histories, so it is not looked for there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from maze_head.api.errors import Forbidden, Unauthorized
from maze_head.tokens import ADMIN, Token

__all__ = ["OPEN", "Scopes", "TokenFinding", "admit", "require", "token_of"]

OPEN: Final = ""
"""The scope of what needs no token."""
HINT: Final = (
    "send `Authorization: Bearer TOKEN`; the SDK and the commands take it from MAZE_TOKEN, MAZE_TOKEN_FILE or the "
    "connection file of a head of the same user, and `maze-head token create` makes one for others"
)
_KEY: Final = web.RequestKey("token", Token)

Scopes = Mapping[tuple[str, str], str]
"""By method and path of a route: what it needs."""


class TokenFinding(Protocol):
    """The tokens, as the API sees them."""

    def find(self, text: str) -> Token | None:
        """Return the good token that this text is, or None."""

    def holds(self, token: Token) -> bool:
        """Tell whether a token that was found once is still good."""

    def spending(self, token: Token) -> AbstractContextManager[None]:
        """Use a token that is good for one thing, once.

        Raises:
            TokensUnusable: it is being used, or was.
        """


def token_of(request: web.Request) -> Token | None:
    """Return the token that a request came with; None if it needed none."""
    return request.get(_KEY)


def admit(tokens: TokenFinding | None, scopes: Scopes) -> Middleware:
    """Make the middleware; without `tokens` everybody is admitted."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        scope = _needed(request, scopes)
        if tokens is not None and scope != OPEN:
            request[_KEY] = _shown(request, tokens)
            require(request, scope)
        return await handler(request)

    return check


def require(request: web.Request, scope: str) -> None:
    """Make sure that the token of an admitted request allows something.

    Raises:
        Forbidden: it does not.
    """
    token = token_of(request)
    if token is not None and not token.allows(scope):
        message = f"this needs a token of scope {scope}, and this one is for {token.scope}"
        raise Forbidden("insufficient_scope", message, hint="`maze-head token create --scope SCOPE` makes others")


def _needed(request: web.Request, scopes: Scopes) -> str:
    resource = request.match_info.route.resource
    path = "" if resource is None else resource.canonical
    return scopes.get((request.method, path), ADMIN)


def _shown(request: web.Request, tokens: TokenFinding) -> Token:
    """Return the token of a request.

    Raises:
        Unauthorized: it shows none, or none that is good.
    """
    scheme, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise Unauthorized("unauthorized", "this head answers only who shows a token", HINT)
    token = tokens.find(text.strip())
    if token is None:
        raise Unauthorized("unauthorized", "the token is not one of this head's, or was revoked", HINT)
    return token

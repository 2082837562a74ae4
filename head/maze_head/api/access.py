"""Who may ask for what: a token of the right scope on every request, before an upgrade and before the body is read.

Deny by default. The scope that a request needs is that of its route in the table; whatever is not in the table, what
has no route at all included, needs ADMIN or at least some good token. Only what answers OPEN paths needs none, and the
original's routes where the operator opened them. A token travels in the Authorization header only: one in a URL would
end up in logs and histories, so it is not looked for there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from maze_head.api.call import Traffic
from maze_head.api.connection import Connection
from maze_head.api.errors import Forbidden, TooManyFailures, Unauthorized
from maze_head.api.failures import Failures
from maze_head.core.errors import Unavailable
from maze_head.tokens import ADMIN, Token, TokenFinding

__all__ = ["OPEN", "Scopes", "admit", "require", "token_of"]

log = logging.getLogger(__name__)

OPEN: Final = ""
"""The scope of what needs no token."""
HINT: Final = (
    "send `Authorization: Bearer TOKEN`; the SDK and the commands take it from MAZE_TOKEN, MAZE_TOKEN_FILE or the "
    "connection file of a head of the same user, and `maze-head token create` makes one for others"
)
_KEY: Final = web.RequestKey("token", Token)

Scopes = Mapping[tuple[str, str], str]
"""By method and path of a route: what it needs."""


def token_of(request: web.Request) -> Token | None:
    """Return the token that a request came with; None if it needed none."""
    return request.get(_KEY)


def admit(tokens: TokenFinding | None, scopes: Scopes, traffic: Traffic) -> Middleware:
    """Make the middleware; without `tokens` everybody is admitted."""
    failures = Failures()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        scope = _needed(request, scopes)
        if tokens is None:
            _let_in(request, None)
        elif scope != OPEN:
            try:
                token = request[_KEY] = _shown(request, tokens)
            except Unauthorized as refusal:
                traffic.unauthorized_total += 1
                raise _judged(refusal, request, failures) from None
            require(request, scope)
            _let_in(request, token)
        return await handler(request)

    return check


def _let_in(request: web.Request, token: Token | None) -> None:
    protocol = request.protocol
    if isinstance(protocol, Connection) and not protocol.admit(token):
        raise Unavailable("too_many_connections", "this token has too many connections", hint="close some of them")


def _judged(refusal: Unauthorized, request: web.Request, failures: Failures) -> Unauthorized:
    """Return what somebody is told who showed no good token."""
    address = request.remote or ""
    verdict = failures.count(address, time.monotonic())
    if verdict.tell:
        log.warning("requests without a good token, again and again", extra={"address": address})
    return TooManyFailures("too_many_failures", refusal.message, HINT) if verdict.too_many else refusal


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

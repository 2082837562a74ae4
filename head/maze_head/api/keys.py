"""Keys: nodes of other machines are authorised, listed and revoked; readers of publications are let in.

A node that joins sends the public half of a pair that it made, and learns which key the head has. A token that is for
joining only is good for one node.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from maze_head.api.access import token_of
from maze_head.api.call import Call
from maze_head.api.errors import Unauthorized
from maze_head.core.errors import Conflict, Invalid
from maze_head.core.events import AuthoriseNode, ListKeys, RevokeNode
from maze_head.errors import TokensUnusable
from maze_head.tokens import NODE_JOIN
from maze_protocol.enrolment import EventKeyBody, EventKeyRequest, NodeKeyBody, NodeKeyList, NodeKeyRequest
from maze_protocol.keys import is_key

__all__ = ["join", "list_all", "read", "revoke"]


async def join(call: Call) -> NodeKeyBody:
    """Authorise a node; it may connect from the answer on."""
    request: NodeKeyRequest = call.body
    try:
        with _spending(call):
            made: NodeKeyBody = await call.ask(lambda ticket: AuthoriseNode(ticket, request.node_id, request.key))
    except TokensUnusable as error:
        raise Unauthorized("token_used", error.message, error.remedy) from error
    info = call.services.info()
    return NodeKeyBody(made.node_id, made.key, info.endpoints["node"], info.head_key)


def _spending(call: Call) -> AbstractContextManager[None]:
    token, tokens = token_of(call.request), call.services.tokens
    if token is None or tokens is None or token.scope != NODE_JOIN:
        return nullcontext()
    return tokens.spending(token)


async def list_all(call: Call) -> NodeKeyList:
    """List the nodes that are authorised."""
    found: NodeKeyList = await call.ask(ListKeys)
    return found


async def revoke(call: Call) -> NodeKeyBody:
    """Revoke the key of a node, which is lost from then on."""
    node_id = call.path("node_id")
    gone: NodeKeyBody = await call.ask(lambda ticket: RevokeNode(ticket, node_id))
    return gone


async def read(call: Call) -> EventKeyBody:
    """Let a key subscribe to publications for a while."""
    request: EventKeyRequest = call.body
    let_read = call.services.let_read
    if let_read is None:
        raise Conflict("no_curve", "the publications of this head are not authenticated: subscribe without a key")
    if not is_key(request.key):
        raise Invalid("invalid_key", "a public key has 40 characters of Z85", field="$.key")
    info = call.services.info()
    token, tokens = token_of(call.request), call.services.tokens

    def still_good() -> bool:
        return token is None or tokens is None or tokens.holds(token)

    return EventKeyBody(info.endpoints["events"], info.head_key, let_read(request.key, still_good))

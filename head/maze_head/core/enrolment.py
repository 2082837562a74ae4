"""Nodes of other machines are authorised, listed and revoked, by commands.

* What is authorised is a key for one node id. The id must be free: who has a token to join must not be able to take the
  place of a node that joined before. The same key for the same id is authorised again without effect.
* A key that is revoked counts nowhere from the commit on. Its node is lost at once, as one that has died: its leases
  are fenced and its objects gone; it is told to leave for good, and every other node no longer to hear it.
"""

from __future__ import annotations

from typing import Final

from maze_head.core import events as asked
from maze_head.core.effects import AppendCluster, Send
from maze_head.core.errors import Conflict, Invalid, NotFound
from maze_head.core.membership import expel
from maze_head.core.names import named
from maze_head.core.state import State
from maze_protocol.enrolment import NodeKeyBody, NodeKeyList
from maze_protocol.keys import is_key

__all__ = ["authorise_node", "list_keys", "revoke_node"]

MAX_KEYS: Final = 10_000
REVOKED: Final = "its key was revoked"


def authorise_node(state: State, command: asked.AuthoriseNode) -> NodeKeyBody:
    """Let a key speak for a node id from now on."""
    node_id, key = named(command.node_id, "the node's name", "$.node_id"), command.key
    keys = state.keys
    if not keys.local:
        raise Conflict("no_curve", "this head does not authenticate nodes", hint="start it with --curve")
    if not is_key(key):
        raise Invalid("invalid_key", "a public key has 40 characters of Z85", field="$.key")
    if keys.key_of(node_id) == key:
        return NodeKeyBody(node_id, key)
    if keys.key_of(node_id):
        raise Conflict(
            "node_exists", f"another key speaks for node {node_id!a} already",
            hint=f"`maze-head node revoke {node_id}` first, or join under another --name",
        )  # fmt: skip
    if key == keys.local or key in keys.nodes:
        raise Conflict("key_exists", "this key speaks for another node already", hint="each node needs its own")
    if len(keys.nodes) >= MAX_KEYS:
        raise Conflict("too_many_nodes", f"{MAX_KEYS} nodes are authorised already", hint="revoke those that are gone")
    keys.authorise(node_id, key)
    state.emit(AppendCluster("node_authorised", {"node_id": node_id, "key": key, "time": state.now.wall}))
    _tell(state)
    return NodeKeyBody(node_id, key)


def revoke_node(state: State, command: asked.RevokeNode) -> NodeKeyBody:
    """Let nobody speak for a node id any more; return the key that did."""
    node_id = command.node_id
    key = state.keys.key_of(node_id)
    if not key:
        raise NotFound("unknown_node", f"no key was authorised for a node {node_id[:100]!a}")
    state.keys.revoke(node_id)
    state.emit(AppendCluster("node_revoked", {"node_id": node_id, "key": key, "time": state.now.wall}))
    node = state.nodes.get(node_id)
    if node is not None and not node.gone and node.hello.peer_key == key:
        expel(state, node, REVOKED)
    _tell(state)
    return NodeKeyBody(node_id, key)


def list_keys(state: State, command: asked.ListKeys) -> NodeKeyList:
    """Return what was authorised, by node id."""
    return NodeKeyList([NodeKeyBody(node_id, key) for key, node_id in sorted(state.keys.nodes.items(), key=_node_id)])


def _node_id(item: tuple[str, str]) -> str:
    return item[1]


def _tell(state: State) -> None:
    """Tell all nodes whom the head vouches for now."""
    config = state.keys.config()
    for link in state.links:
        state.emit(Send(link, config))

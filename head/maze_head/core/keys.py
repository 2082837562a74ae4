"""Which key speaks for which node, while connections are authenticated.

* A key that was authorised speaks for one node id, and a node id has one key. It stays so over restarts, until it is
  revoked, or another key is authorised in its place: the older one is revoked by that.
* The local key belongs to the head's own user, whose nodes on this machine need not be authorised. It speaks for every
  node id that no other key was authorised for.
* Nodes let those other nodes fetch from them that the head vouches for: all keys above, told by NODE_CONFIG when a
  session begins and whenever they change.
"""

from __future__ import annotations

from typing import Any

from maze_protocol.messages import Hello, NodeConfig

__all__ = ["Keys"]


class Keys:
    """The keys of nodes. Without a local key nothing is authenticated."""

    __slots__ = ("_by_node", "_nodes", "local", "version")

    def __init__(self, local: str = "") -> None:
        self.local = local
        self._nodes: dict[str, str] = {}
        self._by_node: dict[str, str] = {}
        self.version = 0
        """Grows with each change, over restarts, too."""

    @property
    def nodes(self) -> dict[str, str]:
        """Return the node ids by key."""
        return self._nodes

    def key_of(self, node_id: str) -> str:
        """Return the key that was authorised for a node id, or an empty text."""
        return self._by_node.get(node_id, "")

    def problem(self, hello: Hello, key: str) -> str:
        """Return why a HELLO does not fit the key of its connection, or an empty text."""
        if not self.local:
            return ""
        if hello.peer_key != key:
            return "the key in HELLO is not that of the connection"
        owner = self._nodes.get(key)
        if owner is not None:
            return "" if owner == hello.node_id else f"the key of this connection speaks for node {owner!r} only"
        if key != self.local:
            return "the key of this connection is not known here (any more)"
        return "another key speaks for this node id" if hello.node_id in self._by_node else ""

    def config(self) -> NodeConfig:
        """Return what nodes are told."""
        return NodeConfig(self.version, (self.local, *self._nodes))

    def restore(self, kind: str, body: dict[str, Any]) -> None:
        """Take in an event of the cluster's log."""
        if kind == "node_authorised":
            self.authorise(body["node_id"], body["key"])
        elif kind == "node_revoked":
            self.revoke(body["node_id"])

    def authorise(self, node_id: str, key: str) -> None:
        """Let a key speak for a node id, and no other one."""
        self.revoke(node_id)
        self._nodes[key] = node_id
        self._by_node[node_id] = key
        self.version += 1

    def revoke(self, node_id: str) -> None:
        """Let nobody speak for a node id but, as before, the local key."""
        key = self._by_node.pop(node_id, None)
        if key is not None:
            del self._nodes[key]
            self.version += 1

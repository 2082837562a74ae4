"""Keys over HTTP: who joins learns where the head is and which key it has; readers are let in."""

from __future__ import annotations

from typing import Any

import msgspec

from maze_head.core.events import AuthoriseNode, ListKeys, RevokeNode
from maze_protocol.enrolment import NodeKeyBody, NodeKeyList
from support.api_double import INFO, Served, asynchronous, serving

KEY, HEAD_KEY = "a" * 40, "h" * 40


def guard(head: Served, let_read: Any = None) -> None:
    """Let the head have a key."""
    info = msgspec.structs.replace(INFO, endpoints={"node": "tcp://h:1", "events": "tcp://h:3"}, head_key=HEAD_KEY)
    object.__setattr__(head.services, "info", lambda: info)
    object.__setattr__(head.services, "let_read", let_read)


async def post(head: Served, path: str, body: Any) -> tuple[int, Any]:
    async with head.http.post(f"/api/v1/{path}", json=body) as response:
        return response.status, await response.json()


@asynchronous
async def test_a_node_that_joins_learns_the_heads_address_and_key() -> None:
    async with serving() as head:
        guard(head)
        head.driver.answers[AuthoriseNode] = lambda asked: NodeKeyBody(asked.node_id, asked.key)
        status, told = await post(head, "node-keys", {"node_id": "n1", "key": KEY})
        assert status == 201
        assert told == {"node_id": "n1", "key": KEY, "endpoint": "tcp://h:1", "head_key": HEAD_KEY}


@asynchronous
async def test_nodes_are_listed_and_revoked() -> None:
    async with serving() as head:
        head.driver.answers[ListKeys] = NodeKeyList([NodeKeyBody("n1", KEY)])
        head.driver.answers[RevokeNode] = lambda asked: NodeKeyBody(asked.node_id, KEY)
        async with head.http.get("/api/v1/node-keys") as response:
            assert [node["node_id"] for node in (await response.json())["nodes"]] == ["n1"]
        async with head.http.delete("/api/v1/node-keys/n1") as response:
            assert (await response.json())["node_id"] == "n1"


@asynchronous
async def test_a_reader_is_let_in_and_told_for_how_long() -> None:
    async with serving() as head:
        let_in: list[tuple[str, bool]] = []
        guard(head, lambda key, good: let_in.append((key, good())) or 60.0)
        told = {"endpoint": "tcp://h:3", "head_key": HEAD_KEY, "expires_in": 60.0}
        assert await post(head, "event-keys", {"key": KEY}) == (201, told)
        assert let_in == [(KEY, True)]
        status, refusal = await post(head, "event-keys", {"key": "no key"})
        assert (status, refusal["error"]["code"]) == (422, "invalid_key")


@asynchronous
async def test_a_head_without_curve_lets_nobody_in_by_key() -> None:
    async with serving() as head:
        status, refusal = await post(head, "event-keys", {"key": KEY})
        assert (status, refusal["error"]["code"]) == (409, "no_curve")

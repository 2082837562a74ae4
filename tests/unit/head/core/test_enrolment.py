"""Nodes are authorised for one id each, and revoked at once."""

from __future__ import annotations

import pytest

from maze_head.core import events as ev
from maze_head.core.effects import Admit, AppendCluster, Drop, Refuse, Send
from maze_head.core.errors import Conflict, Invalid, NotFound
from maze_protocol.enrolment import NodeKeyBody
from maze_protocol.messages import Disconnect, NodeConfig
from support.head_core import Head, add, hello

LOCAL, ONE, OTHER = "L" * 40, "A" * 40, "B" * 40


def guarded() -> Head:
    head = Head()
    head.core.state.keys.local = LOCAL
    return head


def greet(head: Head, name: str, key: str, link: bytes = b"L1") -> None:
    head.do(ev.NodeGreeted(link, hello(name, peer_key=key), key))


def test_who_is_authorised_is_let_in_and_everybody_is_told() -> None:
    head = guarded()
    greet(head, "old", LOCAL, b"L0")
    head.forget()
    assert head.ask(ev.AuthoriseNode, "n1", ONE) == NodeKeyBody("n1", ONE)
    assert head.take(Send) == [Send(b"L0", NodeConfig(1, (LOCAL, ONE)))]
    assert [fact.kind for fact in head.take(AppendCluster)] == ["node_authorised"]
    greet(head, "n1", ONE)
    assert [effect.link for effect in head.take(Admit)] == [b"L1"]
    assert head.ask(ev.ListKeys).nodes == [NodeKeyBody("n1", ONE)]


def test_the_same_again_changes_nothing() -> None:
    head = guarded()
    head.ask(ev.AuthoriseNode, "n1", ONE)
    head.forget()
    assert head.ask(ev.AuthoriseNode, "n1", ONE) == NodeKeyBody("n1", ONE)
    assert head.take(AppendCluster) == []


@pytest.mark.parametrize(
    ("node_id", "key", "kind", "code"),
    [
        ("n1", OTHER, Conflict, "node_exists"),
        ("n2", ONE, Conflict, "key_exists"),
        ("n2", LOCAL, Conflict, "key_exists"),
        ("n2", "secret", Invalid, "invalid_key"),
        ("", OTHER, Invalid, "bad_name"),
        ("a\nb", OTHER, Invalid, "bad_name"),
    ],
)
def test_nobody_takes_the_place_of_a_node(node_id: str, key: str, kind: type[Exception], code: str) -> None:
    head = guarded()
    head.ask(ev.AuthoriseNode, "n1", ONE)
    with pytest.raises(kind) as caught:
        head.ask(ev.AuthoriseNode, node_id, key)
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert head.core.state.keys.nodes == {ONE: "n1"}


def test_a_head_that_authenticates_nobody_authorises_nobody() -> None:
    with pytest.raises(Conflict, match="does not authenticate nodes"):
        Head().ask(ev.AuthoriseNode, "n1", ONE)


def test_who_is_revoked_is_lost_at_once_with_its_leases_and_may_not_come_back() -> None:
    head = guarded()
    head.ask(ev.AuthoriseNode, "n1", ONE)
    greet(head, "n1", ONE)
    head.workflow(add(1))
    head.run()
    lease = head.leases()[0]
    greet(head, "old", LOCAL, b"L0")
    head.forget()
    assert head.ask(ev.RevokeNode, "n1") == NodeKeyBody("n1", ONE)
    assert head.take(Drop) == [Drop(b"L1", Disconnect("revoked", "its key was revoked"))]
    assert Send(b"L0", NodeConfig(2, (LOCAL,))) in head.take(Send)
    assert [fact.kind for fact in head.take(AppendCluster)] == ["node_revoked", "node_lost"]
    assert head.core.state.nodes["n1"].gone == "lost"
    assert lease not in head.core.state.leases.current
    greet(head, "n1", ONE, b"L2")
    assert [effect.message.code for effect in head.take(Refuse)] == ["bad_key"]


def test_only_what_was_authorised_is_revoked() -> None:
    head = guarded()
    greet(head, "n1", LOCAL)
    with pytest.raises(NotFound, match="'n1'"):
        head.ask(ev.RevokeNode, "n1")
    assert not head.core.state.nodes["n1"].gone


def test_a_restarted_head_knows_whom_it_authorised_and_revoked() -> None:
    head = guarded()
    for number, key in enumerate((ONE, OTHER)):
        head.ask(ev.AuthoriseNode, f"n{number}", key)
    head.ask(ev.RevokeNode, "n0")
    again = head.recover()
    assert again.core.state.keys.nodes == {OTHER: "n1"}
    assert again.core.state.keys.version == head.core.state.keys.version

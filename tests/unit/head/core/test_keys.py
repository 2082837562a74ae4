"""A key speaks for one node id; the local one for those that have none."""

from __future__ import annotations

import pytest

from maze_head.core import events as ev
from maze_head.core.effects import Admit, Refuse, Send
from maze_head.core.keys import Keys
from maze_protocol.messages import NodeConfig, Reject
from support.head_core import Head, hello

LOCAL, OWN, OTHER = "L" * 40, "A" * 40, "B" * 40


def keys() -> Keys:
    made = Keys(LOCAL)
    made.authorise("n1", OWN)
    return made


def problem(node_id: str, key: str, told: str | None = None) -> str:
    return keys().problem(hello(node_id, peer_key=key if told is None else told), key)


def test_a_key_speaks_for_its_node_and_the_local_one_for_any_other() -> None:
    assert problem("n1", OWN) == ""
    assert problem("n2", LOCAL) == ""


@pytest.mark.parametrize(
    ("node_id", "key", "told", "why"),
    [
        ("n2", OWN, OWN, "speaks for node 'n1' only"),
        ("n1", LOCAL, LOCAL, "another key speaks for this node id"),
        ("n1", OTHER, OTHER, "not known here"),
        ("n1", OWN, OTHER, "not that of the connection"),
        ("n1", "", OWN, "not that of the connection"),
        ("n1", "", "", "not known here"),
    ],
)
def test_who_does_not_speak_for_a_node(node_id: str, key: str, told: str, why: str) -> None:
    assert why in problem(node_id, key, told)


def test_without_a_local_key_nothing_is_authenticated() -> None:
    assert Keys().problem(hello("n1", peer_key="whatever"), "") == ""


def test_a_new_key_takes_the_place_of_the_old_one() -> None:
    made = keys()
    made.authorise("n1", OTHER)
    assert made.nodes == {OTHER: "n1"}
    assert made.key_of("n1") == OTHER
    assert "not known" in made.problem(hello("n1", peer_key=OWN), OWN)


def test_what_is_told_grows_in_version_with_each_change() -> None:
    made = keys()
    first = made.config()
    assert first.peer_keys == (LOCAL, OWN)
    made.revoke("n1")
    made.revoke("n1")
    second = made.config()
    assert second == NodeConfig(first.version + 1, (LOCAL,))


def test_the_log_brings_them_back() -> None:
    made = Keys(LOCAL)
    made.restore("node_authorised", {"node_id": "n1", "key": OWN})
    made.restore("node_authorised", {"node_id": "n2", "key": OTHER})
    made.restore("node_revoked", {"node_id": "n1"})
    assert made.nodes == {OTHER: "n2"}


def guarded() -> Head:
    head = Head()
    head.core.state.keys.local = LOCAL
    return head


def test_a_node_with_its_key_is_let_in_and_told_whom_the_head_vouches_for() -> None:
    head = guarded()
    head.do(ev.NodeGreeted(b"L1", hello("n1", peer_key=LOCAL), LOCAL))
    assert [effect.link for effect in head.take(Admit)] == [b"L1"]
    assert head.take(Send) == [Send(b"L1", NodeConfig(0, (LOCAL,)))]


def test_a_node_with_another_ones_key_is_refused_for_good() -> None:
    head = guarded()
    head.core.state.keys.authorise("n1", OWN)
    head.do(ev.NodeGreeted(b"L1", hello("n2", peer_key=OWN), OWN))
    assert head.take(Refuse) == [
        Refuse(b"L1", Reject("bad_key", "the key of this connection speaks for node 'n1' only"))
    ]
    assert head.core.state.nodes == {}


def test_without_curve_nobody_is_told_of_keys() -> None:
    head = Head()
    head.greet()
    assert head.take(Send) == []

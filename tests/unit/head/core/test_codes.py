"""Who uses a function, and when nobody does any more."""

from __future__ import annotations

from maze_head.core.codes import CodeUsers


def test_a_function_is_a_workflows_own_until_another_one_uses_it() -> None:
    users = CodeUsers()
    users.note(b"w1", [b"f", b"g"])
    users.note(b"w1", [b"g", b"h"])
    assert users.only_of(b"w1") == [b"f", b"g", b"h"]
    users.note(b"w2", [b"g"])
    assert users.only_of(b"w1") == [b"f", b"h"]
    assert users.only_of(b"w2") == []


def test_it_is_the_others_own_again_when_the_workflow_is_forgotten() -> None:
    users = CodeUsers()
    users.note(b"w1", [b"f", b"g"])
    users.note(b"w2", [b"g"])
    users.forget(b"w1")
    users.forget(b"w1")
    assert users.only_of(b"w2") == [b"g"]
    assert users.only_of(b"w1") == []
    users.forget(b"w2")
    assert len(users) == 0

"""Whether what a task returned is what it declares: by the short way as by the long one."""

from __future__ import annotations

from typing import Any

import pytest

from maze_node.declared import Declared
from maze_node.errors import TaskFault
from maze_protocol.messages import OutputDecl


def check(returned: Any, *declared: str) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    outputs = Declared([OutputDecl(*each.split(":", 1)) for each in declared]).checked(returned, warnings)
    return outputs, warnings


def fault(returned: Any, *declared: str) -> str:
    with pytest.raises(TaskFault) as caught:
        check(returned, *declared)
    assert caught.value.info.kind == "bad_return"
    return caught.value.info.message


class Named:
    """Calls itself equal to a name, and is none."""

    def __hash__(self) -> int:
        return hash("a")

    def __eq__(self, other: object) -> bool:
        return other == "a"


class Both(dict[str, int]):
    """A dictionary of the user's."""


def test_what_is_declared_passes_as_it_is() -> None:
    for returned in ({"a": 1, "b": []}, {"b": 1, "a": None}, Both(a=1, b=2)):
        outputs, warnings = check(returned, "a", "b:any")
        assert outputs is returned
        assert warnings == []


def test_more_than_declared_is_kept_with_a_warning() -> None:
    assert check({"b": 1, "a": 2, "c": 3}, "a") == (
        {"b": 1, "a": 2, "c": 3}, ["undeclared output 'b' was kept", "undeclared output 'c' was kept"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "the task must return a dict with 'a', not NoneType"),
        ({}, "missing output 'a' (returned keys: none)"),
        ({"b": 1}, "missing output 'a' (returned keys: 'b')"),
        ({Named(): 1}, "output names must be strings of 1 to 256 printable characters, not a key of type Named"),
        ({"a": 1, "": 1}, "output names must be strings of 1 to 256 printable characters, not ''"),
    ],
)
def test_whatever_else_is_refused_with_the_reason(returned: Any, told: str) -> None:
    assert fault(returned, "a") == told


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("str", "x", 1), ("int", 5, True), ("float", 5, "5"), ("bool", True, 1), ("list", [], ()), ("dict", {}, None),
    ],
)  # fmt: skip
def test_declared_types_are_kept(kind: str, good: object, bad: object) -> None:
    assert check({"a": good, "b": bad}, f"a:{kind}", "b")[0] == {"a": good, "b": bad}
    assert fault({"a": bad, "b": bad}, f"a:{kind}", "b") == (
        f"output 'a' is declared as {kind}, the task returned {type(bad).__name__}"
    )
    assert fault({"a": bad, "more": 1}, f"a:{kind}").startswith("output 'a' is declared as")


def test_files_are_known_by_their_types() -> None:
    declared = [OutputDecl("a", "file"), OutputDecl("b", "str"), OutputDecl("c", "file:image"), OutputDecl("d")]
    assert Declared(declared).files == ("a", "c")


def test_the_original_takes_whatever_comes() -> None:
    lenient = Declared([OutputDecl("a", "int")], strict=False)
    assert lenient.checked({"b": (1,)}, []) == {"b": [1]}
    assert lenient.checked((1, 2), []) == {"": [1, 2]}
    assert lenient.checked({1: 2}, []) == {"": {1: 2}}

"""Functions from their bodies; what a worker says of those that it cannot load."""

from __future__ import annotations

import sys

import pytest

from maze._values import dump_function
from maze_node.errors import TaskFault
from maze_node.frames import CodeBody
from maze_node.loading import load_code

HERE = (sys.version_info[0], sys.version_info[1])


def source(text: str, name: str = "f") -> CodeBody:
    return CodeBody("source", HERE, text.encode(), name)


def fault(code: CodeBody) -> TaskFault:
    with pytest.raises(TaskFault) as caught:
        load_code(code, b"0" * 16)
    return caught.value


def test_both_kinds() -> None:
    assert load_code(CodeBody("pickle", HERE, dump_function(lambda params: 5), "f"), b"1")({}) == 5
    assert load_code(source("X = 2\ndef f(params): return params + X"), b"2")(3) == 5


def test_task_decorators_are_dropped_and_others_kept() -> None:
    text = "def twice(f): return lambda p: 2 * f(p)\n"
    text = "@maze.task(inputs=[])\n@task\n@twice\ndef f(p): return p\n" + text
    assert "twice" in fault(source(text)).info.traceback
    assert load_code(source("@maze.task(inputs=[])\n@task\nasync def f(p): return p\n"), b"3")


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (CodeBody("pickle", (3, 2), b"", "f"), "python_mismatch", "pickled by Python 3.2"),
        (CodeBody("pickle", HERE, b"", "f"), "bad_code", "truncated"),
        (CodeBody("fortran", HERE, b"", "f"), "bad_code", "kind 'fortran'"),
        (CodeBody("source", HERE, b"\xff", "f"), "bad_code", "utf-8"),
        (source("\0"), "bad_code", "null byte"),
        (source("x = ("), "bad_code", "never closed"),
        (source("raise SystemExit(3)\ndef f(p): pass"), "bad_code", "3"),
    ],
)
def test_what_cannot_be_loaded(code: CodeBody, kind: str, text: str) -> None:
    info = fault(code).info
    assert info.kind == kind
    assert text in info.message

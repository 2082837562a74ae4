"""Python text is looked at, never run; large workflows are written out where they hold up nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest

from maze_head.api.workflows import MAX_SOURCE, THREAD_TASKS, check_source, write_out
from maze_head.core.errors import Invalid, Rejected
from maze_head.core.snapshot import Snapshot
from maze_head.core.tasks import TaskSpec, pack
from maze_protocol.http import WorkflowBody
from maze_protocol.resources import Request


def check(source: bytes) -> None:
    asyncio.run(check_source(source, "$.code"))


@pytest.mark.parametrize(
    "source",
    [
        b"def f(p): return {}",
        b"async def f(p): return {}",
        b"import os\n@task(inputs=[], outputs=[])\ndef f(p):\n    return {}\n",
        b"    def f(p):\n        return {}\n",
        b"def f(p):\n    return {'a': '\\d'}\n",  # Python warns about the escape; that is its author's matter
        b"def f(p):\n    return {}\n#" + b"x" * 300_000,
    ],
)
def test_text_with_a_function_is_fine(source: bytes) -> None:
    check(source)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (b"x = 1\ndef f(:\n", "line 2"),
        (b"x = 1\ny = 2\n", "2 lines define no function"),
        (b"def f(p): pass\n\x00", "null bytes"),
        (b"\xff\xfe", "not readable"),
        (b"(" * 10_000, "line 1"),
        (b"-" * 100_000 + b"1", "not readable"),
    ],
)
def test_other_text_is_refused_with_its_reason(source: bytes, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(source)
    assert caught.value.code == "invalid_source"
    assert told in caught.value.message


def test_a_huge_text_is_not_even_parsed() -> None:
    with pytest.raises(Rejected) as caught:
        check(b"#" * (MAX_SOURCE + 1))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(("tasks", "here"), [(THREAD_TASKS - 1, True), (THREAD_TASKS, False)])
def test_a_large_workflow_is_written_out_in_a_thread(tasks: int, here: bool) -> None:
    seen: list[bool] = []

    class Noted(Snapshot):
        def body(self) -> WorkflowBody:
            seen.append(threading.current_thread() is threading.main_thread())
            return Snapshot.body(self)

    specs = [TaskSpec(number.to_bytes(16, "big"), f"t{number}", Request(), (0, 0)) for number in range(tasks)]
    snapshot = Noted(b"w" * 16, "", 1, 0.0, {spec.task_id: pack(spec) for spec in specs}, [])
    body = asyncio.run(write_out(snapshot))
    assert [task.name for task in body.tasks] == [spec.name for spec in specs]
    assert seen == [here]

"""Ids are made many at a time, are never given twice, and are not shared with a child."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from maze import _ids
from maze_protocol.ids import RUN, TASK, is_id


def test_ids_are_well_formed_and_differ() -> None:
    made = [_ids.new_task_id() for _ in range(3 * _ids.AT_ONCE)]
    assert all(is_id(each, TASK) for each in made)
    assert len(set(made)) == len(made)
    assert is_id(_ids.new_id(RUN), RUN)


def test_the_system_is_asked_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "urandom", lambda size: asked.append(size) or bytes(range(256)) * (size // 256))
    monkeypatch.setattr(_ids, "_drawn", [])
    for _ in range(2 * _ids.AT_ONCE):
        _ids.new_task_id()
    assert asked == [_ids.SIZE * _ids.AT_ONCE] * 2


def test_threads_never_get_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [
            each for part in pool.map(lambda _: [_ids.new_task_id() for _ in range(2000)], range(8)) for each in part
        ]
    assert len(set(made)) == len(made) == 16_000


def test_a_child_forgets_what_its_parent_drew() -> None:
    _ids.new_task_id()
    kept = set(_ids._drawn)
    assert kept, "some are left of what was drawn"
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, _ids.new_task_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read().removeprefix("task_")
    assert len(told) == 32
    assert told not in kept

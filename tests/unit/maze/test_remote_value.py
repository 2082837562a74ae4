"""References to large values: what they fetch, keep, write and say."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maze._fetch import Place
from maze._remote_value import RemoteValue, size_text
from maze._values import encode
from maze.errors import UnreadableValueError, ValueExpiredError
from support.api_double import asynchronous
from support.value_server import GONE, ValueServer, serving_values

ARRAY = np.arange(40_000.0)


def remote(server: ValueServer, value: Any, type_name: str = "numpy.ndarray") -> RemoteValue:
    """Serve a value and return the reference to it."""
    codec, body = encode(value)
    server.values["y"] = body
    return RemoteValue(Place(server.url, "run_1", "task_1", "y"), codec, len(body), type_name)


@asynchronous
async def test_a_value_is_fetched_once_as_long_as_somebody_holds_it() -> None:
    async with serving_values() as server:
        value = remote(server, ARRAY)
        got = await value.aget()
        assert (got == ARRAY).all()
        got[0] = 7.0  # as writable as any other array
        assert await value.aget() is got
        assert len(server.ranges) == 1
        alive = weakref.ref(got)
        del got
        gc.collect()
        assert alive() is None, "the reference keeps a large value alive"
        assert (await value.aget())[0] == 0.0
        assert len(server.ranges) == 2


@asynchronous
async def test_blocking_code_gets_the_same() -> None:
    async with serving_values() as server:
        value = remote(server, {"a": [1, (2, "x")]}, "dict")
        server.faults = [10]
        assert await asyncio.to_thread(value.get) == {"a": [1, (2, "x")]}


@pytest.mark.parametrize("content", [b"", b"x" * 200, os.urandom(70_000), "ü", "y" * 20, "ü" * 200, "z" * 70_000])
def test_bytes_and_text_are_saved_as_they_are(content: bytes | str, tmp_path: Path) -> None:
    @asynchronous
    async def check() -> None:
        async with serving_values() as server:
            told: list[tuple[int, int]] = []
            value = remote(server, content, type(content).__name__)
            saved = await value.asave(tmp_path / "y", progress=lambda done, size: told.append((done, size)))
            natural = content.encode() if isinstance(content, str) else content
            assert saved.read_bytes() == natural
            assert not natural or told[-1] == (len(natural), len(natural))
            assert [path.name for path in tmp_path.iterdir()] == ["y"]

    check()


@pytest.mark.parametrize("content", [[1, 2, "x"], {"t": (1, 2)}, 2**70])
def test_other_values_are_saved_as_a_pickle(content: Any, tmp_path: Path) -> None:
    @asynchronous
    async def check() -> None:
        async with serving_values() as server:
            value = remote(server, content, "")
            await asyncio.to_thread(value.save, str(tmp_path / "y.pickle"))
            assert pickle.loads((tmp_path / "y.pickle").read_bytes()) == content

    check()


def test_what_was_there_stays_until_the_new_file_is_complete(tmp_path: Path) -> None:
    @asynchronous
    async def check() -> None:
        async with serving_values() as server:
            value = remote(server, b"x" * 100, "bytes")
            (tmp_path / "y").write_bytes(b"before")
            server.faults = [GONE]
            with pytest.raises(ValueExpiredError):
                await value.asave(tmp_path / "y")
            assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("y", b"before")]

    check()


def test_unpickling_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with serving_values() as server:
            with pytest.raises(UnreadableValueError, match="not allowed"):
                await remote(server, ARRAY).aget()
            assert await remote(server, [1]).aget() == [1]

    monkeypatch.setenv("MAZE_NO_PICKLE", "1")
    check()


def test_a_reference_says_what_it_is_in_a_few_words() -> None:
    place = Place("http://h", "run_1", "task_1", "y")
    value = RemoteValue(place, 1, 100 * 2**20, "numpy.ndarray")
    assert repr(value) == str(value) == "<100 MiB numpy.ndarray, fetched by .get()>"
    assert repr(RemoteValue(place, 1, 2**20 + 1, "")) == "<1 MiB value, fetched by .get()>"
    assert (value.run_id, value.task_id, value.key) == ("run_1", "task_1", "y")


def test_references_to_one_value_are_equal_and_travel() -> None:
    place = Place("http://h", "run_1", "task_1", "y")
    value = RemoteValue(place, 1, 5, "x")
    assert value == RemoteValue(place, 1, 5, "x") == pickle.loads(pickle.dumps(value))
    assert value != RemoteValue(place._replace(key="z"), 1, 5, "x")
    assert value != place
    assert len({value, RemoteValue(place, 1, 5, "x")}) == 1


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1 GiB"), (150 * 2**20, "150 MiB"), (2**52, "4096 TiB")],
)
def test_sizes_are_told_as_people_do(size: int, text: str) -> None:
    assert size_text(size) == text

"""Messages completed with what they do not carry."""

from __future__ import annotations

import os
from typing import Any

import pytest

from maze import _inline
from maze._events import events_of
from maze._inline import AT_A_TIME, fill_in
from maze._loop import bridge
from maze._remote_value import RemoteValue
from maze._results import OpaqueValue, decode_values
from maze._values import encode
from maze_protocol.events import TaskFinished
from maze_protocol.limits import INLINE_CLIENT
from maze_protocol.streams import LogPart, PackedEvent
from maze_protocol.values import ObjectRef, OutputValue, Value
from support.api_double import asynchronous
from support.run_story import WORKFLOW, packed
from support.value_server import GONE, NOT_NOW, serving_values

CODEC, BODY = encode(os.urandom(1000))


def finished(seq: int, kind: str = "finish_task", **result: Any) -> PackedEvent:
    return packed(seq, kind, {"workflow_id": WORKFLOW, "task_id": f"task_{seq}", "result": result})


def absent(size: int = len(BODY)) -> list[Any]:
    return [CODEC, None, size, "bytes"]


@asynchronous
async def test_small_values_cost_no_question() -> None:
    events = [finished(1, y=[0, b"\x01"]), packed(2, "task_exception", {"result": "Traceback"})]
    assert await bridge(fill_in("http://nobody.invalid", "run_1", events)) == 2
    assert events[0].result == {"y": [0, b"\x01"]}


@asynchronous
async def test_of_the_log_only_results_that_lack_something_are_looked_at() -> None:
    async with serving_values(y=BODY) as server:
        here, away = (
            OutputValue("y", Value(0, 1, b"\x07")),
            OutputValue("y", Value(CODEC, 1003, ref=ObjectRef(1, 0, 1003, 0))),
        )
        finished = TaskFinished(0, 1, 5, (), 1.0)
        part = LogPart(1, 0.0, b"w" * 16, 1, (finished, finished), ((0, b"t" * 16, "t"),), ((here,), (away,)))
        first, second = events = events_of("run_1", part)
        assert await bridge(fill_in(server.url, "run_1", events)) == 2
        assert first.result is None
        assert second.result == {"y": [CODEC, BODY]}
        assert len(server.ranges) == 1


@asynchronous
async def test_values_of_middle_size_are_fetched_and_large_ones_become_references() -> None:
    async with serving_values(y=BODY) as server:
        events = [finished(1, y=absent(), z=[0, b"\x01"]), finished(2, "task_reused", y=absent(INLINE_CLIENT + 1))]
        assert await bridge(fill_in(server.url, "run_1", events)) == 2
        assert await bridge(fill_in(server.url, "run_1", events)) == 2, "an interrupted reader goes on with them"
        assert len(server.ranges) == 1
        first, second = (decode_values(event.result or {}, allow_pickle=True) for event in events)
        assert list(first) == ["y", "z"]
        assert encode(first["y"]) == (CODEC, BODY)
        assert first["z"] == 1
        assert isinstance(second["y"], RemoteValue)
        assert (second["y"].size, second["y"].type, second["y"].task_id) == (INLINE_CLIENT + 1, "bytes", "task_2")


@asynchronous
async def test_many_are_fetched_at_a_time_but_not_all() -> None:
    async with serving_values(y=BODY) as server:
        events = [finished(number, y=absent()) for number in range(3 * AT_A_TIME)]
        assert await bridge(fill_in(server.url, "run_1", events)) == len(events)
        assert 1 < server.most_open <= AT_A_TIME


@asynchronous
async def test_one_that_expired_hides_nothing_else() -> None:
    async with serving_values(y=BODY) as server:
        server.faults = [GONE]
        events = [finished(1, y=absent()), finished(2, y=absent())]
        await bridge(fill_in(server.url, "run_1", events))
        found = [decode_values(event.result or {}, allow_pickle=True)["y"] for event in events]
        gone = [value for value in found if isinstance(value, OpaqueValue)]
        assert len(gone) == 1
        assert (gone[0].type, gone[0].size) == ("bytes", len(BODY))
        assert "nobody holds it" in gone[0].reason
        assert [value for value in found if isinstance(value, bytes)] == [
            decode_values({"y": [CODEC, BODY]}, allow_pickle=True)["y"]
        ]


def test_a_reader_is_not_kept_waiting_for_more_than_it_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with serving_values(y=BODY) as server:
            events = [finished(number, y=absent()) for number in range(5)]
            assert await bridge(fill_in(server.url, "run_1", events)) == 3
            assert await bridge(fill_in(server.url, "run_1", events[3:])) == 2
            assert len(server.ranges) == 5

    monkeypatch.setattr(_inline, "BYTES_AT_ONCE", 2 * len(BODY))
    check()


def test_one_whose_node_is_away_is_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynchronous
    async def check() -> None:
        async with serving_values(y=BODY) as server:
            server.faults = [NOT_NOW, NOT_NOW]
            event = finished(1, y=absent())
            await bridge(fill_in(server.url, "run_1", [event]))
            assert encode(decode_values(event.result or {}, allow_pickle=True)["y"]) == (CODEC, BODY)
            with monkeypatch.context() as patch:
                patch.setattr(_inline, "AWAY_SECONDS", 0.0)
                server.faults = [NOT_NOW] * 50
                event = finished(2, y=absent())
                await bridge(fill_in(server.url, "run_1", [event]))
                found = decode_values(event.result or {}, allow_pickle=True)["y"]
                assert isinstance(found, OpaqueValue)
                assert "not now" in found.reason

    check()

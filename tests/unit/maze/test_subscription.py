"""What `subscribe` returns, over a scripted feed: nothing lost by an interrupt, nothing left by leaving."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from maze import _subscription
from maze._results import OpaqueValue
from maze._subscription import AsyncSubscription, Subscription
from maze.errors import HeadUnavailableError, InputError
from maze_protocol.streams import PackedEvent
from support.run_story import packed


class Feed:
    """Batches of events, exceptions, and None for the end."""

    def __init__(self, *batches: Any) -> None:
        self.batches = list(batches)
        self.closed = threading.Event()

    async def next(self) -> Any:
        batch = self.batches.pop(0)
        if isinstance(batch, asyncio.Event):
            await batch.wait()
            return await self.next()
        if isinstance(batch, Exception):
            raise batch
        return batch

    async def close(self) -> None:
        self.closed.set()


def events(*numbers: int) -> list[PackedEvent]:
    return [packed(number, "start_task", {"task_id": "t"}, 5.0) for number in numbers]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(*batches: Any) -> Feed:
        feed = Feed(*batches)
        monkeypatch.setattr(_subscription, "_feed", lambda *args: feed)
        return feed

    return install


def subscribe(after: int = 0) -> Subscription:
    return Subscription("http://head", "run_1", after, "websocket")


def test_events_are_plain_dictionaries_with_decoded_values(script: Any) -> None:
    result = {"y": (0, b"\x2a"), "z": (9, b"?")}
    finished = packed(2, "finish_task", {"task_id": "t", "result": result}, 5.0)
    failed = packed(3, "task_exception", {"result": "ValueError"}, 5.0)
    script([*events(1), finished, failed], None)
    first, second, third = subscribe()
    assert first == {"seq": 1, "epoch": 1, "time": 5.0, "type": "start_task", "data": {"task_id": "t"}}
    assert second["data"]["result"]["y"] == 42
    assert isinstance(second["data"]["result"]["z"], OpaqueValue)
    assert third["data"]["result"] == "ValueError"


def test_a_batch_that_did_not_arrive_comes_again(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script(events(1, 2), events(3), None)
    stream, call = subscribe(), _subscription.call

    def interrupted(work: Any) -> Any:
        call(work)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_subscription, "call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    assert (stream.seq, [event["seq"] for event in stream], stream.seq) == (0, [1, 2, 3], 3)


def test_an_error_is_told_and_what_came_before_it_counts(script: Any) -> None:
    script(events(5), HeadUnavailableError("away"))
    stream = subscribe(4)
    assert next(stream)["seq"] == 5
    with pytest.raises(HeadUnavailableError):
        next(stream)
    assert stream.seq == 5


def test_closing_ends_the_iteration_and_the_feed(script: Any) -> None:
    feed = script(events(1, 2))
    with subscribe() as stream:
        next(stream)
        assert repr(stream) == "Subscription('run_1', seq=1)"
    assert feed.closed.is_set()
    assert list(stream) == []
    assert repr(stream) == "Subscription('run_1', seq=1, closed)"


def test_a_subscription_that_is_dropped_is_closed(script: Any) -> None:
    feed = script(events(1))
    next(subscribe())
    gc.collect()
    assert feed.closed.wait(5)


def test_the_async_kind_is_the_same(script: Any) -> None:
    async def main() -> None:
        checked: list[int] = []

        async def check() -> None:
            checked.append(1)

        feed = script(events(1), events(2, 3), None)
        async with AsyncSubscription("http://head", "run_1", 0, "websocket", check) as stream:
            assert [event["seq"] async for event in stream] == [1, 2, 3]
        assert checked == [1]
        feed = script(events(1))
        async with AsyncSubscription("http://head", "run_1", 0, "websocket") as stream:
            await anext(stream)
        assert feed.closed.is_set()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(main())


def test_a_cancelled_wait_loses_nothing(script: Any) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        script(gate, events(1), None)
        stream = AsyncSubscription("http://head", "run_1", 0, "websocket")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(stream)
        assert [event["seq"] async for event in stream] == [1]

    asyncio.run(main())


@pytest.mark.parametrize(("after", "transport"), [(-1, "zmq"), ("1", "zmq"), (True, "zmq"), (0, "udp")])
def test_nonsense_is_refused(after: Any, transport: str) -> None:
    with pytest.raises(InputError):
        Subscription("http://head", "run_1", after, transport)

"""Effects on links: order per link, code ahead of tasks, and waiting for bytes that are only on disk."""

from __future__ import annotations

import asyncio

from maze_head.core.codes import pack_code
from maze_head.core.effects import Admit, AssignTask, Drop, Refuse, Send, SendCode, Source
from maze_head.dispatch import Dispatcher
from maze_protocol.http import CodeBody
from maze_protocol.limits import INLINE_VALUE
from maze_protocol.messages import Assign, Cancel, Code, Disconnect, Recall, RetryAfter
from maze_protocol.values import OutputValue
from support.head_shells import RecordingWire, output
from support.messages import make_assignment, make_welcome

A, B = b"link-a", b"link-b"
HASH = b"h" * 16
NEWS = Recall((9,))
CANCEL = Cancel((1,))
KEPT = pack_code(CodeBody(HASH.hex(), "pickle", (3, 11), b"body", "double"))


class SlowStore:
    """A hub whose disk answers when the test says so."""

    def __init__(self) -> None:
        self.cached: dict[tuple[int, int], tuple[OutputValue, ...]] = {}
        self.codes: dict[bytes, bytes] = {HASH: KEPT}
        self.disk: dict[tuple[int, int], tuple[OutputValue, ...]] = {}
        self.disk_codes: dict[bytes, bytes] = {}
        self.ready = asyncio.Event()
        self.reads: list[object] = []

    def peek_outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...] | None:
        return self.cached.get((run_no, task_no))

    def peek_code(self, hash_: bytes) -> bytes | None:
        return self.codes.get(hash_)

    async def outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...]:
        self.reads.append((run_no, task_no))
        await self.ready.wait()
        return self.disk[run_no, task_no]

    async def code(self, hash_: bytes) -> bytes:
        self.reads.append(hash_)
        await self.ready.wait()
        return self.disk_codes[hash_]


class World:
    """A dispatcher between a slow store and a recording wire."""

    def __init__(self) -> None:
        self.store, self.wire = SlowStore(), RecordingWire()
        self.failures: list[BaseException] = []
        self.dispatcher = Dispatcher(self.wire, self.store, self.failures.append)

    async def settle(self) -> None:
        """Let the disk answer and everything that follows happen."""
        self.store.ready.set()
        lanes = [lane.loading for lane in self.dispatcher._lanes.values() if lane.loading is not None]
        await asyncio.gather(*lanes)


def task(lease: int, *sources: int, link: bytes = A) -> AssignTask:
    inputs = (("x", None, tuple(Source(1, source, "y") for source in sources)),) if sources else ()
    return AssignTask(link, make_assignment(lease, inputs=()), inputs)


def leases(message: object) -> list[int]:
    assert isinstance(message, Assign)
    return [item.lease for item in message.items]


def test_assignments_of_a_turn_travel_together_behind_their_code() -> None:
    async def check() -> None:
        world = World()
        world.dispatcher.release([Send(A, NEWS), SendCode(A, HASH), task(1), SendCode(A, HASH), task(2)])
        news, code, again, assign = world.wire.to(A)
        assert news == NEWS
        assert code == again == Code(HASH, "pickle", (3, 11), code.body, "double")
        assert code.body.body == b"body"
        assert leases(assign) == [1, 2]

    asyncio.run(check())


def test_other_messages_keep_their_place_between_assignments() -> None:
    async def check() -> None:
        world = World()
        world.dispatcher.release([task(1), Send(A, CANCEL), task(2)])
        first, cancel, second = world.wire.to(A)
        assert (leases(first), cancel, leases(second)) == ([1], CANCEL, [2])

    asyncio.run(check())


def test_sessions_are_opened_and_ended() -> None:
    async def check() -> None:
        world = World()
        farewell, busy = Disconnect("duplicate"), RetryAfter(1.0)
        world.dispatcher.release([Admit(A, make_welcome()), Refuse(B, busy), Drop(A, farewell)])
        assert world.wire.said == [("admit", A, make_welcome()), ("refuse", A, farewell), ("refuse", B, busy)]

    asyncio.run(check())


def test_a_large_function_travels_in_a_frame() -> None:
    async def check() -> None:
        world = World()
        body = bytes(INLINE_VALUE + 1)
        world.store.codes[HASH] = pack_code(CodeBody(HASH.hex(), "source", (0, 0), body))
        world.dispatcher.release([SendCode(A, HASH)])
        (code,) = world.wire.to(A)
        assert (code.body.frame, world.wire.payloads) == (1, [(body,)])

    asyncio.run(check())


def test_only_the_link_that_needs_the_disk_waits_and_it_keeps_its_order() -> None:
    async def check() -> None:
        world = World()
        world.store.disk[1, 0] = (output(b"from disk"),)
        world.store.disk_codes[b"c" * 16] = KEPT
        world.dispatcher.release([task(1, 0), SendCode(A, b"c" * 16), Send(A, CANCEL), task(2, link=B)])
        world.dispatcher.release([Send(A, NEWS), Send(B, NEWS)])
        assert world.wire.to(A) == []
        assert [type(message) for message in world.wire.to(B)] == [Assign, Recall]
        await world.settle()
        code, assign, cancel, news = world.wire.to(A)
        assert (type(code), cancel, news) == (Code, CANCEL, NEWS)
        assert assign.items[0].inputs[0].parts[0].body == b"from disk"
        assert sorted(map(str, world.store.reads)) == sorted(map(str, [(1, 0), b"c" * 16]))

    asyncio.run(check())


def test_what_came_while_waiting_may_need_the_disk_again() -> None:
    async def check() -> None:
        world = World()
        world.store.disk = {(1, 0): (output(b"a"),), (1, 1): (output(b"b"),)}
        world.dispatcher.release([task(1, 0)])
        world.dispatcher.release([task(2, 1)])
        await world.settle()
        await world.settle()
        (assign,) = world.wire.to(A)
        assert [item.inputs[0].parts[0].body for item in assign.items] == [b"a", b"b"]
        assert world.dispatcher._lanes == {}

    asyncio.run(check())


def test_a_fact_that_is_not_on_disk_is_told() -> None:
    async def check() -> None:
        world = World()
        world.dispatcher.release([task(1, 0)])
        await world.settle()
        assert [type(error) for error in world.failures] == [KeyError]

    asyncio.run(check())


def test_closing_gives_up_what_waits() -> None:
    async def check() -> None:
        world = World()
        world.dispatcher.release([task(1, 0)])
        await world.dispatcher.close()
        assert world.wire.said == []
        assert world.failures == []

    asyncio.run(check())

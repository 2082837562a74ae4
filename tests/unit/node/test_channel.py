"""The agent's end of a worker, on a real event loop; the test plays the worker."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from maze_node.channel import LONGEST_REST, SHORTEST_REST, Channel, rest_of
from maze_node.core.events import Event, LogTails, WorkerReported
from maze_node.frames import FrameBuffer, ReportFrame, TaskFrame, decode_task, encode_frame
from maze_node.gauge import Gauge
from maze_node.logs import Logs
from maze_node.permits import BEGIN, SKIP
from maze_node.store import ObjectStore
from maze_node.turns import Turns
from maze_protocol.messages import OK, LogPull


class Far:
    """A worker's descriptors, and what its agent makes of it."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, LogTails]] = []
        self.rested: list[bool] = []
        """After each report: whether the worker was left alone for a while."""
        self.logs = Logs()
        self.objects = ObjectStore(0, tempfile.gettempdir(), lambda event: None)
        self.channel = Channel(1, Turns(asyncio.get_running_loop(), self._turn), self.logs, self.objects, self._take)
        far = [os.dup(descriptor) for descriptor in self.channel.far_ends]
        self.channel.close_far_ends()
        self.socket, self.permits, self.outputs = socket.socket(fileno=far[0]), far[1], far[2:4]
        self.gauge = Gauge(far[4])
        self._descriptors = far[1:]

    def _turn(self, events: list[Event]) -> None:
        raise AssertionError(f"a channel posts nothing: {events}")

    def _take(self, event: WorkerReported) -> None:
        assert event.worker == 1
        self.reports.append((event.report.lease, event.tails))
        # After the look in which it came, and before any timer: a rest is over in milliseconds.
        asyncio.get_running_loop().call_soon(lambda: self.rested.append(not self.channel.listens))

    def give(self, *leases: int) -> None:
        self.channel.give(TaskFrame(lease, "t", b"h", None, (), (), (), True, {}) for lease in leases)
        self.channel.push()

    def say(self, text: bytes, stream: int = 0) -> None:
        os.write(self.outputs[stream], text)

    def report(self, lease: int, wall_ms: float = 1.0) -> None:
        ends = self.gauge.written(self.outputs)
        self.socket.sendall(encode_frame(ReportFrame(lease, OK, wall_ms, stdout_end=ends[0], stderr_end=ends[1])))

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.001)

    def seen(self, lease: int, stream: int = 1) -> bytes:
        return self.logs.answer(LogPull(1, lease, stream, 0, 1_000_000), over=False).data

    def close(self) -> None:
        self.channel.close()
        self.socket.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self.gauge.close()
        self.objects.close()


def worker(test: Callable[[Far], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    async def run() -> None:
        far = Far()
        try:
            await test(far)
        finally:
            far.close()

    @wraps(test)
    def call() -> None:
        asyncio.run(run())

    del call.__wrapped__  # type: ignore[attr-defined]  # else pytest looks for a fixture `far`
    return call


@worker
async def test_a_queue_is_one_write_and_one_permit_each(far: Far) -> None:
    far.give(1, 2, 3)
    bodies = FrameBuffer().feed(far.socket.recv(65_536))
    assert [decode_task(body).lease for body in bodies] == [1, 2, 3]
    assert os.read(far.permits, 10) == BEGIN * 3


@worker
async def test_output_is_split_where_each_attempt_ended_though_it_is_read_later(far: Far) -> None:
    far.give(1, 2, 3)
    for lease, text in ((1, b"one"), (2, b""), (3, b"three")):
        far.say(text)
        far.say(text.upper(), 1)
        far.report(lease)
    await far.until(lambda: len(far.reports) == 3)
    assert [(lease, tails.stdout, tails.stderr) for lease, tails in far.reports] == [
        (1, b"one", b"ONE"),
        (2, b"", b""),
        (3, b"three", b"THREE"),
    ]


@worker
async def test_output_is_followed_while_an_attempt_runs_and_what_comes_after_it_is_the_nexts(far: Far) -> None:
    far.give(1, 2)
    far.say(b"early ")
    await far.until(lambda: far.seen(1) == b"early ")
    far.say(b"late")
    far.report(1)
    far.say(b"next")
    await far.until(lambda: far.seen(2) == b"next")
    assert [(lease, tails.stdout) for lease, tails in far.reports] == [(1, b"early late")]


@worker
async def test_an_attempt_that_prints_more_than_a_pipe_holds_is_not_held_up(far: Far) -> None:
    far.give(1, 2)
    loop, text = asyncio.get_running_loop(), b"x" * 300_000
    await loop.run_in_executor(None, far.say, text)
    far.report(1)
    await far.until(lambda: far.reports)
    assert far.reports[0][1].stdout_size == len(text)


@worker
async def test_what_was_taken_back_has_no_report_and_no_output(far: Far) -> None:
    far.give(1, 2, 3)
    assert os.read(far.permits, 1) == BEGIN
    assert far.channel.take_back((2, 3)) == (2, 3)
    assert os.read(far.permits, 10) == SKIP * 2
    far.report(1)
    far.give(4)
    far.say(b"four")
    far.report(4)
    await far.until(lambda: len(far.reports) == 2)
    assert [(lease, tails.stdout) for lease, tails in far.reports] == [(1, b""), (4, b"four")]


@worker
async def test_the_dead_have_said_what_is_in_their_socket_and_the_rest_is_the_one_they_died_in(far: Far) -> None:
    far.give(1, 2, 3)
    far.say(b"one")
    far.report(1)
    far.say(b"last words", 1)
    far.channel.rename(2, 12)
    far.socket.close()
    tails = far.channel.finish()
    assert [(lease, each.stdout) for lease, each in far.reports] == [(1, b"one")]
    assert (tails.stdout, tails.stderr) == (b"", b"last words")
    assert far.seen(12, 2) == b"last words"


@worker
async def test_a_worker_that_may_go_finds_the_end_of_its_permits(far: Far) -> None:
    far.channel.dismiss()
    assert os.read(far.permits, 1) == b""


@worker
async def test_reports_of_a_long_queue_are_fetched_now_and_then_and_none_is_left(far: Far) -> None:
    leases = range(1, 101)
    far.give(*leases)
    for lease in leases:
        far.report(lease)
        if lease % 10 == 0:
            await far.until(lambda upto=lease: len(far.reports) == upto)
    await far.until(lambda: len(far.reports) == len(leases))
    assert [lease for lease, _ in far.reports] == list(leases)
    far.give(1_000)
    far.report(1_000)
    await far.until(lambda: far.reports[-1][0] == 1_000)


@worker
async def test_a_worker_that_dies_with_a_long_queue_is_closed_in_peace(far: Far) -> None:
    far.give(*range(1, 101))
    far.report(1)
    await far.until(lambda: far.reports)
    far.report(2)
    far.channel.finish()
    await asyncio.sleep(2 * LONGEST_REST)
    assert [lease for lease, _ in far.reports] == [1, 2]


def test_a_worker_is_left_alone_while_it_has_much_in_hand_and_several_reports_will_come() -> None:
    assert rest_of(20, 1.0) == LONGEST_REST, "ten milliseconds of work: five reports at once"
    assert SHORTEST_REST < rest_of(128, 0.01) < LONGEST_REST, "half of what it has in hand"
    assert rest_of(20, 0.01) == 0, "it will soon be idle"
    assert rest_of(2, 10.0) == 0, "less than one report would come meanwhile"
    assert rest_of(1, 0.01) == 0
    assert rest_of(0, 1_000.0) == 0
    assert rest_of(256, 60_000.0) == 0


@worker
async def test_a_worker_that_says_nothing_after_a_rest_is_listened_to(far: Far) -> None:
    far.give(*range(1, 101))
    far.report(1)
    await far.until(lambda: far.rested)
    assert far.rested == [True]
    await far.until(lambda: far.channel.listens)
    far.report(2)
    await far.until(lambda: len(far.reports) == 2)


@worker
async def test_a_call_that_waited_for_a_cpu_ends_no_rests_and_several_do(far: Far) -> None:
    far.give(*range(1, 101))
    for lease, wall_ms in enumerate([1.0] * 9 + [8.0, 1.0] + [30.0] * 9, 1):
        far.report(lease, wall_ms)
        await far.until(lambda upto=lease: len(far.rested) == upto)
    assert far.rested[:11] == [True] * 11
    assert far.rested[-8:] == [False] * 8

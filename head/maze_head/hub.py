"""What readers get: committed segments, outputs, graphs, kept logs. Memory first, else the journal off the loop.

Rules
* Only what is committed enters: the driver calls `commit` after the commit of the batch, and before the replies of
  that batch leave, so whoever was told of a run finds it here.
* Rings and caches are bounded and may forget anything; the journal is the truth.
* Segments are shared by all readers and never copied. One that is read may begin before the asked position.
* Everything runs on the event loop; only reads of the journal go to two threads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol, TypeVar

from maze_head.batch import Batch
from maze_head.cache import ByteCache
from maze_head.core.effects import Accept, DropRuns
from maze_head.facts import KeptLog, RunPlace
from maze_head.journal_writer import inline_outputs
from maze_protocol.events import SEALING, RunSubmitted, Segment
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, WORKFLOW, parse_id
from maze_protocol.limits import MIB
from maze_protocol.values import OutputValue

__all__ = ["READ_THREADS", "Records", "RunHub"]

CACHE_BYTES: Final = 64 * MIB
RING_EVENTS: Final = 20_000
READ_SEGMENTS: Final = 256
"""Most segments that one read takes from the journal."""
ENTRY_BYTES: Final = 340
OUTPUT_BYTES: Final = 220
"""What an entry and each output of it take beside its content: of small ones that is nearly all."""
READ_THREADS: Final = 2

T = TypeVar("T")
Outputs = tuple[OutputValue, ...]
Listener = Callable[[bytes, Segment], None]


class Records(Protocol):
    """The journal, as the hub reads it; every method may block."""

    def segments(self, run_no: int, after_seq: int, limit: int) -> list[Segment]: ...
    def accepted(self, run_no: int, task_no: int) -> Outputs | None: ...
    def code(self, hash_: bytes) -> bytes | None: ...
    def graph(self, workflow_id: bytes, version: int) -> bytes | None: ...
    def attempt_log(self, run_no: int, task_no: int, attempt: int) -> tuple[bytes, bytes, int, int] | None: ...


class _Tail:
    """The committed end of one run's log."""

    __slots__ = ("last_seq", "ring", "run_id", "sealed", "waiters")

    def __init__(self, run_id: bytes) -> None:
        self.run_id = run_id
        self.last_seq = 0
        self.sealed = False
        # Most runs are long over: what is in use by few is made when it is needed.
        self.ring: deque[Segment] | None = None
        self.waiters: dict[asyncio.Future[None], int] | None = None
        """Who waits, and for events after which number."""

    def advance(self, segment: Segment) -> None:
        assert segment.first_seq == self.last_seq + 1, f"segment {segment.first_seq} after {self.last_seq}"
        self.last_seq += len(segment.events)
        self.sealed = isinstance(segment.events[-1], SEALING)

    def keep(self, segment: Segment) -> None:
        if self.ring is None:
            self.ring = deque()
        self.ring.append(segment)

    def drop_oldest(self) -> Segment:
        assert self.ring, "dropped as often as kept"
        oldest = self.ring.popleft()
        if not self.ring:
            self.ring = None
        return oldest

    def join(self, waiter: asyncio.Future[None], after_seq: int) -> None:
        if self.waiters is None:
            self.waiters = {}
        self.waiters[waiter] = after_seq

    def leave(self, waiter: asyncio.Future[None]) -> None:
        if self.waiters is not None:
            self.waiters.pop(waiter, None)
            self.waiters = self.waiters or None

    def wake(self, *, gone: bool = False) -> None:
        """Wake those whose events have come, and everybody if nothing more will."""
        for waiter, after_seq in (self.waiters or {}).items():
            if gone or self.sealed or self.last_seq > after_seq:
                _settle(waiter)


class RunHub:
    """Committed facts, for the API, the publisher and the dispatcher."""

    def __init__(self, records: Records, listener: Listener | None = None) -> None:
        self._records = records
        self.listener = listener
        self._pool = ThreadPoolExecutor(READ_THREADS, "journal-reader")
        self._tails: dict[int, _Tail] = {}
        self._places: dict[bytes, RunPlace] = {}
        self._held: deque[int] = deque()
        self._held_events = 0
        self._outputs: ByteCache[tuple[int, int], Outputs] = ByteCache(CACHE_BYTES)
        self._codes: ByteCache[bytes, bytes] = ByteCache(CACHE_BYTES // 4)

    def close(self) -> None:
        """Let go of everybody who waits and end the reading threads."""
        for tail in self._tails.values():
            tail.wake(gone=True)
        self._pool.shutdown()

    def restore(self, run_no: int, segment: Segment) -> None:
        """Take in a segment of the journal at start, without keeping it in memory."""
        self._tail(run_no, segment).advance(segment)

    def restore_sealed(self, run_no: int, body: RunBody) -> None:
        """Take in a run that is over by its summary, at start."""
        run_id, workflow_id = parse_id(body.run_id, RUN), parse_id(body.workflow_id, WORKFLOW)
        tail = self._tails[run_no] = _Tail(run_id)
        tail.last_seq, tail.sealed = body.last_seq, True
        self._places[run_id] = RunPlace(run_no, workflow_id, body.revision)

    def forget(self, run_no: int) -> None:
        """Let go of a run that was removed, and of everybody who waits for it."""
        tail = self._tails.pop(run_no, None)
        if tail is not None:
            self._places.pop(tail.run_id, None)
            self._held_events -= sum(len(segment.events) for segment in tail.ring or ())
            tail.wake(gone=True)

    def commit(self, batch: Batch) -> None:
        """Take in a committed batch: outputs and code first, so that a reader of an event finds what it tells of."""
        if batch.accepted:
            self._outputs.put_all(_entries(batch.accepted))
        for code in batch.codes:
            self._codes.put(code.hash, code.body, len(code.body))
        for run_no, segment in batch.segments():
            self.publish(run_no, segment)
        for order in batch.drops:
            if isinstance(order, DropRuns):
                for run_no in order.run_nos:
                    self.forget(run_no)

    def publish(self, run_no: int, segment: Segment) -> None:
        """Hand a committed segment to everybody who waits for it."""
        tail = self._tail(run_no, segment)
        tail.advance(segment)
        tail.keep(segment)
        self._held.append(run_no)
        self._held_events += len(segment.events)
        while self._held_events > RING_EVENTS and len(self._held) > 1:
            oldest = self._tails.get(self._held.popleft())
            if oldest is not None:
                self._held_events -= len(oldest.drop_oldest().events)
        tail.wake()
        if self.listener is not None:
            self.listener(tail.run_id, segment)

    async def find(self, run_id: bytes) -> RunPlace | None:
        """Look up a committed run."""
        return self._places.get(run_id)

    def last_seq(self, run_no: int) -> int:
        """Return the number of the newest committed event of a run, 0 if it is unknown."""
        tail = self._tails.get(run_no)
        return 0 if tail is None else tail.last_seq

    def tip(self, run_id: bytes) -> tuple[int, bool] | None:
        """Return the number of the newest committed event of a run and whether its log is sealed, or None."""
        place = self._places.get(run_id)
        if place is None:
            return None
        tail = self._tails[place.run_no]
        return tail.last_seq, tail.sealed

    def ended(self, run_no: int, after_seq: int) -> bool:
        """Tell whether no event after that number will ever be committed."""
        tail = self._tails.get(run_no)
        return tail is not None and tail.sealed and after_seq >= tail.last_seq

    async def read(self, run_no: int, after_seq: int) -> list[Segment]:
        """Return committed segments that hold events after `after_seq`, oldest first; maybe not all at once."""
        tail = self._tails.get(run_no)
        if tail is None or after_seq >= tail.last_seq:
            return []
        ring = tail.ring
        if ring and ring[0].first_seq <= after_seq + 1:
            return _newer(ring, after_seq)
        return await self._off_loop(partial(self._records.segments, run_no, after_seq, READ_SEGMENTS))

    async def wait(self, run_no: int, after_seq: int, timeout: float) -> bool:  # noqa: ASYNC109 -- callers poll with it
        """Return True once events after `after_seq` are committed, False after `timeout` seconds or at the end."""
        tail = self._tails.get(run_no)
        if tail is None or timeout <= 0 or tail.sealed or tail.last_seq > after_seq:
            return tail is not None and tail.last_seq > after_seq
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        tail.join(waiter, after_seq)
        # Not asyncio.timeout: a thousand streams may wait here, and this makes no task and no exception.
        timer = loop.call_later(timeout, _settle, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            tail.leave(waiter)
        return tail.last_seq > after_seq

    def peek_outputs(self, run_no: int, task_no: int) -> Outputs | None:
        """Return cached outputs, without touching the disk."""
        return self._outputs.get((run_no, task_no))

    async def outputs(self, run_no: int, task_no: int) -> Outputs:
        """Return the accepted outputs of a finished task, bodies inline.

        Raises:
            LookupError: no result of that task was accepted.
        """
        cached = self.peek_outputs(run_no, task_no)
        if cached is not None:
            return cached
        found = _found(await self._off_loop(partial(self._records.accepted, run_no, task_no)))
        size = ENTRY_BYTES + sum([OUTPUT_BYTES + len(output.value.body) for output in found])
        self._outputs.put((run_no, task_no), found, size)
        return found

    def peek_code(self, hash_: bytes) -> bytes | None:
        """Return a cached function body, without touching the disk."""
        return self._codes.get(hash_)

    async def code(self, hash_: bytes) -> bytes:
        """Return the kept body of a function.

        Raises:
            LookupError: there is none with this hash.
        """
        cached = self.peek_code(hash_)
        if cached is not None:
            return cached
        found = _found(await self._off_loop(partial(self._records.code, hash_)))
        self._codes.put(hash_, found, len(found))
        return found

    async def graph(self, workflow_id: bytes, version: int) -> bytes:
        """Return a graph version in the core's encoding.

        Raises:
            LookupError: there is no such version.
        """
        return _found(await self._off_loop(partial(self._records.graph, workflow_id, version)))

    async def kept_log(self, run_no: int, task_no: int, attempt: int, stream: int) -> KeptLog | None:
        """Return the kept tail of stream 1 (stdout) or 2 (stderr) of an attempt, or None."""
        log = await self._off_loop(partial(self._records.attempt_log, run_no, task_no, attempt))
        if log is None:
            return None
        stdout, stderr, stdout_size, stderr_size = log
        return KeptLog(stdout, stdout_size) if stream == 1 else KeptLog(stderr, stderr_size)

    def counters(self) -> dict[str, int | float]:
        """Return what the hub holds in memory."""
        return {
            "hub_runs": len(self._tails),
            "hub_ring_events": self._held_events,
            "hub_cached_bytes": self._outputs.size + self._codes.size,
        }

    def _tail(self, run_no: int, segment: Segment) -> _Tail:
        tail = self._tails.get(run_no)
        if tail is None:
            first = segment.events[0]
            assert isinstance(first, RunSubmitted), f"run {run_no} begins with {type(first).__name__}"
            tail = self._tails[run_no] = _Tail(first.run_id)
            self._places[first.run_id] = RunPlace(run_no, first.workflow_id, first.version)
        return tail

    async def _off_loop(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, read)


def _entries(accepted: list[Accept]) -> list[tuple[tuple[int, int], Outputs, int]]:
    return [
        (
            (each.run_no, each.task_no),
            inline_outputs(each) if each.payloads else each.outputs,
            ENTRY_BYTES + OUTPUT_BYTES * len(each.outputs) + each.size,
        )
        for each in accepted
    ]


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _newer(ring: deque[Segment], after_seq: int) -> list[Segment]:
    """Return the end of a ring; most readers are at most one commit behind, so the search starts there."""
    found: list[Segment] = []
    for segment in reversed(ring):
        found.append(segment)
        if segment.first_seq <= after_seq + 1:
            break
    found.reverse()
    return found


def _found(row: T | None) -> T:
    if row is None:
        raise LookupError("the journal holds no such row")
    return row

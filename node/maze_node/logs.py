"""Captured output by attempt: a ring per stream, read by pulls while the attempt runs and for a while after.

The newest LOG_KEEP bytes of each stream are kept; older ones count in offsets but are gone. Attempts that are over
share KEEP_ENDED bytes, the oldest go first. An attempt that printed nothing costs nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from maze_node.core.events import NO_OUTPUT, LogTails
from maze_protocol.limits import LOG_KEEP, LOG_TAIL
from maze_protocol.messages import LogChunk, LogPull

__all__ = ["STDERR", "STDOUT", "Logs"]

STDOUT: Final = 1
STDERR: Final = 2
KEEP_ENDED: Final = 64 * 2**20
KEEP_ATTEMPTS: Final = 10_000
MAX_CHUNK: Final = 256 * 1024


class Ring:
    """The newest bytes of one stream."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self.size = 0
        """Bytes ever written; the offset of the next one."""

    @property
    def held(self) -> int:
        """Return how many bytes are in memory."""
        return self._held

    def append(self, data: bytes) -> None:
        """Add bytes; let go of the oldest beyond the limit."""
        self._chunks.append(data)
        self._held += len(data)
        self.size += len(data)
        while self._held - len(self._chunks[0]) >= self._keep:
            self._held -= len(self._chunks.popleft())

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Return (first offset, bytes) at or after `offset`."""
        position = self.size - self._held
        start = max(offset, position)
        parts: list[bytes] = []
        wanted = limit
        for chunk in self._chunks:
            if position + len(chunk) > start and wanted > 0:
                part = chunk[max(0, start - position) :][:wanted]
                parts.append(part)
                wanted -= len(part)
            position += len(chunk)
        return start, b"".join(parts)

    def tail(self, limit: int) -> bytes:
        """Return the last bytes."""
        return self.read(self.size - limit, limit)[1]


class Logs:
    """The output of running and ended attempts, by lease."""

    def __init__(self, keep: int = LOG_KEEP, keep_ended: int = KEEP_ENDED) -> None:
        self._keep = keep
        self._keep_ended = keep_ended
        self._rings: dict[int, dict[int, Ring]] = {}
        self._ended: OrderedDict[int, int] = OrderedDict()
        self._ended_bytes = 0
        self._spoke: dict[int, None] = {}

    def append(self, lease: int, stream: int, data: bytes) -> None:
        """Add what an attempt wrote."""
        rings = self._rings.setdefault(lease, {})
        ring = rings.get(stream)
        if ring is None:
            ring = rings[stream] = Ring(self._keep)
        ring.append(data)
        self._spoke[lease] = None

    def take_spoke(self) -> tuple[int, ...]:
        """Return the attempts that have written something since the last call."""
        spoke, self._spoke = self._spoke, {}
        return tuple(spoke)

    def end(self, lease: int) -> LogTails:
        """An attempt is over: return its tails, keep its rings within the common bound."""
        rings = self._rings.get(lease)
        if rings is None:
            return NO_OUTPUT
        self._ended[lease] = sum(ring.held for ring in rings.values())
        self._ended_bytes += self._ended[lease]
        (stdout, stdout_size), (stderr, stderr_size) = (_tail(rings.get(each)) for each in (STDOUT, STDERR))
        while self._ended_bytes > self._keep_ended or len(self._ended) > KEEP_ATTEMPTS:
            self.drop(next(iter(self._ended)))
        return LogTails(stdout, stderr, stdout_size, stderr_size)

    def answer(self, pull: LogPull, *, over: bool) -> LogChunk:
        """Answer a pull."""
        rings = self._rings.get(pull.lease)
        ring = rings.get(pull.stream) if rings is not None else None
        known = rings is not None or not over
        if ring is None:
            return LogChunk(pull.request, pull.lease, pull.stream, 0, b"", over, known)
        offset, data = ring.read(pull.offset, min(pull.limit, MAX_CHUNK))
        end = over and offset + len(data) >= ring.size
        return LogChunk(pull.request, pull.lease, pull.stream, offset, data, end, known)

    def rename(self, old: int, new: int) -> None:
        """The attempt goes on under another lease."""
        if old in self._rings:
            self._rings[new] = self._rings.pop(old)
        if old in self._ended:
            self._ended[new] = self._ended.pop(old)
        if old in self._spoke:
            self._spoke[new] = self._spoke.pop(old)

    def drop(self, lease: int) -> None:
        """Forget an attempt's output."""
        self._rings.pop(lease, None)
        self._ended_bytes -= self._ended.pop(lease, 0)


def _tail(ring: Ring | None) -> tuple[bytes, int]:
    return (ring.tail(LOG_TAIL), ring.size) if ring is not None else (b"", 0)

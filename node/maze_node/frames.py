"""What travels between the agent, its spawner and its workers: private to one node, both ends of one version.

Rules
* Pure: bytes in, structs out. The sockets are in pool.py, spawner.py and worker.py.
* Agent and worker speak over a stream socket: u32 length, big-endian, then a MessagePack array. A worker may be sent
  many tasks, begins one at a time as it is permitted to (permits.py), and writes its report before it goes on: so the
  first task without a report is the one to blame. Of tasks that are alike, one after the other, only the first is told
  whole.
* Agent and spawner speak over a SEQPACKET socket, one array per packet; FORK carries descriptors beside it.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final

import msgspec

from maze_protocol.messages import ErrorInfo, OutputDecl
from maze_protocol.values import Input, OutputValue

__all__ = [
    "CodeBody", "Exited", "Fork", "Forked", "FrameBuffer", "Kill", "LikeFrame", "Ping", "Preloaded", "ReportFrame",
    "Sandbox", "TaskFrame",
    "decode_packet", "decode_report", "decode_task", "encode_frame", "encode_packet", "LENGTH",
]  # fmt: skip

LENGTH: Final = struct.Struct(">I")


class CodeBody(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The body of a function, sent to a worker once."""

    kind: str
    python: tuple[int, int]
    body: bytes
    name: str


class Sandbox(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How the one attempt of a worker is shut in."""

    cut_network: bool
    cpu_seconds: int = 0
    """Of all CPUs together; 0: no limit."""
    memory_mib: int = 0
    """What it may take beyond what the worker has before; 0: no limit."""


class TaskFrame(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """One attempt for a worker. All values carry their bodies, but for those that are objects."""

    lease: int
    name: str
    code: bytes
    """Hash of the function; `fresh` is its body if this worker has not had it yet."""
    fresh: CodeBody | None
    forget: tuple[bytes, ...]
    """Functions that the worker shall drop from its cache."""
    inputs: tuple[Input, ...]
    outputs: tuple[OutputDecl, ...]
    strict: bool
    environ: dict[str, str]
    """With the first frame of a worker: set before any of its user code runs, and never changed in its life."""
    run: bytes = b""
    task: bytes = b""
    attempt: int = 0
    gang: tuple[str, ...] = ()
    """Addresses of all nodes of an attempt that has several, this one first."""
    cpus: tuple[int, ...] = ()
    """Where it runs; empty: wherever the node may."""
    until: float = 0.0
    """Not to be begun after that instant, by the clock that runs during suspend; 0: it was to begin at once."""
    objects: int = 0
    """How many of its inputs are objects: their descriptors come beside it (descriptors.py)."""
    spool: str = ""
    """Where outputs may become files; empty: all outputs travel in the report."""
    on_disk: bool = False
    """Large outputs are to be files from the beginning: the node's budget of memory is used up."""
    sandbox: Sandbox | None = None


class LikeFrame(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """One more attempt for a worker, in all but this like that of its last TaskFrame. No input of it is an object."""

    lease: int
    inputs: tuple[Input, ...]
    task: bytes
    attempt: int
    until: float
    objects: ClassVar[int] = 0


class ReportFrame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How an attempt ended, by the worker that ran it."""

    lease: int
    status: int
    wall_ms: float
    outputs: tuple[OutputValue, ...] = ()
    error: ErrorInfo | None = None
    cpu_ms: float = 0.0
    peak_rss_kib: int = 0
    warnings: tuple[str, ...] = ()
    unclean: str = ""
    """What the attempt left behind in the process (threads, children); such a worker begins nothing more."""
    started_at: float = 0.0
    """By the wall clock of the node."""
    late: bool = False
    """It did not begin: its time for that was over."""
    stdout_end: int = 0
    """How many bytes this worker had written to its standard output when the attempt ended (gauge.py)."""
    stderr_end: int = 0
    objects: int = 0
    """How many of its outputs are objects: their descriptors come beside it (descriptors.py)."""
    on_disk: tuple[int, ...] = ()
    """The numbers of those outputs that are files; the other objects are in memory."""


class Fork(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Fork a worker; six descriptors come along.

    They are: task socket, permits, stdout pipe, stderr pipe, page of the gauge, socket for descriptors.
    """

    worker: int


class Kill(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Send a signal to a worker's process group, unless it has been reaped."""

    worker: int
    signal: int


class Forked(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """A worker lives."""

    worker: int
    pid: int


class Exited(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """A worker is dead and reaped: its pid is free, its memory too."""

    worker: int
    status: int
    """As of waitpid."""
    peak_rss_kib: int
    cpu_ms: float


class Ping(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """Is the spawner at work? It sends the same back."""


class Preloaded(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """The spawner has imported what it was told to, or knows why not; said once, before anything else."""

    loaded: tuple[str, ...]
    trouble: dict[str, str]
    """Of the others: why workers do not start with them."""


Packet = Fork | Kill | Forked | Exited | Ping | Preloaded

_encoder: Final = msgspec.msgpack.Encoder()
_tasks: Final[msgspec.msgpack.Decoder[TaskFrame | LikeFrame]] = msgspec.msgpack.Decoder(TaskFrame | LikeFrame)
_reports: Final = msgspec.msgpack.Decoder(ReportFrame)
_packets: Final = msgspec.msgpack.Decoder(Packet)

encode_packet = _encoder.encode
decode_packet = _packets.decode
decode_task = _tasks.decode
decode_report = _reports.decode


def encode_frame(frame: TaskFrame | LikeFrame | ReportFrame) -> bytes:
    """Return a frame with its length in front."""
    body = _encoder.encode(frame)
    return LENGTH.pack(len(body)) + body


class FrameBuffer:
    """Cuts a stream of bytes into frame bodies."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the bodies that are complete now."""
        if self._pending:
            self._pending += data
            data = bytes(self._pending) if self._is_whole() else b""
        bodies, size = [], len(data)
        start, body, unpack = 0, LENGTH.size, LENGTH.unpack_from
        while body <= size:
            end = body + unpack(data, start)[0]
            if end > size:
                break
            bodies.append(data[body:end])
            start, body = end, end + LENGTH.size
        if start or not self._pending:
            self._pending = bytearray(data[start:])
        return bodies

    def _is_whole(self) -> bool:
        """Tell whether the first frame has come as a whole: a large one comes in many parts, each looked at once."""
        size = len(self._pending)
        return size >= LENGTH.size and size >= LENGTH.size + LENGTH.unpack_from(self._pending)[0]

"""Every message between head and node, and between nodes. Nouns; docs/wire.md tells the same story in prose.

Rules
* array_like Structs with an integer tag: the body is the array [tag, field, field, …].
* Fields are only ever appended, with a default, so that an old decoder reads a newer message and a new decoder an
  older one. Tags are never reused. A required field is for ever.
* Times on the wire are seconds (float) of the sender's clock and only shown, never compared between machines.
* What a receiver must not be hurt by is bounded in the field's type (bounds.py).
* They are trees of what cannot change, so the collector need not look at them (gc=False, as in all wire structs): a
  head that caches a million of them would else stand still for a second now and then.
* `RELIABLE` messages are numbered by the session (seq); the others may be lost without harm.
"""

from __future__ import annotations

from typing import Final

import msgspec

from maze_protocol.bounds import Count, Finite, Interval, Many, NonNegative, Texts, Token
from maze_protocol.resources import Capacity, Claim
from maze_protocol.transfers import BlobHello, BlobOffer, Chunk, Denied, Fetch, Unknown
from maze_protocol.values import Input, OutputValue, Value

__all__ = [
    "AckItem", "Assign", "Assignment", "BlobHello", "BlobOffer", "Cancel", "Chunk", "Code", "Credit", "Denied",
    "Disconnect", "Drain", "ErrorInfo", "Fetch", "Forget", "Goodbye", "Heartbeat", "HeartbeatAck", "Hello", "Held",
    "Holding", "LogChunk", "LogPull", "Measured", "Message", "Nak", "NodeConfig", "NodeLoad", "Outcome",
    "OutputDecl", "Recall", "Rehello", "Reject", "Release", "Result", "ResultAck", "RetryAfter", "Shutdown",
    "StartedItem", "Started", "Starved", "Unknown", "Welcome", "OK", "FAILED", "CRASHED", "CANCELLED", "TIMED_OUT",
    "MESSAGES", "RELIABLE", "TYPE_OF", "AT_MOST_ONCE", "KEEP", "SANDBOX", "HELD_LEASED", "HELD_RUNNING", "HELD_DONE",
    "ACCEPTED", "STALE", "DUPLICATE", "REVOKED",
]  # fmt: skip

OK: Final = 0
FAILED: Final = 1
"""The task's own code is at fault: it raised, returned nonsense, or could not be loaded."""
CRASHED: Final = 2
"""The worker process died under the task."""
CANCELLED: Final = 3
TIMED_OUT: Final = 4

AT_MOST_ONCE: Final = 1
KEEP: Final = 2
SANDBOX: Final = 4
"""The attempt is to be shut in (only to nodes that tell what their sandbox is)."""

HELD_LEASED: Final = 0
HELD_RUNNING: Final = 1
HELD_DONE: Final = 2

ACCEPTED: Final = 0
STALE: Final = 1

DUPLICATE: Final = "duplicate"
REVOKED: Final = "revoked"
"""Codes of DISCONNECT that mean for good."""


class ErrorInfo(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Why an attempt failed: `kind` is for programs, the rest for people."""

    kind: str
    """user, bad_code, bad_input, bad_return, python_mismatch, too_large, crash, memory, node_lost, timeout, …"""
    type_name: str
    message: str
    traceback: str = ""
    """`Traceback (most recent call last):\\n…` with the user's frames, or empty."""
    signal: str = ""
    exit_code: int | None = None
    stderr_tail: str = ""
    bases: Many[str] = ()
    """Of an exception: the qualified names of its class and of what that inherits from, for `retry_on`."""
    oom: bool = False
    """The kernel killed the worker for lack of memory."""
    peak_mib: Count = 0
    """Of an attempt that took more memory than its claim: how much it had, when it was stopped."""

    @property
    def text(self) -> str:
        """Return what readers see: the traceback, or the worker's last words and `Type: message`; that line is last."""
        if self.traceback:
            return self.traceback
        verdict = f"{self.type_name}: {self.message}"
        words = [f"  {line.rstrip()}\n" for line in self.stderr_tail.strip().splitlines()]
        return f"The end of its stderr:\n{''.join(words)}{verdict}" if words else verdict


class Held(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One lease that a node still holds, told in HELLO."""

    lease: Token
    state: Count
    started_at: Finite = 0.0


class Hello(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """A node introduces itself; the first message on every connection."""

    min_major: Count
    max_major: Count
    minor: Count
    node_id: str
    incarnation: Token
    capacity: Capacity
    python: tuple[Count, Count, Count]
    maze_version: str
    hostname: str = ""
    address: str = ""
    """The address under which others reach this node; shown as `node_ip`."""
    features: Many[str] = ()
    last_session: Token = 0
    cluster_id: bytes = b""
    epoch: Token = 0
    inventory: Many[Held] = ()
    labels: Texts = {}
    peer_endpoint: str = ""
    peer_key: str = ""
    pid: Count = 0
    platform: str = ""
    remaining: NonNegative = 0.0
    """Seconds until this node has to leave (the end of a batch job); 0: it stays."""
    isolation: str = ""
    """How far attempts are kept from the machine: none, process, bwrap; empty: this node does not tell."""
    sandbox: str = ""
    """What sandboxed attempts run under, in words: `process sandbox no-network`; empty: it knows no sandbox."""


class Welcome(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """The head accepts a node: the session begins."""

    major: Count
    minor: Count
    session: Token
    epoch: Token
    cluster_id: bytes
    heartbeat: Interval
    suspect_after: Interval
    lease_ttl: Interval
    orphan_timeout: NonNegative
    features: Many[str] = ()
    keep: Many[tuple[Token, Token]] = ()
    drop: Many[Token] = ()
    send: Many[Token] = ()
    secret: bytes = b""
    """Of this session: the key of the tickets by which others may fetch objects here (tickets.py)."""
    blob_endpoint: str = ""
    """The head's ROUTER for objects; its host is the one that the node knows the head by if it is empty there."""


class Reject(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=3):
    """The head refuses a node for good; readable by every version."""

    code: str
    reason: str
    min_major: Count = 0
    max_major: Count = 0


class Rehello(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=4):
    """The head does not know this connection: introduce yourself."""

    reason: str = ""


class Disconnect(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=5):
    """The head ends the session.

    `duplicate`: another process took the name of this node, which exits; `revoked`: its key counts no more, and it
    exits, too. Any other code (`superseded` by a newer connection of the same process, `lost`, `shutdown`, …): the node
    comes back.
    """

    code: str
    reason: str = ""


class RetryAfter(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=6):
    """The head is busy admitting others: come back after so many seconds."""

    seconds: NonNegative


class Goodbye(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=7):
    """A node leaves in good order; it holds nothing any more."""

    reason: str = ""


class NodeLoad(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a node measures of itself, refreshed with each heartbeat; for people and for placement."""

    running: Count = 0
    workers: Count = 0
    cpu_percent: Finite = 0.0
    mem_free_mib: Count = 0
    rss_mib: Count = 0
    gpu_free_mib: Many[Count] = ()
    fork_failures: Count = 0
    """Workers in a row that died before they had a task: many of them mean that this node cannot work."""


class Heartbeat(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
    """A node lives."""

    sent_at: Finite
    load: NodeLoad = NodeLoad()


class HeartbeatAck(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=9):
    """The head lives; echoes the node's own clock reading."""

    echo: Finite
    sent_at: Finite = 0.0


class Nak(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=10):
    """A message was refused, with the reason code of the ProtocolError."""

    code: str
    reason: str = ""
    tag: Count = 0


class OutputDecl(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A declared output; an empty `data_type` means unchecked."""

    key: str
    data_type: str = ""


class Assignment(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One leased attempt."""

    lease: Token
    grant: Count
    """Leases of one grant share its resources, one after the other."""
    run: bytes
    task: bytes
    attempt: Count
    name: str
    code: bytes
    """Hash of a `Code` that was sent earlier on this session."""
    inputs: Many[Input]
    outputs: Many[OutputDecl]
    claim: Claim
    flags: Count = 0
    timeout: NonNegative = 0.0
    idle_timeout: NonNegative = 0.0
    project: str = ""
    trace: str = ""
    strict_outputs: bool = True
    """False for tasks of the original's wire: whatever the function returns is the result."""
    gang: Many[str] = ()
    """Addresses of all nodes of an attempt that has several, its own first; empty for one."""
    after: Token = 0
    """Of an early lease: the lease that makes what it lacks, and that the same node holds; 0: it has all its inputs."""
    awaits: Many[tuple[Count, str]] = ()
    """What an early lease lacks: (number of the input, output key), in the order of that input's parts."""


class Assign(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=16):
    """Work for a node."""

    items: Many[Assignment]


class StartedItem(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An attempt began to run, by the node's wall clock."""

    lease: Token
    started_at: Finite
    pid: Count = 0


class Started(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=17):
    """Attempts that run and have not finished yet."""

    items: Many[StartedItem]


class Outcome(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The end of one attempt. A node keeps it until the head acknowledges it."""

    lease: Token
    status: Count
    started_at: Finite
    wall_ms: Finite
    outputs: Many[OutputValue] = ()
    error: ErrorInfo | None = None
    cpu_ms: Finite = 0.0
    peak_rss_kib: Count = 0
    stdout_tail: bytes = b""
    stderr_tail: bytes = b""
    stdout_size: Count = 0
    stderr_size: Count = 0
    warnings: Many[str] = ()
    pid: Count = 0


class Result(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=18):
    """Finished attempts."""

    items: Many[Outcome]


class AckItem(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The head's answer to one outcome: ACCEPTED or STALE; either way the node may forget it."""

    lease: Token
    verdict: Count


class ResultAck(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=19):
    """Outcomes that are committed, or refused."""

    items: Many[AckItem]


class Cancel(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=20):
    """Stop these leases: SIGTERM, then SIGKILL after `grace` seconds; answered by RESULT or RELEASE."""

    leases: Many[Token]
    reason: str = ""
    grace: NonNegative = 5.0


class Recall(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=21):
    """Give back what has not started."""

    leases: Many[Token]


class Release(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=22):
    """Leases handed back un-started; proof that they never ran."""

    leases: Many[Token]
    reason: str = ""


class Forget(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=23):
    """Nobody needs these objects or logs any more."""

    leases: Many[Token]


class Code(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=24):
    """The body of a function, sent once per session ahead of its first use."""

    hash: bytes
    kind: str
    """`pickle` (cloudpickle of a function) or `source` (Python text, the original's `code_str`)."""
    python: tuple[Count, Count]
    body: Value
    name: str = ""


class Credit(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=25):
    """How much more a node takes, in absolute numbers."""

    leases: Count
    bytes: Count = 0


class Drain(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=26):
    """A node asks for no further work; it finishes what runs."""

    reason: str = ""
    deadline: NonNegative = 0.0


class Measured(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=29):
    """What a node can offer has changed: a device vanished or came back, others use it, a quota was moved."""

    capacity: Capacity
    reason: str = ""


class Holding(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=30):
    """Objects that a node has: what it holds when a session begins, then copies that it got.

    Objects that an attempt made are told by its outcome and not again.
    """

    objects: Many[tuple[Token, Count]]
    """(producing lease, output number)."""
    whole: bool = False
    """The last part of what it held at the WELCOME: whatever else the head believed to be there is gone."""


class Starved(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=31):
    """A lease handed back un-started, because inputs of it could be had from nobody."""

    lease: Token
    objects: Many[tuple[Token, Count]]
    """Those that are missing."""
    reason: str = ""


class NodeConfig(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=27):
    """Cluster-wide facts for nodes; versioned, the newest wins."""

    version: Count
    peer_keys: Many[str] = ()
    settings: Texts = {}


class Shutdown(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=28):
    """The head tells a node to drain and exit."""

    reason: str = ""
    drain_timeout: NonNegative = 30.0


class LogPull(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=32):
    """Ask for captured output of an attempt."""

    request: Count
    lease: Token
    stream: Count
    """1 stdout, 2 stderr."""
    offset: Count
    limit: Count = 65_536


class LogChunk(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=33):
    """Captured output from `offset`; `end` when the attempt is over and nothing follows."""

    request: Count
    lease: Token
    stream: Count
    offset: Count
    data: bytes
    end: bool
    known: bool = True


Message = (
    Hello | Welcome | Reject | Rehello | Disconnect | RetryAfter | Goodbye | Heartbeat | HeartbeatAck | Nak
    | Assign | Started | Result | ResultAck | Cancel | Recall | Release | Forget | Code | Credit | Drain | Measured
    | NodeConfig | Shutdown | LogPull | LogChunk | Fetch | Chunk | Unknown | Denied | BlobOffer | BlobHello
    | Holding | Starved
)  # fmt: skip

MESSAGES: Final[tuple[type[msgspec.Struct], ...]] = Message.__args__
TYPE_OF: Final[dict[type[msgspec.Struct], int]] = {
    message: tag for message in MESSAGES if isinstance(tag := message.__struct_config__.tag, int)
}
RELIABLE: Final = (
    Assign,
    Started,
    Result,
    ResultAck,
    Cancel,
    Recall,
    Release,
    Forget,
    Code,
    Drain,
    Measured,
    Holding,
    Starved,
    Shutdown,
    Goodbye,
)

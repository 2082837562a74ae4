"""Every message between head and node, and between nodes. Nouns; docs/wire.md tells the same story in prose.

Rules
* array_like Structs with an integer tag: the body is the array [tag, field, field, …].
* Fields are only ever appended, with a default, so that an old decoder reads a newer message and a new decoder an
  older one. Tags are never reused. A required field is for ever.
* Times on the wire are seconds (float) of the sender's clock and only shown, never compared between machines.
* `RELIABLE` messages are numbered by the session (seq); the others may be lost without harm.
"""

from __future__ import annotations

from typing import Final

import msgspec

from maze_protocol.resources import Capacity, Claim
from maze_protocol.values import Input, OutputValue, Value

__all__ = [
    "AckItem", "Assign", "Assignment", "BlobOffer", "Cancel", "Chunk", "Code", "Credit", "Denied", "Disconnect",
    "Drain", "ErrorInfo", "Fetch", "Forget", "Goodbye", "Heartbeat", "HeartbeatAck", "Hello", "Held", "LogChunk",
    "LogPull", "Message", "Nak", "NodeConfig", "NodeLoad", "Outcome", "OutputDecl", "Recall", "Rehello", "Reject",
    "Release", "Result", "ResultAck", "RetryAfter", "Shutdown", "StartedItem", "Started", "Unknown", "Welcome",
    "OK", "FAILED", "CRASHED", "CANCELLED", "TIMED_OUT", "MESSAGES", "RELIABLE", "TYPE_OF",
    "AT_MOST_ONCE", "KEEP", "HELD_LEASED", "HELD_RUNNING", "HELD_DONE", "ACCEPTED", "STALE",
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

HELD_LEASED: Final = 0
HELD_RUNNING: Final = 1
HELD_DONE: Final = 2

ACCEPTED: Final = 0
STALE: Final = 1


class ErrorInfo(msgspec.Struct, array_like=True, frozen=True):
    """Why an attempt failed: `kind` is for programs, the rest for people."""

    kind: str
    """user, bad_code, bad_input, bad_return, python_mismatch, too_large, crash, node_lost, cancelled or timeout."""
    type_name: str
    message: str
    traceback: str = ""
    """`Traceback (most recent call last):\\n…` with the user's frames, or empty."""
    signal: str = ""
    exit_code: int | None = None
    stderr_tail: str = ""

    @property
    def text(self) -> str:
        """Return what readers see: the traceback, or `Type: message` if there is none."""
        return self.traceback or f"{self.type_name}: {self.message}"


class Held(msgspec.Struct, array_like=True, frozen=True):
    """One lease that a node still holds, told in HELLO."""

    lease: int
    state: int
    started_at: float = 0.0


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """A node introduces itself; the first message on every connection."""

    min_major: int
    max_major: int
    minor: int
    node_id: str
    incarnation: int
    capacity: Capacity
    python: tuple[int, int, int]
    maze_version: str
    hostname: str = ""
    address: str = ""
    """The address under which others reach this node; shown as `node_ip`."""
    features: tuple[str, ...] = ()
    last_session: int = 0
    cluster_id: bytes = b""
    epoch: int = 0
    inventory: tuple[Held, ...] = ()
    labels: dict[str, str] = {}
    peer_endpoint: str = ""
    peer_key: str = ""
    pid: int = 0
    platform: str = ""


class Welcome(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The head accepts a node: the session begins."""

    major: int
    minor: int
    session: int
    epoch: int
    cluster_id: bytes
    heartbeat: float
    suspect_after: float
    lease_ttl: float
    orphan_timeout: float
    features: tuple[str, ...] = ()
    keep: tuple[tuple[int, int], ...] = ()
    drop: tuple[int, ...] = ()
    send: tuple[int, ...] = ()


class Reject(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The head refuses a node for good; readable by every version."""

    code: str
    reason: str
    min_major: int = 0
    max_major: int = 0


class Rehello(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """The head does not know this connection: introduce yourself."""

    reason: str = ""


class Disconnect(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """The head ends the session; `duplicate` means that a newer process took the name."""

    code: str
    reason: str = ""


class RetryAfter(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """The head is busy admitting others: come back after so many seconds."""

    seconds: float


class Goodbye(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """A node leaves in good order; it holds nothing any more."""

    reason: str = ""


class NodeLoad(msgspec.Struct, array_like=True, frozen=True):
    """What a node measures of itself, refreshed with each heartbeat; for people and for placement."""

    running: int = 0
    workers: int = 0
    cpu_percent: float = 0.0
    mem_free_mib: int = 0
    rss_mib: int = 0
    gpu_free_mib: tuple[int, ...] = ()


class Heartbeat(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """A node lives."""

    sent_at: float
    load: NodeLoad = NodeLoad()


class HeartbeatAck(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """The head lives; echoes the node's own clock reading."""

    echo: float
    sent_at: float = 0.0


class Nak(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """A message was refused, with the reason code of the ProtocolError."""

    code: str
    reason: str = ""
    tag: int = 0


class OutputDecl(msgspec.Struct, array_like=True, frozen=True):
    """A declared output; an empty `data_type` means unchecked."""

    key: str
    data_type: str = ""


class Assignment(msgspec.Struct, array_like=True, frozen=True):
    """One leased attempt."""

    lease: int
    grant: int
    """Leases of one grant share its resources, one after the other."""
    run: bytes
    task: bytes
    attempt: int
    name: str
    code: bytes
    """Hash of a `Code` that was sent earlier on this session."""
    inputs: tuple[Input, ...]
    outputs: tuple[OutputDecl, ...]
    claim: Claim
    flags: int = 0
    timeout: float = 0.0
    idle_timeout: float = 0.0
    project: str = ""
    trace: str = ""
    strict_outputs: bool = True
    """False for tasks of the original's wire: whatever the function returns is the result."""


class Assign(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """Work for a node."""

    items: tuple[Assignment, ...]


class StartedItem(msgspec.Struct, array_like=True, frozen=True):
    """An attempt began to run, by the node's wall clock."""

    lease: int
    started_at: float
    pid: int = 0


class Started(msgspec.Struct, array_like=True, frozen=True, tag=17):
    """Attempts that run and have not finished yet."""

    items: tuple[StartedItem, ...]


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """The end of one attempt. A node keeps it until the head acknowledges it."""

    lease: int
    status: int
    started_at: float
    wall_ms: float
    outputs: tuple[OutputValue, ...] = ()
    error: ErrorInfo | None = None
    cpu_ms: float = 0.0
    peak_rss_kib: int = 0
    stdout_tail: bytes = b""
    stderr_tail: bytes = b""
    stdout_size: int = 0
    stderr_size: int = 0
    warnings: tuple[str, ...] = ()
    pid: int = 0


class Result(msgspec.Struct, array_like=True, frozen=True, tag=18):
    """Finished attempts."""

    items: tuple[Outcome, ...]


class AckItem(msgspec.Struct, array_like=True, frozen=True):
    """The head's answer to one outcome: ACCEPTED or STALE; either way the node may forget it."""

    lease: int
    verdict: int


class ResultAck(msgspec.Struct, array_like=True, frozen=True, tag=19):
    """Outcomes that are committed, or refused."""

    items: tuple[AckItem, ...]


class Cancel(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Stop these leases: SIGTERM, then SIGKILL after `grace` seconds; answered by RESULT or RELEASE."""

    leases: tuple[int, ...]
    reason: str = ""
    grace: float = 5.0


class Recall(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """Give back what has not started."""

    leases: tuple[int, ...]


class Release(msgspec.Struct, array_like=True, frozen=True, tag=22):
    """Leases handed back un-started; proof that they never ran."""

    leases: tuple[int, ...]
    reason: str = ""


class Forget(msgspec.Struct, array_like=True, frozen=True, tag=23):
    """Nobody needs these objects or logs any more."""

    leases: tuple[int, ...]


class Code(msgspec.Struct, array_like=True, frozen=True, tag=24):
    """The body of a function, sent once per session ahead of its first use."""

    hash: bytes
    kind: str
    """`pickle` (cloudpickle of a function) or `source` (Python text, the original's `code_str`)."""
    python: tuple[int, int]
    body: Value
    name: str = ""


class Credit(msgspec.Struct, array_like=True, frozen=True, tag=25):
    """How much more a node takes, in absolute numbers."""

    leases: int
    bytes: int = 0


class Drain(msgspec.Struct, array_like=True, frozen=True, tag=26):
    """A node asks for no further work; it finishes what runs."""

    reason: str = ""
    deadline: float = 0.0


class NodeConfig(msgspec.Struct, array_like=True, frozen=True, tag=27):
    """Cluster-wide facts for nodes; versioned, the newest wins."""

    version: int
    peer_keys: tuple[str, ...] = ()
    settings: dict[str, str] = {}


class Shutdown(msgspec.Struct, array_like=True, frozen=True, tag=28):
    """The head tells a node to drain and exit."""

    reason: str = ""
    drain_timeout: float = 30.0


class LogPull(msgspec.Struct, array_like=True, frozen=True, tag=32):
    """Ask for captured output of an attempt."""

    request: int
    lease: int
    stream: int
    """1 stdout, 2 stderr."""
    offset: int
    limit: int = 65_536


class LogChunk(msgspec.Struct, array_like=True, frozen=True, tag=33):
    """Captured output from `offset`; `end` when the attempt is over and nothing follows."""

    request: int
    lease: int
    stream: int
    offset: int
    data: bytes
    end: bool
    known: bool = True


class Fetch(msgspec.Struct, array_like=True, frozen=True, tag=48):
    """Ask a holder for a piece of an object."""

    request: int
    lease: int
    output: int
    offset: int
    length: int
    ticket: bytes = b""


class Chunk(msgspec.Struct, array_like=True, frozen=True, tag=49):
    """A piece of an object; its bytes are the first payload frame."""

    request: int
    offset: int
    total: int
    crc: int


class Unknown(msgspec.Struct, array_like=True, frozen=True, tag=50):
    """This node does not hold that object (any more)."""

    request: int


class Denied(msgspec.Struct, array_like=True, frozen=True, tag=51):
    """The ticket is not valid here."""

    request: int
    reason: str = ""


class BlobOffer(msgspec.Struct, array_like=True, frozen=True, tag=52):
    """A node offers an object for the head's blob directory."""

    lease: int
    output: int
    size: int
    crc: int


Message = (
    Hello | Welcome | Reject | Rehello | Disconnect | RetryAfter | Goodbye | Heartbeat | HeartbeatAck | Nak
    | Assign | Started | Result | ResultAck | Cancel | Recall | Release | Forget | Code | Credit | Drain
    | NodeConfig | Shutdown | LogPull | LogChunk | Fetch | Chunk | Unknown | Denied | BlobOffer
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
    Shutdown,
    Goodbye,
)

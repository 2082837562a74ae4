"""What the agent is told, in past tense. `Instant` is its only source of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from maze_node.frames import ReportFrame
from maze_protocol.messages import Message, NodeLoad, Welcome

__all__ = [
    "DrainAsked", "Event", "Instant", "LinkLost", "LogTails", "Said", "StopAsked", "Ticked", "Welcomed",
    "WorkerExited", "WorkerForked", "WorkerReported",
]  # fmt: skip


class Instant(NamedTuple):
    """One reading of the clocks. `mono` counts through suspend, and is for decisions; `wall` is only shown."""

    mono: float
    wall: float


class LogTails(NamedTuple):
    """The end of an attempt's captured output, and how much there was."""

    stdout: bytes = b""
    stderr: bytes = b""
    stdout_size: int = 0
    stderr_size: int = 0


NO_OUTPUT: Final = LogTails()


@dataclass(frozen=True, slots=True)
class Welcomed:
    """A session began."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The session is over; the shell connects anew by itself."""

    code: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """The head said something, once and in order."""

    message: Message
    payloads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerForked:
    """A worker lives and waits for a task."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerReported:
    """A worker finished its attempt."""

    worker: int
    report: ReportFrame
    tails: LogTails = NO_OUTPUT


@dataclass(frozen=True, slots=True)
class WorkerExited:
    """A worker is dead and reaped, or could not be forked (pid 0)."""

    worker: int
    signal: str = ""
    """Name of the signal that killed it, or empty."""
    exit_code: int | None = None
    peak_rss_kib: int = 0
    cpu_ms: float = 0.0
    tails: LogTails = NO_OUTPUT
    oom: bool = False
    """The kernel killed processes for lack of memory while this worker ran."""
    blameless: bool = False
    """It died with the spawner, not by its task's doing."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed; sent about twice per second. `load` is what the shell measured."""

    load: NodeLoad


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """Finish what runs, take nothing new, leave."""

    reason: str
    timeout: float


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Leave now."""

    reason: str


Event = (
    Welcomed | LinkLost | Said | WorkerForked | WorkerReported | WorkerExited | Ticked | DrainAsked | StopAsked
)  # fmt: skip

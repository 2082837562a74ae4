"""What the agent orders, imperative. The shells obey in order."""

from __future__ import annotations

from dataclasses import dataclass

from maze_node.frames import TaskFrame
from maze_protocol.messages import LogPull, Message

__all__ = [
    "AnswerLog", "Dismiss", "DropLogs", "Effect", "Fork", "Leave", "Reconnect", "RenameLog", "Send", "Signal", "Start",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Send:
    """Say something to the head; only emitted while a session lives."""

    message: Message
    payloads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconnect:
    """End the connection and make another one."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Make a worker."""

    worker: int


@dataclass(frozen=True, slots=True)
class Start:
    """Give a worker its task and capture its output under that lease."""

    worker: int
    frame: TaskFrame


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to a worker and all of its process group."""

    worker: int
    name: str
    """SIGTERM or SIGKILL."""


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Let an idle worker exit by itself: close its task socket."""

    worker: int


@dataclass(frozen=True, slots=True)
class AnswerLog:
    """Answer a pull from the captured output; `over` tells that nothing will follow."""

    pull: LogPull
    over: bool


@dataclass(frozen=True, slots=True)
class RenameLog:
    """The attempt goes on under another lease."""

    old: int
    new: int


@dataclass(frozen=True, slots=True)
class DropLogs:
    """Nobody will ask for the output of these any more."""

    leases: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """The node's work is over: stop the workers that are left, and exit."""

    reason: str
    code: int = 0


Effect = (
    Send | Reconnect | Fork | Start | Signal | Dismiss | AnswerLog | RenameLog | DropLogs | Leave
)  # fmt: skip

"""What the agent orders, imperative. The shells obey in order."""

from __future__ import annotations

import msgspec

from maze_node.frames import LikeFrame, TaskFrame
from maze_protocol.messages import LogPull, Message
from maze_protocol.values import ObjectKey, ObjectRef

__all__ = [
    "AnswerLog", "CancelFetch", "Discard", "Dismiss", "DropLogs", "Effect", "Enqueue", "FetchObject", "Fork",
    "ForgetObjects", "Leave", "Load", "Note", "NoteMemory", "Reconnect", "RenameLog", "RenameObjects", "Send", "Signal",
    "Spill", "SpillObject", "Start", "TakeBack", "Vouch",
]  # fmt: skip


class Send(msgspec.Struct, frozen=True, gc=False):
    """Say something to the head; only emitted while a session lives."""

    message: Message
    payloads: tuple[bytes, ...] = ()


class Reconnect(msgspec.Struct, frozen=True, gc=False):
    """End the connection and make another one."""

    reason: str


class Fork(msgspec.Struct, frozen=True, gc=False):
    """Make a worker."""

    worker: int


class NoteMemory(msgspec.Struct, frozen=True, gc=False):
    """Note what a worker has before the attempt that it gets next: that does not count as the attempt's."""

    pid: int


class Start(msgspec.Struct, frozen=True, gc=False):
    """Give a worker its task and capture its output under that lease."""

    worker: int
    frame: TaskFrame


class Enqueue(msgspec.Struct, frozen=True, gc=False):
    """Put tasks behind the one that a worker has, and behind those that are ahead already."""

    worker: int
    frames: tuple[TaskFrame | LikeFrame, ...]


class TakeBack(msgspec.Struct, frozen=True, gc=False):
    """Take back what a worker has not begun of its queue, which is told in order; answered by TakenBack at once."""

    worker: int
    leases: tuple[int, ...]


class Signal(msgspec.Struct, frozen=True, gc=False):
    """Send a signal to a worker and all of its process group."""

    worker: int
    name: str
    """SIGTERM or SIGKILL."""


class Dismiss(msgspec.Struct, frozen=True, gc=False):
    """Let an idle worker exit by itself: close its task socket."""

    worker: int


class AnswerLog(msgspec.Struct, frozen=True, gc=False):
    """Answer a pull from the captured output; `over` tells that nothing will follow."""

    pull: LogPull
    over: bool


class RenameLog(msgspec.Struct, frozen=True, gc=False):
    """The attempt goes on under another lease."""

    old: int
    new: int


class DropLogs(msgspec.Struct, frozen=True, gc=False):
    """Nobody will ask for the output of these any more."""

    leases: tuple[int, ...]


class Spill(msgspec.Struct, frozen=True, gc=False):
    """Write an outcome to disk under that number; answered by Spilled."""

    number: int
    data: bytes


class Load(msgspec.Struct, frozen=True, gc=False):
    """Read an outcome back; answered by Loaded."""

    number: int


class Discard(msgspec.Struct, frozen=True, gc=False):
    """The disk may forget an outcome, if it has it."""

    number: int


class FetchObject(msgspec.Struct, frozen=True, gc=False):
    """Get an object into the store, from whom the reference names; answered by ObjectFetched or ObjectFailed."""

    ref: ObjectRef


class CancelFetch(msgspec.Struct, frozen=True, gc=False):
    """Nobody here waits for that object any more."""

    key: ObjectKey


class SpillObject(msgspec.Struct, frozen=True, gc=False):
    """Move an object from memory to disk; answered by ObjectSpilled."""

    key: ObjectKey


class ForgetObjects(msgspec.Struct, frozen=True, gc=False):
    """The store may let these go."""

    keys: tuple[ObjectKey, ...]


class RenameObjects(msgspec.Struct, frozen=True, gc=False):
    """What an attempt made is called by another lease."""

    old: int
    new: int


class Vouch(msgspec.Struct, frozen=True, gc=False):
    """These are the keys of nodes that the head vouches for; no other one may fetch from here, or be asked."""

    keys: tuple[str, ...]


class Note(msgspec.Struct, frozen=True, gc=False):
    """Write a line into the process log: what the node decided by itself."""

    text: str


class Leave(msgspec.Struct, frozen=True, gc=False):
    """The node's work is over: stop the workers that are left, and exit."""

    reason: str
    code: int = 0


Effect = (
    Send | Reconnect | Fork | NoteMemory | Start | Enqueue | TakeBack | Signal | Dismiss | AnswerLog | RenameLog
    | DropLogs | Spill | Load | Discard | FetchObject | CancelFetch | SpillObject | ForgetObjects | RenameObjects
    | Note | Vouch | Leave
)  # fmt: skip

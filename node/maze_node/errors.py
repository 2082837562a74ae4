"""What the node's shells raise.

NodeError
+-- UsageError      the command line or the connection file cannot be used; told to people, exit 2
+-- JoinRefused     a join token is no good any more, or another head answers than the one that made it
+-- NotOurs         a directory for files of tasks is another user's
+-- SpawnerLost     the spawner is gone; the pool starts another one
`-- TaskFault       in a worker: an attempt failed for a reason that is told to the task's author

Exit codes of maze-node: 0 left in good order, 1 crashed or was stopped at work (start it again), 2 usage, 75 the head
cannot be reached (EX_TEMPFAIL: try later), 78 the head refuses this node (EX_CONFIG: starting it again is no use).
"""

from __future__ import annotations

from typing import Final

from maze_protocol.messages import ErrorInfo

__all__ = [
    "EXIT_CRASHED",
    "EXIT_REFUSED",
    "EXIT_UNREACHABLE",
    "JoinRefused",
    "NodeError",
    "NotOurs",
    "SpawnerLost",
    "TaskFault",
    "UsageError",
]

EXIT_CRASHED: Final = 1
EXIT_UNREACHABLE: Final = 75
EXIT_REFUSED: Final = 78


class NodeError(Exception):
    """Anything the node's shells raise."""


class JoinRefused(NodeError):
    """This node does not join."""


class UsageError(NodeError):
    """What the node was told cannot be done."""


class NotOurs(NodeError):
    """A directory that only we should have is somebody else's."""


class SpawnerLost(NodeError):
    """The spawner does not answer any more."""


class TaskFault(NodeError):
    """An attempt failed; `info` is what the head is told."""

    def __init__(
        self, kind: str, type_name: str, message: str, traceback: str = "", bases: tuple[str, ...] = ()
    ) -> None:
        self.info = ErrorInfo(kind, type_name, message, traceback, bases=bases)
        super().__init__(message)

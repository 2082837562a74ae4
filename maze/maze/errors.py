"""Everything the SDK raises. Standard library only: `import maze` must stay light.

    MazeError
    +-- HeadUnavailableError (ConnectionError)   nobody answers, or the head went away
    |   `-- NotAMazeHeadError                    somebody answers, but it is not a Maze head
    +-- RequestError                             the head refused a request (`status`, `code`, `hint`, `field`)
    |   +-- ConflictError                        edits that can no longer be applied (`refused`)
    |   `-- AccessError (PermissionError)        no token, a wrong one, or one that does not allow it
    +-- ProtocolMismatchError                    the head speaks another API version
    +-- AddressError (ValueError)                a server URL that cannot be one
    +-- DeclarationError (ValueError)            @task: a value breaks a rule
    +-- DeclarationTypeError (TypeError)         @task: something has the wrong type
    +-- InputError (ValueError)                  add_task, run: unknown, missing or impossible arguments
    +-- InputTypeError (TypeError)               add_task, run: an argument has the wrong type
    +-- InvalidTaskError (ValueError)            a function or source text that cannot be a task
    +-- GraphError (ValueError)                  an edit that the graph forbids
    |   +-- CycleError                           an edge would close a cycle (`tasks`)
    |   +-- ForeignTaskError                     a task of another workflow
    |   `-- EmptyWorkflowError                   nothing to run
    +-- UnknownWorkflowError (ValueError)
    +-- UnknownRunError (ValueError)             no such run, or another workflow's
    +-- EventsLostError                          a power cut took events that had been read
    +-- ValueExpiredError (LookupError)          nobody holds a large value any more
    +-- UnreadableValueError (ValueError)        a value that cannot be decoded here
    +-- UnknownTaskError (ValueError)            no such task, or an ambiguous short id
    +-- UnknownOutputError (KeyError)            a task has no output of that name
    +-- MissingDependencyError (ImportError)     an optional library or program is not installed
    +-- LocalClusterError (RuntimeError)         MaClient.local() could not start its processes
    `-- ClosedError (RuntimeError)               a client was used after close()

    InfeasibleWarning (UserWarning)              run(): no node can ever take some of the tasks; the run waits

Where the API reference documents a builtin exception, ours inherits it too. `code` is stable and for programs,
`hint` says what to do next and is part of the text.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AccessError", "AddressError", "ClosedError", "ConflictError", "CycleError", "DeclarationError",
    "DeclarationTypeError", "EmptyWorkflowError", "EventsLostError", "ForeignTaskError", "GraphError",
    "HeadUnavailableError", "InfeasibleWarning", "InputError", "InputTypeError", "InvalidTaskError",
    "LocalClusterError", "MazeError", "MissingDependencyError", "NotAMazeHeadError", "ProtocolMismatchError",
    "RequestError", "UnknownOutputError", "UnknownRunError", "UnknownTaskError", "UnknownWorkflowError",
    "UnreadableValueError", "ValueExpiredError",
]  # fmt: skip


class MazeError(Exception):
    """Base of all errors of the SDK.

    Attributes:
        code: a stable machine-readable reason, or the empty string.
        hint: what to do about it, or the empty string.
        run_id: the run concerned, when known.
        task_id: the task concerned, when known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        hint: str = "",
        run_id: str | None = None,
        task_id: str | None = None,
    ) -> None:
        # Only the message is positional, so that `pickle` (cls(*args), then __dict__) restores every subclass.
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.run_id = run_id
        self.task_id = task_id

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class HeadUnavailableError(MazeError, ConnectionError):
    """No head answers at the address, or it went away and did not come back in time."""


class NotAMazeHeadError(HeadUnavailableError):
    """Something answers at the address, but it is not a Maze head."""


class RequestError(MazeError):
    """The head refused a request.

    Attributes:
        status: the HTTP status.
        field: path of the offending field, or the empty string.
        op: index of the offending operation of an edit, or None.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        field: str = "",
        op: int | None = None,
        code: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.field = field
        self.op = op


class AccessError(RequestError, PermissionError):
    """The head wants a token that this program does not show, or one that allows more; or no token can be read here."""


class ConflictError(RequestError):
    """Somebody else changed the workflow so that edits made here no longer apply; they have left the draft.

    Attributes:
        refused: one text per edit that was given up; the other edits stay and are sent next time.
    """

    def __init__(
        self, message: str = "", *, refused: Sequence[str] = (), status: int = 409, code: str = "conflict"
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.refused = tuple(refused)


class ProtocolMismatchError(MazeError):
    """The head speaks another version of the API."""


class AddressError(MazeError, ValueError):
    """A server URL that cannot be one."""


class DeclarationError(MazeError, ValueError):
    """A declaration of `@task` breaks a rule."""


class DeclarationTypeError(MazeError, TypeError):
    """A declaration of `@task` has the wrong type, or decorates something that cannot be a task."""


class InputError(MazeError, ValueError):
    """Inputs of `add_task` are unknown, missing or cannot be sent, or an argument of `run` is out of range."""


class InputTypeError(MazeError, TypeError):
    """A literal input contradicts the data type that its task declares, or an argument has the wrong type."""


class InvalidTaskError(MazeError, ValueError):
    """A function or source text that cannot be a task."""


class GraphError(MazeError, ValueError):
    """An edit that the graph forbids."""


class CycleError(GraphError):
    """An edge would close a cycle.

    Attributes:
        tasks: ids of the tasks on the cycle, the first repeated at the end.
    """

    def __init__(self, message: str = "", *, tasks: Sequence[str] = (), code: str = "cycle") -> None:
        super().__init__(message, code=code)
        self.tasks = tuple(tasks)


class ForeignTaskError(GraphError):
    """A task or an output of another workflow."""


class EmptyWorkflowError(GraphError):
    """A workflow without tasks cannot run."""


class UnknownWorkflowError(MazeError, ValueError):
    """The head knows no workflow of that id."""


class UnknownRunError(MazeError, ValueError):
    """No run of that id exists, it belongs to another workflow, or its results are not cached here."""


class EventsLostError(MazeError):
    """The log of a run is not the one that was read: a power cut took the end of it from the head."""


class ValueExpiredError(MazeError, LookupError):
    """A large value is on no node and not on the head any more; the hint says how it could have stayed."""


class UnreadableValueError(MazeError, ValueError):
    """A value cannot be decoded here: its class or its Python is another one, or `MAZE_NO_PICKLE` forbids it."""


class UnknownTaskError(MazeError, ValueError):
    """The workflow has no such task, or a shortened id fits several."""


class UnknownOutputError(MazeError, KeyError):
    """A task has no output of that name."""


class MissingDependencyError(MazeError, ImportError):
    """An optional library or program is not installed; the hint tells the command."""


class LocalClusterError(MazeError, RuntimeError):
    """`MaClient.local()` could not start its head or node."""


class ClosedError(MazeError, RuntimeError):
    """A client was used after `close()`."""


class InfeasibleWarning(UserWarning):
    """No node of the cluster, as it is now, can ever take some tasks of a run; it was submitted and waits.

    Attributes:
        run_id: the run.
        tasks: ids of such tasks; some of them, if there are many.
    """

    def __init__(self, message: str = "", *, run_id: str = "", tasks: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.tasks = tuple(tasks)

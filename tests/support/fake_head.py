"""A connection that answers from Python functions: for the SDK's own logic, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maze.errors import RequestError
from maze_protocol import http

Answer = Callable[[Any], Any]


class FakeConnection:
    """Stands in for `maze._http.Connection`; `answers` maps (method, last part of the path) to functions."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []
        self.events = self
        """Its event socket, which is not open."""
        self.is_open = False
        self.api_minor = 1

    async def minor(self, *, anew: bool = False) -> int:
        """Return how much of what came to v1 later the head takes."""
        return self.api_minor

    async def submit(self, request: Any, pause: float) -> None:
        """Run nothing: ask over HTTP."""

    async def request(self, method: str, where: str, reply: Any, body: Any = None, **query: str) -> Any:
        name = f"{method.lower()}_{where.rpartition('/')[2] if 'edits' in where else where.split('/')[3]}"
        self.asked.append((method, where, body if body is not None else query))
        answer = self.answers[name](body)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, reply)
        return answer


def refused(code: str, status: int = 409, op: int | None = None, message: str = "no") -> RequestError:
    """Return a refusal as the real connection raises it."""
    return RequestError(message, status=status, code=code, op=op)


def workflow_body(
    *tasks: http.TaskBody, revision: int = 1, manual: tuple[tuple[str, str], ...] = ()
) -> http.WorkflowBody:
    """Return a workflow as the head describes it."""
    return http.WorkflowBody("w", "", revision, 0.0, list(tasks), list(manual), list(manual))

"""What the SDK does to runs that exist: stop them, run them again, wait for their end. Coroutines of the loop thread.

A wait is a long poll for the next event, over and over: it holds no stream open, reads no results, and goes on when
the head comes back within a minute.
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from maze._feed import RECONNECT_SECONDS
from maze._http import connection, path
from maze._ids import new_id
from maze._remote import describe_run, no_run, plain
from maze._shared import WorkflowState
from maze.errors import HeadUnavailableError, NotAMazeHeadError, RequestError
from maze_protocol import http
from maze_protocol.ids import RUN

__all__ = ["cancel_run", "retry_own_run", "retry_run", "sealed_run"]

POLL_SECONDS: Final = 30


class _Page(msgspec.Struct):
    """Of a page of events, what a wait looks at."""

    last_seq: int


async def cancel_run(url: str, run_id: str, *, wait: bool) -> dict[str, Any]:
    """Ask the head to stop a run; what still runs is ended, nothing new starts.

    Raises:
        UnknownRunError: there is none of that id.
    """
    try:
        body = await connection(url).request("DELETE", path("runs", run_id), http.RunBody)
    except RequestError as error:
        raise no_run(error, run_id) from None
    return plain(await sealed_run(url, run_id) if wait and not body.sealed else body)


async def retry_run(url: str, run_id: str, *, from_failed: bool) -> str:
    """Run the graph of an earlier run again, and return the id of the new run.

    Raises:
        UnknownRunError: there is none of that id.
        RequestError: it is not over, or nothing of it is left to run.
    """
    request = http.RetryRequest(new_id(RUN), from_failed)
    try:
        body = await connection(url).request("POST", path("runs", run_id, "retry"), http.RunBody, request)
    except RequestError as error:
        raise no_run(error, run_id) from None
    return body.run_id


async def retry_own_run(state: WorkflowState, run_id: str, *, from_failed: bool) -> str:
    """Retry a run of a workflow; the new run is the workflow's, too."""
    again = await retry_run(state.url, run_id, from_failed=from_failed)
    state.own_runs[again] = None
    return again


async def sealed_run(url: str, run_id: str) -> http.RunBody:
    """Wait until a run is over: nothing of it runs any more, and its log has ended.

    Raises:
        UnknownRunError: there is none of that id.
        HeadUnavailableError: the head went away and did not come back for a minute.
    """
    body, last_seen = await describe_run(url, run_id), time.monotonic()
    while not body.sealed:
        try:
            await _news(url, run_id, body.last_seq)
            body, last_seen = await describe_run(url, run_id), time.monotonic()
        except HeadUnavailableError as error:
            if isinstance(error, NotAMazeHeadError) or time.monotonic() - last_seen > POLL_SECONDS + RECONNECT_SECONDS:
                raise
    return body


async def _news(url: str, run_id: str, after: int) -> None:
    """Wait for an event after that number, or for POLL_SECONDS."""
    where = path("runs", run_id, "events")
    await connection(url).request("GET", where, _Page, after=str(after), wait=str(POLL_SECONDS), limit="1")

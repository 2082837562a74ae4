"""`maze cancel`, `maze retry`: a run is stopped, or its graph run again; and the wait for its end."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from maze._daemon.options import EXIT_FAILED, DaemonCommand
from maze.cli._api import ApiError, Head, HeadUnreachable, url_option
from maze.cli._find import find_run, short
from maze.cli._render import echo, echo_json, json_option

__all__ = ["cancel", "retry"]

_POLL_SECONDS: Final = 5
_RECONNECT_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.2
_UNAVAILABLE: Final = 503


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze cancel run_3f2a\n  maze cancel 3f2a --wait",
)
@click.argument("run")
@click.option("--wait", is_flag=True, help="Return when nothing of the run is running any more.")
@url_option
@json_option
def cancel(run: str, wait: bool, url: str | None, as_json: bool) -> None:
    """Cancel a run: nothing new starts, and what runs is killed.

    RUN is the id or any unique beginning of it, with or without `run_`.
    """
    head = Head.find(url)
    run_id = find_run(head, run)["run_id"]
    body = head.delete(f"/runs/{run_id}")
    _tell(_end_of(head, body) if wait else body, as_json)


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze retry run_3f2a\n  maze retry 3f2a --from-failed --wait",
)
@click.argument("run")
@click.option("--from-failed", is_flag=True, help="Reuse the results that the run has; run what has none.")
@click.option("--wait", is_flag=True, help="Return when the new run is over; the exit code is 1 if a task failed.")
@url_option
@json_option
@click.pass_context
def retry(context: click.Context, /, run: str, from_failed: bool, wait: bool, url: str | None, as_json: bool) -> None:
    """Run the graph of a run that is over again, as it was then.

    RUN is the id or any unique beginning of it, with or without `run_`.
    """
    head = Head.find(url)
    run_id = find_run(head, run)["run_id"]
    body = head.post(f"/runs/{run_id}/retry", {"from_failed": from_failed})
    for task in body.get("infeasible", ()):
        echo(f"No node can ever take {task['name']} ({short(task['task_id'])}): {task['reason']}", err=True)
    body = _end_of(head, body) if wait else body
    _tell(body, as_json)
    if wait and body["status"] != "finished":
        context.exit(EXIT_FAILED)


def _tell(body: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json({"run": body})
    else:
        echo(f"{body['run_id']} {body['status']}")


def _end_of(head: Head, body: dict[str, Any]) -> dict[str, Any]:
    """Return a run once it is over; a head that is restarted meanwhile is waited for."""
    last_seen = time.monotonic()
    while not body["sealed"]:
        try:
            head.get(f"/runs/{body['run_id']}/events", after=body["last_seq"], wait=_POLL_SECONDS, limit=1)
            body = head.get(f"/runs/{body['run_id']}")
            last_seen = time.monotonic()
        except (HeadUnreachable, ApiError) as error:
            lasts = not isinstance(error, ApiError) or error.status == _UNAVAILABLE
            if not lasts or time.monotonic() - last_seen > _RECONNECT_SECONDS:
                raise
            time.sleep(_PAUSE_SECONDS)
    return body

"""`maze events`: the log of a run, event by event, while it grows and afterwards.

Rules. Pages over HTTP with a long poll, from the number of the last event that was printed: so a restarted head costs
a pause, and an interrupted command goes on with `--after`. One line per event; with `--json` one document per line,
since the log of a run that goes on has no end to close a list at.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import click

from maze._daemon.options import DaemonCommand
from maze.cli._api import ApiError, Head, HeadUnreachable, url_option
from maze.cli._find import find_run, short
from maze.cli._render import echo, json_line
from maze_protocol.shown import one_line

__all__ = ["events"]

_WAIT_SECONDS: Final = 5
_AWAY_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 0.2
_DETAILS: Final = ("node_id", "attempt", "error_type", "reason", "text", "because", "finished", "failed", "skipped")


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze events 3f2a\n  maze events 3f2a -f\n  maze events 3f2a --after 120 --json | jq .type",
)
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="N", help="Begin behind event number N.")
@url_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per event and line.")
def events(run: str, follow: bool, after: int, url: str | None, as_json: bool) -> None:
    """Print the log of a run: every event once and in order.

    RUN is a unique beginning of the run's id.
    """
    head = Head.find(url)
    run_id = find_run(head, run)["run_id"]
    for event in _read(head, run_id, after, follow=follow):
        echo(json_line(event) if as_json else _line(event))


def _read(head: Head, run_id: str, after: int, *, follow: bool) -> Iterator[dict[str, Any]]:
    while True:
        page = _page(head, run_id, after, _WAIT_SECONDS if follow else 0)
        yield from page["events"]
        after = page["last_seq"]
        if page["sealed"] or not (follow or page["events"]):
            return


def _page(head: Head, run_id: str, after: int, wait: int) -> dict[str, Any]:
    """Return the next page; when following, the head may be away for a minute."""
    deadline = time.monotonic() + (_AWAY_SECONDS if wait else 0)
    while True:
        try:
            page: dict[str, Any] = head.get(f"/runs/{run_id}/events", after=after, wait=wait)
            return page
        except (HeadUnreachable, ApiError) as error:
            away = isinstance(error, HeadUnreachable) or error.status in (429, 503)
            if not away or time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _line(event: dict[str, Any]) -> str:
    data = event["data"]
    task = f"{data['task_name']} ({short(data['task_id'])})" if data.get("task_name") else ""
    details = " ".join(f"{key}={str(data[key])[:80]!r}" for key in _DETAILS if data.get(key) not in (None, ""))
    moment = time.strftime("%H:%M:%S", time.localtime(event["time"]))
    return "\t".join((str(event["seq"]), moment, event["type"], one_line(task), details)).rstrip()

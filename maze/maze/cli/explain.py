"""`maze explain`: why tasks of a run have not started, all of them by reason or one of them in full."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from maze._daemon.options import DaemonCommand
from maze.cli._api import Head, url_option
from maze.cli._find import find_run, find_task, short
from maze.cli._render import echo, echo_json, echo_pairs, echo_table, json_option

__all__ = ["explain"]

_NAMED: Final = 3


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze explain run_3f2a\n  maze explain 3f2a train\n  maze explain 3f2a --json",
)
@click.argument("run")
@click.argument("task", required=False)
@url_option
@json_option
def explain(run: str, task: str | None, url: str | None, as_json: bool) -> None:
    """Say why tasks of a run have not started, as the head sees it now.

    RUN is the id or any unique beginning of it, with or without `run_`. TASK is the
    name of a task or a unique beginning of its id; without one, all tasks that no node
    has are counted by their reason.
    """
    head = Head.find(url)
    body = find_run(head, run)
    if task is None:
        _explain_run(head, body, as_json=as_json)
    else:
        _explain_task(head, body["run_id"], task, as_json=as_json)


def _explain_run(head: Head, run: dict[str, Any], *, as_json: bool) -> None:
    found = head.get(f"/runs/{run['run_id']}/explain")
    if as_json:
        echo_json(found)
        return
    echo_table(("REASON", "TASKS", "WHICH", "WHY"), map(_group_row, found["groups"]))
    if found.get("more"):
        echo(f"{found['more']} more tasks wait that ask for other things; name a TASK to hear of it.", err=True)
    if not found["groups"]:
        echo(f"No task of it waits: the run is {run['status']}, {run['running']} running.", err=True)


def _group_row(group: dict[str, Any]) -> tuple[object, ...]:
    named = [f"{task['name']} ({short(task['task_id'])})" for task in group["tasks"][:_NAMED]]
    more = group["count"] - len(named)
    return group["code"], group["count"], ", ".join(named) + (f" and {more} more" if more else ""), group["text"]


def _explain_task(head: Head, run_id: str, name: str, *, as_json: bool) -> None:
    task = find_task(head.get(f"/runs/{run_id}/tasks")["tasks"], name)
    found = head.get(f"/runs/{run_id}/tasks/{task['task_id']}/explain")
    if as_json:
        echo_json({"task_id": task["task_id"], "name": task["name"], **found})
    else:
        echo_pairs(_task_pairs(task, found))


def _task_pairs(task: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, object]]:
    until, nearest = found.get("until"), found.get("nearest")
    facts = {
        "nodes": ", ".join(found.get("nodes", ())),
        "nearest fit": "" if nearest is None else _nearest(nearest),
        "goes on": "" if until is None else f"in {max(0.0, until - time.time()):.1f} s",
        "limit": found.get("limit", ""),
        "kept for": found.get("reserved_for", ""),
    }
    return [
        ("task", f"{task['name']} ({task['task_id']})"),
        ("reason", found["code"]),
        ("why", found["text"]),
        *((name, fact) for name, fact in facts.items() if fact),
    ]


def _nearest(nearest: dict[str, Any]) -> str:
    lacks = ", ".join(f"{what} {asked} asked, {had} there" for what, (asked, had) in nearest["lacks"].items())
    return ": ".join(filter(None, (nearest["node"], lacks)))

"""`maze ps`, `maze show`: runs as the head knows them."""

from __future__ import annotations

import itertools
import time
from typing import Any, Final

import click

from maze._daemon.options import DaemonCommand
from maze.cli._api import Head, url_option
from maze.cli._find import find_run, list_runs, short
from maze.cli._render import ago, echo, echo_json, echo_pairs, echo_table, json_option, mebibytes, milliseconds

__all__ = ["ps", "show"]

_ERROR_WIDTH: Final = 60
_COLUMNS: Final = ("RUN", "STATUS", "TASKS", "DONE", "FAILED", "SKIPPED", "RUNNING", "AGE", "TOOK")


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze ps\n  maze ps --all\n  maze ps --json | jq '.runs[].run_id'",
)
@click.option("-a", "--all", "everything", is_flag=True, help="Ended runs too.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most runs to list.")
@url_option
@json_option
def ps(everything: bool, limit: int, url: str | None, as_json: bool) -> None:
    """List runs, newest first: those in progress, or all of them with --all."""
    head = Head.find(url)
    wanted = (run for run in list_runs(head) if everything or not run["sealed"])
    runs = list(itertools.islice(wanted, limit))
    if as_json:
        echo_json({"runs": runs})
        return
    # Most clusters know neither; programs read --json, where both are always there.
    shown = ("PRIORITY", "PROJECT") if any(any(_account(run)) for run in runs) else ()
    echo_table((*_COLUMNS, *shown), ((*_run_row(run), *(_account(run) if shown else ())) for run in runs))
    if not runs:
        echo("No runs." if everything else "No run is in progress; `maze ps --all` lists ended ones.", err=True)


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze show run_3f2a\n  maze show 3f2a --json",
)
@click.argument("run")
@url_option
@json_option
def show(run: str, url: str | None, as_json: bool) -> None:
    """Show a run, its tasks, and the attempts that were lost.

    RUN is the id or any unique beginning of it, with or without `run_`.
    """
    head = Head.find(url)
    body = find_run(head, run)
    tasks = head.get(f"/runs/{body['run_id']}/tasks")["tasks"]
    if as_json:
        echo_json({"run": body, "tasks": tasks})
        return
    echo_pairs(_run_pairs(body))
    echo()
    echo_table(("TASK", "NAME", "STATUS", "TRY", "NODE", "TOOK", "CPU", "PEAK", "ERROR"), map(_task_row, tasks))
    lost = [(task, attempt) for task in tasks for attempt in task["lost"]]
    if lost:
        echo()
        echo_table(("TASK", "NAME", "TRY", "NODE", "LOST", "WHY"), itertools.starmap(_lost_row, lost))


def _run_row(run: dict[str, Any]) -> tuple[object, ...]:
    took = None if run["ended_at"] is None else (run["ended_at"] - run["submitted_at"]) * 1000
    counts = (run["tasks"], run["finished"], run["failed"], run["skipped"], run["running"])
    return (short(run["run_id"]), run["status"], *counts, ago(run["submitted_at"]), milliseconds(took))


def _account(run: dict[str, Any]) -> tuple[int, str]:
    """Return priority and project of a run; older heads tell of neither."""
    return run.get("priority", 0), run.get("project", "")


def _run_pairs(run: dict[str, Any]) -> list[tuple[str, object]]:
    took = None if run["ended_at"] is None else (run["ended_at"] - run["submitted_at"]) * 1000
    counts = ", ".join(f"{run[key]} {key}" for key in ("finished", "failed", "skipped", "running"))
    return [
        ("run", run["run_id"]),
        ("workflow", f"{run['workflow_id']} (revision {run['revision']})"),
        *([("retry of", run["retry_of"])] if run["retry_of"] else []),
        *[pair for pair in zip(("priority", "project"), _account(run), strict=True) if pair[1]],
        ("status", run["status"]),
        ("tasks", f"{run['tasks']}: {counts}"),
        ("submitted", f"{ago(run['submitted_at'])} ago"),
        ("took", milliseconds(took)),
        *[("on nodes", mebibytes(held / 2**20)) for held in [run.get("object_bytes", 0)] if held],
        *[("infeasible", f"{task['name']} ({short(task['task_id'])}): {task['reason']}") for task in _infeasible(run)],
    ]


def _infeasible(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks that no node could ever take; older heads tell of none."""
    found: list[dict[str, Any]] = run.get("infeasible", [])
    return found


def _task_row(task: dict[str, Any]) -> tuple[object, ...]:
    peak = task.get("peak_rss_kib")
    return (
        short(task["task_id"]),
        task["name"],
        _status(task),
        task["attempt"],
        task["node"],
        milliseconds(task["wall_ms"]),
        milliseconds(task["cpu_ms"]),
        "" if peak is None else f"{peak / 1024:.0f} MiB",
        _last_line(task["error"]),
    )


def _status(task: dict[str, Any]) -> str:
    """Return the word for a task's state, and what it waits for or comes from."""
    if task["reused"]:
        return f"{task['status']} (reused)"
    pause = 0.0 if task["retry_at"] is None else task["retry_at"] - time.time()
    return f"{task['status']}, retry in {pause:.1f} s" if pause > 0 else str(task["status"])


def _lost_row(task: dict[str, Any], lost: dict[str, Any]) -> tuple[object, ...]:
    when = f"{ago(lost['time'])} ago"
    return short(task["task_id"]), task["name"], lost["attempt"], lost["node"], when, lost["error"]


def _last_line(error: str) -> str:
    """Return the line of a traceback that says what happened."""
    line = (error.strip().splitlines() or [""])[-1]
    return line if len(line) <= _ERROR_WIDTH else line[: _ERROR_WIDTH - 1] + "…"

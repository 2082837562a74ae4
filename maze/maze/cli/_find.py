"""Runs, tasks and nodes as people name them: any unique prefix of the id, with or without `run_` or `task_`.

Rules. Questions only. An ambiguous or unknown name is a usage error that lists what it could have meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from maze.cli._api import ApiError, Head

__all__ = ["find_node", "find_run", "find_task", "list_runs", "short"]

_ID_HEX: Final = 32
_PAGE: Final = 500
_NAMED: Final = 5

Record = dict[str, Any]


def list_runs(head: Head) -> Iterator[Record]:
    """Yield all runs, newest first."""
    before = None
    while True:
        page = head.get("/runs", limit=_PAGE, before=before)
        yield from page["runs"]
        before = page["next"]
        if not before:
            return


def find_run(head: Head, name: str) -> Record:
    """Return the one run whose id starts with `name`.

    Raises:
        click.UsageError: there is none, or more than one.
    """
    prefix = "run_" + name.removeprefix("run_")
    if len(prefix) == len("run_") + _ID_HEX:
        try:
            found: Record = head.get(f"/runs/{prefix}")
        except ApiError as error:
            if error.status != 404:
                raise
            raise click.UsageError(f"no run {name!r}; `maze ps --all` lists all of them") from error
        return found
    matches = [run for run in list_runs(head) if run["run_id"].startswith(prefix)]
    if not matches:
        raise click.UsageError(f"no run starts with {name!r}; `maze ps --all` lists all of them")
    return _only(name, matches, "run_id")


def find_task(tasks: Sequence[Record], name: str) -> Record:
    """Return the one task of a run that has this name, or whose id starts with it.

    Raises:
        click.UsageError: there is none, or more than one.
    """
    prefix = "task_" + name.removeprefix("task_")
    matches = [task for task in tasks if task["name"] == name]
    matches = matches or [task for task in tasks if task["task_id"].startswith(prefix)]
    if not matches:
        names = ", ".join(dict.fromkeys(task["name"] for task in tasks[:_NAMED]))
        raise click.UsageError(f"the run has no task {name!r}; it has: {names}{', …' if len(tasks) > _NAMED else ''}")
    return _only(name, matches, "task_id")


def find_node(head: Head, name: str) -> Record:
    """Return the one node with this id, or whose id starts with it.

    Raises:
        click.UsageError: there is none, or more than one.
    """
    known = head.get("/nodes")["nodes"]
    matches = [node for node in known if node["node_id"] == name]
    matches = matches or [node for node in known if node["node_id"].startswith(name)]
    if not matches:
        raise click.UsageError(f"no node {name!r}; `maze nodes` lists all of them")
    return _only(name, matches, "node_id")


def short(identifier: str) -> str:
    """Return the id as it is shown in tables: long enough to be unique in practice."""
    kind, underscore, digits = identifier.partition("_")
    return f"{kind}_{digits[:8]}" if underscore else identifier


def _only(name: str, matches: Sequence[Record], key: str) -> Record:
    if len(matches) > 1:
        candidates = ", ".join(record[key] for record in matches[:_NAMED])
        raise click.UsageError(f"{name!r} is ambiguous: {candidates}{', …' if len(matches) > _NAMED else ''}")
    return matches[0]

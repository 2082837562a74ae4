"""`maze rm` and `maze backup`: what a head keeps of the past, removed or copied.

Rules. Removing asks first, unless told not to. A backup is read from the state directory itself, on this machine and as
its owner, by a connection that can neither write nor checkpoint: the head's own is the only one that may (SQLite before
3.51.3 can damage a log that two connections checkpoint).
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click

from maze._daemon.config import state_dir as default_state_dir
from maze._daemon.options import DIRECTORY, DaemonCommand, option
from maze.cli._api import Head, url_option
from maze.cli._find import find_run, list_runs, short
from maze.cli._render import echo, echo_json, json_option

__all__ = ["backup", "rm"]

JOURNAL: Final = "journal.db"
"""As the head calls it; its application id tells whether it is one."""
APPLICATION_ID: Final = 0x4D415A45
DAY: Final = 86_400


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze rm 3f2a 77b0\n  maze rm --older-than 7 --yes\n  maze rm --workflow workflow_5e08…",
)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--older-than", metavar="DAYS", type=click.FloatRange(min=0), help="All runs that ended before that.")
@click.option("--workflow", metavar="ID", help="A workflow, by its whole id, with all its runs.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@url_option
@json_option
def rm(
    runs: Sequence[str], older_than: float | None, workflow: str | None, yes: bool, url: str | None, as_json: bool
) -> None:
    """Remove runs that are over: their logs, results and output, for good.

    RUN is the id or any unique beginning of it, with or without `run_`. A run that is not over is refused.
    """
    if not runs and older_than is None and workflow is None:
        raise click.UsageError("name runs, or give --older-than DAYS or --workflow ID")
    head = Head.find(url)
    found = [find_run(head, name)["run_id"] for name in runs]
    if older_than is not None:
        found += _older(head, time.time() - older_than * DAY)
    found = list(dict.fromkeys(found))
    _confirm(found, workflow, yes=yes)
    for run_id in found:
        head.delete(f"/runs/{run_id}/record")
    if workflow is not None:
        head.delete(f"/workflows/{workflow}")
    if as_json:
        echo_json({"runs": found, "workflow": workflow})
    else:
        echo(f"removed {_named(found, workflow)}")


def _older(head: Head, moment: float) -> list[str]:
    return [run["run_id"] for run in list_runs(head) if run["sealed"] and run["ended_at"] < moment]


def _confirm(runs: Sequence[str], workflow: str | None, *, yes: bool) -> None:
    if yes or not (runs or workflow):
        return
    if not sys.stdin.isatty():
        raise click.UsageError("removing cannot be undone; say --yes")
    click.confirm(f"Remove {_named(runs, workflow)} for good?", abort=True, err=True)


def _named(runs: Sequence[str], workflow: str | None) -> str:
    parts = [] if not runs and workflow else [short(runs[0]) if len(runs) == 1 else f"{len(runs)} runs"]
    if workflow:
        parts.append(f"{short(workflow)} with its runs")
    return " and ".join(parts)


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze backup /backups/monday\n  maze-head --state-dir /backups/monday    # restore",
)
@click.argument("dest", type=DIRECTORY)
@option("--state-dir", type=DIRECTORY, help="Of the head.  [default: as maze-head has it]")
@json_option
def backup(dest: Path, state_dir: Path | None, as_json: bool) -> None:
    """Copy all that a head keeps into a new directory, while the head runs or not.

    The copy holds everything that was acknowledged before the command began. It is a state directory: a head started
    on it goes on from there. Never run it and the original at once: they are the same cluster.
    """
    source = (state_dir or default_state_dir()) / JOURNAL
    target = dest / JOURNAL
    if not source.is_file():
        raise click.UsageError(f"there is no journal in {source.parent}; name the head's --state-dir")
    if target.exists():
        raise click.UsageError(f"{target} exists; give a new directory")
    try:
        facts = _copy(source, target)
    except (sqlite3.Error, OSError) as error:
        raise click.ClickException(f"no backup was made: {error}") from error
    if as_json:
        echo_json({"path": str(target), "source": str(source), **facts})
    else:
        echo(f"{target}  {facts['bytes'] / 1e6:.1f} MB")


def _copy(source: Path, target: Path) -> dict[str, Any]:
    """Write a whole copy beside the target and move it there once it is checked and on the disk."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("PRAGMA wal_autocheckpoint=0")
        _check_application(reader, source)
        reader.execute("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(" ".join(verdict.split()))
    _to_disk(part)
    os.replace(part, target)
    _to_disk(target.parent)
    return {"bytes": target.stat().st_size}


def _check_application(reader: sqlite3.Connection, source: Path) -> None:
    (application,) = reader.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise sqlite3.DatabaseError(f"{source} is not a Maze journal")


def _to_disk(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

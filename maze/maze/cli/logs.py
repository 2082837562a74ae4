"""`maze logs`: what tasks wrote, while they run and afterwards.

Rules. A tail per (task, attempt, stream) remembers how far it has printed; a round prints what is new in every tail.
Following repeats rounds, paced by the run's events (a long poll), until the run is sealed; so it needs one connection
whatever the number of tasks, and a head restart costs it nothing. A terminal is shown as escapes what would drive it,
unless `--raw` says otherwise; pipes and files get the bytes as they are.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import click

from maze._daemon.options import DaemonCommand
from maze.cli._api import ApiError, Head, url_option
from maze.cli._find import find_run, find_task, short
from maze.cli._render import echo
from maze_protocol.shown import BREAKS, shown

__all__ = ["logs"]

_CHUNK: Final = 65_536
_ROUND_SECONDS: Final = 1
_decoder: Final = codecs.getincrementaldecoder("utf-8")
_STARTED: Final = ("running", "finished", "failed", "cancelled")


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze logs 3f2a\n  maze logs 3f2a train --follow\n  maze logs 3f2a task_91bc --stream stderr",
)
@click.argument("run")
@click.argument("task", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--stream", type=click.Choice(("stdout", "stderr", "both")), default="both", show_default=True)
@click.option("--raw", is_flag=True, help="Let colours and other escape sequences drive the terminal.")
@url_option
def logs(run: str, task: str | None, follow: bool, stream: str, raw: bool, url: str | None) -> None:
    """Print what the tasks of a run, or one of them, wrote to stdout and stderr.

    RUN is a unique beginning of the run's id; TASK is a task's name or a unique beginning of its id. Their stdout goes
    to stdout, their stderr to stderr.
    """
    head = Head.find(url)
    run_id = find_run(head, run)["run_id"]
    streams = ("stdout", "stderr") if stream == "both" else (stream,)
    reader = _Reader(head, run_id, streams, headed=task is None, raw=raw)
    only = None if task is None else find_task(_tasks(head, run_id), task)["task_id"]
    while True:
        # Asked before the round: what is written until then is read by it.
        body = head.get(f"/runs/{run_id}")
        reader.round([each for each in _tasks(head, run_id) if only in (None, each["task_id"])])
        if not follow or body["sealed"]:
            return
        head.get(f"/runs/{run_id}/events", after=body["last_seq"], wait=_ROUND_SECONDS)


def _tasks(head: Head, run_id: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = head.get(f"/runs/{run_id}/tasks")["tasks"]
    return tasks


@dataclass
class _Reader:
    """Prints what is new in the captured streams of some tasks."""

    head: Head
    run_id: str
    streams: Sequence[str]
    headed: bool
    """Whether a line names the task when the output of another one begins."""
    raw: bool = False
    """Whether a terminal gets the bytes as they are."""
    offsets: dict[tuple[str, int, str], int] = field(default_factory=dict)
    settled: set[tuple[str, int]] = field(default_factory=set)
    """Attempts that had ended before their streams were read to the end."""
    last: str = ""
    decoders: dict[tuple[str, str], codecs.IncrementalDecoder] = field(default_factory=dict)

    def round(self, tasks: Sequence[dict[str, Any]]) -> None:
        for task in tasks:
            if task["status"] not in _STARTED or (task["task_id"], task["attempt"]) in self.settled:
                continue
            for stream in self.streams:
                self._print_new(task, stream)
            if task["status"] != "running":
                self.settled.add((task["task_id"], task["attempt"]))

    def _print_new(self, task: dict[str, Any], stream: str) -> None:
        key = (task["task_id"], task["attempt"], stream)
        while True:
            offset = self.offsets.get(key, 0)
            chunk, following = self._read(key, offset)
            if not chunk:
                return
            self._print(task, stream, chunk)
            self.offsets[key] = following

    def _read(self, key: tuple[str, int, str], offset: int) -> tuple[bytes, int]:
        """Return what follows `offset`, and the offset behind it."""
        task_id, attempt, stream = key
        path = f"/runs/{self.run_id}/tasks/{task_id}/logs"
        try:
            chunk, headers = self.head.raw(path, stream=stream, attempt=attempt, offset=offset, limit=_CHUNK)
        except ApiError as error:
            if error.status in (404, 410, 503):
                return b"", offset  # its node is gone, and the output with it
            raise
        # The node keeps a ring: what we asked for may have been overwritten, and the answer start later.
        return chunk, int(headers.get("Maze-Log-Offset", offset)) + len(chunk)

    def _print(self, task: dict[str, Any], stream: str, chunk: bytes) -> None:
        if self.headed and self.last != task["task_id"]:
            echo(f"==> {task['name']} ({short(task['task_id'])}) <==", err=True)
            self.last = task["task_id"]
        out = sys.stderr if stream == "stderr" else sys.stdout
        if out.isatty() and not self.raw:
            # A character may be cut by the end of a piece.
            decoder = self.decoders.setdefault((task["task_id"], stream), _decoder("backslashreplace"))
            chunk = shown(_returned(decoder.decode(chunk)), keep=BREAKS).encode()
        out.buffer.write(chunk)
        out.buffer.flush()


def _returned(text: str) -> str:
    """Let what would write over a line, as progress bars do, begin a new one."""
    return text.replace("\r\n", "\n").replace("\r", "\n")

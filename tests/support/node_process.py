"""Real `maze-node` processes for tests, found again by a mark in their environment, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from maze._daemon.ready import wait_ready

MARK = "TEST_MARK_OF_NODES"
"""No variable of Maze: those stay with the node, and this one has to reach its workers."""


class NodeProcess:
    """One `maze-node`, its mark, and the processes below it."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        self.mark = uuid.uuid4().hex
        environ = {**os.environ, "MAZE_CONFIG_FILE": os.devnull, **(env or {}), MARK: self.mark}
        environ.pop("MAZE_CONNECTION_FILE", None) if env is None or "MAZE_CONNECTION_FILE" not in env else None
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "maze_node", *arguments],
            env=environ,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self, timeout: float = 20.0) -> dict[str, object]:
        return wait_ready(self.process, timeout)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return (self.process.stderr.read() or b"").decode(errors="replace")

    def marked(self) -> list[int]:
        """Return the pids of all living processes that carry the mark."""
        return [pid for pid in _pids() if self.mark.encode() in _read(pid, "environ") and not _is_zombie(pid)]

    def spawner(self) -> int:
        """Return the spawner's pid, 0 if there is none."""
        family = (pid for pid in self.marked() if b"maze_node.spawner" in _read(pid, "cmdline"))
        return next((pid for pid in family if _parent(pid) == self.pid), 0)

    def wait_gone(self, timeout: float = 10.0) -> None:
        wait_for(lambda: not self.marked(), timeout, lambda: f"still alive: {self.marked()}")

    def end(self) -> None:
        """Kill what is left, our own children only."""
        for pid in self.marked():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def node(*arguments: str, **options: object) -> Iterator[NodeProcess]:
    process = NodeProcess(*arguments, **options)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.end()


def wait_for(condition: Callable[[], object], timeout: float = 10.0, why: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not true within {timeout} s {why()}")
        # A poll of /proc; there is nothing to wait on for other people's processes.
        time.sleep(0.01)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _stat(pid: int) -> list[bytes]:
    return _read(pid, "stat").rpartition(b")")[2].split()


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] in ([b"Z"], [b"X"], [])


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if len(fields) > 1 else 0

"""The `maze` command as a process of its own, and a way to find everything that it has ever started.

A mark in the environment is inherited by every descendant, whatever group or session it moves to; so `Mark.alive` is
the answer to "is anything left?", and `Mark.end` ends that and nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from support.cluster import clean_environment, wait_until

MAZE = (sys.executable, "-m", "maze")


@dataclass
class Mark:
    """A place with its own home, temporary directory and environment mark."""

    home: Path
    text: str = field(default_factory=lambda: f"mark-{uuid.uuid4().hex}")

    def __post_init__(self) -> None:
        self.temporary = self.home / "tmp"
        self.temporary.mkdir()

    def environment(self, **extra: str) -> dict[str, str]:
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "MAZE_STATE_DIR": str(self.home / "state")}
        return clean_environment(**own, LEFTOVER_MARK=self.text, PYTHONIOENCODING="utf-8", **extra)

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run `maze` to its end."""
        return subprocess.run(
            [*MAZE, *arguments], cwd=self.home, env=self.environment(**extra), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """Start `maze` with its output piped, in a process group of its own."""
        return subprocess.Popen(
            [*MAZE, *arguments], cwd=self.home, env=self.environment(**extra), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip

    def script(self, code: str, name: str = "script.py") -> str:
        """Write a script and return its path."""
        path = self.home / name
        path.write_text(code, encoding="utf-8")
        return str(path)

    def alive(self) -> dict[int, str]:
        """Return the command lines of all processes that carry the mark."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    marked = self.text.encode() in (entry / "environ").read_bytes()
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue  # gone meanwhile, or not ours to look at
                if marked and line:
                    found[int(entry.name)] = line.replace(b"\0", b" ").decode()
        return found

    def wait_empty(self, timeout: float = 10) -> None:
        """Wait until no process and no temporary file is left."""
        wait_until(lambda: not self.alive(), "an end of all processes", timeout)
        wait_until(lambda: not os.listdir(self.temporary), "an empty temporary directory", 1)

    def end(self) -> None:
        """Kill what a failed test left behind."""
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

"""A real `maze-head` process on free ports, and plain HTTP to it. What a test starts it also ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maze._daemon.processes import release
from maze._daemon.ready import wait_ready
from support.tokens import shown

START_SECONDS = 60.0
STOP_SECONDS = 30.0
FREE_PORTS = ("--port=0", "--node-port=0", "--blob-port=0", "--event-port=0", "--ballast=1")


def command(state_dir: Path, *flags: str) -> list[str]:
    """Return the command line of a head."""
    return [sys.executable, "-P", "-m", "maze_head", f"--state-dir={state_dir}", *flags]


def environment() -> dict[str, str]:
    """Return an environment without any MAZE_ variable or configuration file of the developer's."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAZE_")}
    return clean | {"MAZE_CONFIG_FILE": os.devnull}


class HeadProcess:
    """A running head."""

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any], log: Path) -> None:
        self.process = process
        self.ready = ready
        self._log = log

    @property
    def log(self) -> str:
        """Return what it wrote on stderr."""
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(STOP_SECONDS)

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON body of an answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **shown(self.ready)}
        request = urllib.request.Request(self.ready["url"] + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


@contextmanager
def running_head(state_dir: Path, *flags: str) -> Iterator[HeadProcess]:
    """Start a head and wait until it serves; end it if the test has not."""
    log = state_dir.parent / f"{state_dir.name}.log"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            command(state_dir, *FREE_PORTS, *flags),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, env=environment(), bufsize=0,
        )  # fmt: skip
    try:
        yield HeadProcess(process, wait_ready(process, START_SECONDS), log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        release(process)


def run_to_its_end(state_dir: Path, *flags: str) -> tuple[int, str, str]:
    """Run a head that is expected to refuse; return exit code, stdout and stderr."""
    done = subprocess.run(
        command(state_dir, *flags), capture_output=True, text=True, timeout=START_SECONDS, env=environment(),
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr

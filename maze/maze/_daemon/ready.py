"""The READY line: how a daemon tells its parent that it serves.

`MAZE-READY {json}` is the only thing a daemon ever prints on stdout, flushed, once. A parent reads it from the pipe
instead of sleeping or polling a port; the end of the pipe without that line means that the child has failed.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from maze._daemon.errors import NotReady

__all__ = ["PREFIX", "announce", "wait_ready"]

PREFIX: Final = "MAZE-READY "


def announce(info: Mapping[str, Any]) -> None:
    """Print the line, in one write, and flush it."""
    sys.stdout.write(f"{PREFIX}{json.dumps(dict(info))}\n")
    sys.stdout.flush()


def wait_ready(process: subprocess.Popen[bytes], timeout: float) -> dict[str, Any]:
    """Return what the child announced on its stdout, which must be a pipe.

    Raises:
        NotReady: it ended, or `timeout` seconds passed. The child is left as it is.
    """
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    deadline = time.monotonic() + timeout
    pending = b""
    while True:
        chunk = _read_before(pipe, deadline)
        if not chunk:
            raise NotReady(_command(process), _status(process, chunk), timeout)
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.startswith(PREFIX.encode()):
                return dict(json.loads(line[len(PREFIX) :]))


def _read_before(pipe: int, deadline: float) -> bytes | None:
    """Read what is there; b"" is the end of the pipe, None the end of our patience."""
    # poll, not select: a client that starts a cluster may hold more than 1024 descriptors.
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    left = max(0.0, deadline - time.monotonic())
    return os.read(pipe, 65_536) if poller.poll(left * 1000) else None


def _status(process: subprocess.Popen[bytes], chunk: bytes | None) -> int | None:
    if chunk is None:
        return process.poll()
    try:
        # Its stdout is closed, so it is on its way out.
        return process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return None


def _command(process: subprocess.Popen[bytes]) -> str:
    arguments = process.args
    if isinstance(arguments, str | bytes | os.PathLike):
        return os.fsdecode(arguments)
    words = [os.fsdecode(word) for word in arguments]
    # `python -m maze_head …` is known to people as maze-head.
    return words[words.index("-m") + 1].replace("_", "-") if "-m" in words else words[0]

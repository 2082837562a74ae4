"""The tasks of chaos tests. What they did can be read from outside: each execution writes to a file of its task.

This module stands beside the tests, where no worker could import it: its functions travel by value.
"""

from __future__ import annotations

import hashlib
from typing import Any

from maze import task


@task(inputs=["folder", "name", "seconds"], outputs=["digest"])
def leave_traces(params: dict[str, Any]) -> dict[str, Any]:
    """Append `start`, wait, append `end`; return what only this task's name can give."""
    import hashlib
    import os
    import time

    path = os.path.join(params["folder"], params["name"])
    # Opened anew for each line: the file is nobody's but what it says.
    for word in ("start", "end"):
        trace = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(trace, f"{word} {os.getpid()} {time.clock_gettime(time.CLOCK_MONOTONIC)}\n".encode())
        os.close(trace)
        if word == "start":
            time.sleep(params["seconds"])
    return {"digest": hashlib.sha256(params["name"].encode()).hexdigest()}


@task(inputs=["x"], outputs=["x"])
def no_op(params: dict[str, Any]) -> dict[str, Any]:
    """Return the input."""
    return {"x": params["x"]}


@task(inputs=["folder", "name", "seconds"], outputs=["digest"])
def leave_strays(params: dict[str, Any]) -> dict[str, Any]:
    """Start children, one of them in a session of its own with no parent, and wait."""
    import os
    import subprocess
    import time

    path = os.path.join(params["folder"], params["name"])
    command = f"(setsid sleep 1000 & echo start $! 0.0 >> {path}) ; sleep 1000"
    subprocess.Popen(["sh", "-c", command])
    time.sleep(params["seconds"])
    return {"digest": ""}


@task(inputs=["folder", "name"], outputs=["digest"])
def kill_own_worker(params: dict[str, Any]) -> dict[str, Any]:
    """Die of SIGKILL, every time."""
    import os
    import signal
    import time

    path = os.path.join(params["folder"], params["name"])
    with open(path, "a") as trace:
        trace.write(f"start {os.getpid()} {time.clock_gettime(time.CLOCK_MONOTONIC)}\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return {"digest": ""}


@task(inputs=["folder", "name"], outputs=["digest"])
def kill_own_agent(params: dict[str, Any]) -> dict[str, Any]:
    """Kill the node's agent, the first time."""
    import os
    import signal
    import time

    path = os.path.join(params["folder"], params["name"])
    with open(path, "a") as trace:
        trace.write(f"start {os.getpid()} {time.clock_gettime(time.CLOCK_MONOTONIC)}\n")
    with open(path) as trace:
        first = len(trace.readlines()) == 1
    if first:
        with open(f"/proc/{os.getppid()}/stat") as stat:
            agent = int(stat.read().rpartition(")")[2].split()[1])
        os.kill(agent, signal.SIGKILL)
        time.sleep(1000)
    return {"digest": ""}


@task(inputs=[], outputs=["digest"])
def vanish(params: dict[str, Any]) -> dict[str, Any]:
    """Leave the process with exit status 0 and without a result."""
    import os

    os._exit(0)


@task(inputs=["folder", "name"], outputs=["digest"])
def ignore_sigterm(params: dict[str, Any]) -> dict[str, Any]:
    """Ignore SIGTERM, say so, and never end by oneself."""
    import os
    import signal
    import time

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path = os.path.join(params["folder"], params["name"])
    with open(path, "a") as trace:
        trace.write(f"start {os.getpid()} {time.clock_gettime(time.CLOCK_MONOTONIC)}\n")
    while True:
        time.sleep(1)


def digest_of(name: str) -> dict[str, Any]:
    """Return what `leave_traces` must return for a name."""
    return {"digest": hashlib.sha256(name.encode()).hexdigest()}

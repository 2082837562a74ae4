"""Cold start and idle cost: first result of `maze run examples/quickstart.py`, idle memory and CPU of head and agent.

    python bench/start.py [--repeat 5] [--idle 10]

Prints one JSON document. First result = the first line of standard output that holds the quickstart's answer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from _machine import compile_as_installed, describe

ROOT = Path(__file__).resolve().parents[1]
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("MAZE_")}


def first_result() -> tuple[float, float]:
    """Return seconds to the first finished task and to the exit of the command."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "maze", "run", str(ROOT / "examples/quickstart.py")],
        stdout=subprocess.PIPE,
        env={**CLEAN, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stdout is not None
    seen = 0.0
    for line in process.stdout:
        if not seen and "Task completed" in line:
            seen = time.perf_counter() - started
    assert process.wait() == 0, "the quickstart failed"
    assert seen, "no finished task in the output"
    return seen, time.perf_counter() - started


def _ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("MAZE-READY "), line
    ready: dict[str, Any] = json.loads(line.removeprefix("MAZE-READY "))
    return ready


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=CLEAN, text=True
    )


def _idle(process: subprocess.Popen[str], seconds: float) -> dict[str, float]:
    measured = psutil.Process(process.pid)
    before = sum(measured.cpu_times()[:2])
    time.sleep(seconds)
    used = sum(measured.cpu_times()[:2]) - before
    return {"rss_mb": round(measured.memory_info().rss / 1e6, 1), "cpu_percent": round(100 * used / seconds, 2)}


def idle(seconds: float) -> dict[str, Any]:
    """Start a head and a node, leave them alone, and look at them."""
    with tempfile.TemporaryDirectory(prefix="maze-bench-") as folder:
        connection = str(Path(folder) / "connection.json")
        ports = [word for name in ("port", "node-port", "blob-port", "event-port") for word in (f"--{name}", "0")]
        started = time.perf_counter()
        head = _start("maze_head", *ports, "--state-dir", folder, "--connection-file", connection)
        node = None
        try:
            _ready(head)
            head_ready = time.perf_counter() - started
            started = time.perf_counter()
            node = _start("maze_node", "--connection-file", connection, "--cpus", "2")
            _ready(node)
            node_ready = time.perf_counter() - started
            return {
                "head": {"ready_s": round(head_ready, 3), **_idle(head, seconds)},
                "agent": {"ready_s": round(node_ready, 3), **_idle(node, seconds)},
            }
        finally:
            for process in (node, head):
                if process is not None:
                    process.terminate()
                    process.wait(timeout=30)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--idle", type=float, default=10.0)
    arguments = parser.parse_args()
    compile_as_installed()
    pairs = [first_result() for _ in range(arguments.repeat)]
    record = {
        "bench": "start",
        **describe(),
        "first_result_s": round(statistics.median(seen for seen, _ in pairs), 3),
        "first_results_s": [round(seen, 3) for seen, _ in pairs],
        "exit_s": round(statistics.median(ended for _, ended in pairs), 3),
        "idle": idle(arguments.idle),
    }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

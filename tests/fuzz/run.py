"""Runs all fuzzers against a real head and node while honest work goes on, and prints one JSON document.

    python tests/fuzz/run.py --seconds 1800 [--curve]

Head, node and work have one core, the fuzzers the other. Exit code 1 if anything was found: a crash, an answer of 500
or worse, a wrong result, a traceback in a log, growth of memory beyond the cap. The latency is told and judged by
whoever reads it: it is a matter of the machine, too (promised: p99 below 50 ms on an idle one).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz import attacks, decoders, described, workload
from support.cluster import Cluster, start_cluster

PARTS = ("sockets", "described", "stranger", "hypothesis", "atheris")
"""`described` has a token and a head of its own, which keeps what it is told; `stranger` asks the other without."""
HEAD_FLAGS = ("--keep-runs=200",)
WARM = 0.25
"""Part of the time after which memory is looked at for the first time: caches are full by then."""
GROWTH_MIB = 160.0
"""How much more a process may have at the end: what its caches may hold (64 MiB of encodings, and of values)."""
LEAVE_SECONDS = 90.0


def main() -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description="Fuzz a head and a node while they work.")
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long (default: 30 minutes)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats what is sent")
    parser.add_argument("--parts", default=",".join(PARTS), help="which fuzzers, by name")
    parser.add_argument("--curve", action="store_true", help="attack a head that asks nodes and readers for keys")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--target", default="{}", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(given.child, json.loads(given.target), given.seconds, given.seed)))
        return 0
    report = fuzz(given.seconds, given.seed, [part for part in given.parts.split(",") if part], curve=given.curve)
    print(json.dumps(report, indent=2))
    return 1 if report["problems"] else 0


def child(part: str, target: dict[str, Any], seconds: float, seed: int) -> dict[str, Any]:
    """Be one of the processes: the work, or a fuzzer."""
    os.sched_setaffinity(0, target["cores"])
    deadline = time.monotonic() + seconds
    shown = target.get("shown", {})
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "work": lambda: workload.work(target["url"], shown, deadline),
        "sockets": lambda: attacks.Attack(
            tuple(target["http"]), list(map(tuple, target["others"])), shown["Authorization"], seed
        ).run(deadline),
        "described": lambda: described.schemathesis(target["url"], shown, int(seconds), seed),
        "stranger": lambda: described.schemathesis(target["url"], shown, int(seconds), seed, stranger=True),
        "hypothesis": lambda: decoders.hypothesis(seed, deadline),
        "atheris": lambda: decoders.atheris(int(seconds)),
    }  # fmt: skip
    return jobs[part]()


def fuzz(seconds: float, seed: int, parts: list[str], *, curve: bool = False) -> dict[str, Any]:
    """Run the named fuzzers together for a while; return the report."""
    allowed = sorted(os.sched_getaffinity(0))
    ours, theirs = {allowed[0]}, {allowed[-1]}
    try:
        os.sched_setaffinity(0, ours)
        flags = (*HEAD_FLAGS, *(["--curve"] if curve else ()))
        with start_cluster(1, flags) as cluster, start_cluster(0, flags) as other:
            return _run(cluster, other, seconds, seed, parts, (ours, theirs))
    finally:
        os.sched_setaffinity(0, allowed)


def _run(
    cluster: Cluster, other: Cluster, seconds: float, seed: int, parts: list[str], cores: tuple[set[int], set[int]]
) -> dict[str, Any]:
    target, apart = target_of(cluster), target_of(other)
    children = [_start("work", target | {"cores": list(cores[0])}, seconds, seed)]
    for part in parts:
        there = apart if part == "described" else target
        children.append(_start(part, there | {"cores": list(cores[1])}, seconds, seed))
    memory = _watch(cluster, children, seconds)
    results = {each.part: each.finish() for each in children}
    report = {"seed": seed, "seconds": seconds, "cores": len({*cores[0], *cores[1]}), "memory_mib": memory, **results}
    report["heads"] = [_state(each) for each in (cluster, other)]
    report["problems"] = problems(report)
    return report


def target_of(cluster: Cluster) -> dict[str, Any]:
    """Return what a fuzzer must know of a head."""
    parts = urlsplit(cluster.url)
    others = [cluster.head.ready[name].removeprefix("tcp://").rsplit(":", 1) for name in ("node", "blob", "events")]
    return {
        "url": cluster.url, "shown": cluster.shown, "http": [parts.hostname, parts.port],
        "others": [[host, int(port)] for host, port in others],
    }  # fmt: skip


class Child(NamedTuple):
    """The work, or a fuzzer, as a process."""

    part: str
    process: subprocess.Popen[bytes]
    out: BinaryIO
    err: BinaryIO

    def finish(self) -> dict[str, Any]:
        """Return its result, or how it failed."""
        try:
            status = self.process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        lines, errors = _text(self.out).strip().splitlines(), _text(self.err)
        if status or not lines:
            return {"failed": f"{self.part} ended with {status}", "error": errors[-3_000:]}
        result: dict[str, Any] = json.loads(lines[-1])
        return result


def _text(file: BinaryIO) -> str:
    with file:
        file.seek(0)
        return file.read().decode(errors="replace")


def _start(part: str, target: dict[str, Any], seconds: float, seed: int) -> Child:
    command = [sys.executable, str(Path(__file__)), "--child", part, "--target", json.dumps(target)]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    environment = os.environ | {"MAZE_TOKEN": target["shown"]["Authorization"].removeprefix("Bearer ")}
    # Files, not pipes: nobody reads them before the end.
    out, err = (tempfile.TemporaryFile("w+b") for _ in range(2))  # noqa: SIM115 -- closed when they were read
    return Child(part, subprocess.Popen(command, stdout=out, stderr=err, env=environment), out, err)


def _watch(cluster: Cluster, children: list[Child], seconds: float) -> dict[str, Any]:
    """Look at the memory of head and node once a second until the fuzzers are through."""
    end = time.monotonic() + seconds + LEAVE_SECONDS
    seen: dict[str, list[float]] = {"head": [], "node": []}
    while time.monotonic() < end and any(each.process.poll() is None for each in children):
        for name, daemon in (("head", cluster.head), ("node", cluster.nodes[0])):
            if daemon.process.poll() is None:
                seen[name].append(rss_mib(daemon.pid))
        time.sleep(1.0)
    return {name: _growth(values) for name, values in seen.items()}


def _growth(values: list[float]) -> dict[str, float]:
    warm = values[int(len(values) * WARM) :] or [0.0]
    return {"warm": warm[0], "last": warm[-1], "most": max(values, default=0.0), "growth": round(warm[-1] - warm[0], 1)}


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def _state(cluster: Cluster) -> dict[str, Any]:
    """Return how a head is afterwards: alive, whole, and what its log says."""
    log = cluster.head.log.read_text("utf-8", "replace")
    alive = cluster.head.process.poll() is None
    counters = cluster.get("/api/v1/metrics")["counters"] if alive else {}
    interesting = ("http_", "transport_", "connections_", "nodes_", "publisher_", "driver_stall")
    bad = [line for line in log.splitlines() if " ERROR " in line or " CRITICAL " in line or "Traceback" in line]
    return {
        "alive": alive, "nodes_ready": cluster.ready_nodes() if alive else 0, "nodes": len(cluster.nodes),
        "log_bytes": len(log),
        "bad_lines": bad[:20], "bad_tail": log[-3_000:] if bad else "",
        "counters": {name: value for name, value in counters.items() if name.startswith(interesting) and value},
    }  # fmt: skip


def problems(report: dict[str, Any]) -> list[str]:
    """Return what must not be, in words."""
    found = []
    for part in ("work", *PARTS):
        result = report.get(part, {})
        if "failed" in result:
            found.append(result["failed"])
        if result.get("findings_total") or result.get("wrong_total"):
            found.append(f"{part}: {result.get('findings_total', 0) + result.get('wrong_total', 0)} findings")
    for number, head in enumerate(report["heads"]):
        if not head["alive"] or head["nodes_ready"] != head["nodes"]:
            found.append(f"head {number}: alive {head['alive']}, {head['nodes_ready']} of {head['nodes']} nodes")
        if head["bad_lines"]:
            found.append(f"head {number}: errors in its log")
    found += [
        f"{name} grew by {seen['growth']} MiB"
        for name, seen in report["memory_mib"].items()
        if seen["growth"] > GROWTH_MIB
    ]
    if not report["work"].get("runs"):
        found.append("no honest work was done")
    return found


if __name__ == "__main__":
    raise SystemExit(main())

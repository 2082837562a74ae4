"""One workload, two systems, measured in turn: A B A B, each time in fresh processes.

    python bench/compare.py W1 --systems maze,ray [--pairs 5] [--size N] [--durability power] [--nodes 4] [--markdown]

Prints one JSON document: the figures of each system, and the ratio first / second of each pair with its spread. `maze`
compared with `maze-4` or `maze-power` sets it beside itself on four nodes of one worker, or with every commit on the
disk. peers.py makes the environments of ray and dask.

W1 no-op tasks per second (add_task, submission, decoding of results count) and head CPU µs per task · W2 one task, ms ·
W3 chain, ms per hop · W4 1 → 1,000 of 1 ms of CPU → 1, efficiency on two workers · W5-array, W5-bytes 100 MiB from one
task to three on the same node, ms, and copies of 100 MiB at that moment · W6 from nothing to the first result, s.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from _machine import describe
from _ratios import ratio_of, row, summary
from peers import interpreter

HERE = Path(__file__).resolve().parent
METRICS = {
    "W1": "tasks_per_second", "W2": "p50_ms", "W3": "hop_ms", "W4": "efficiency", "W5-array": "ms", "W5-bytes": "ms",
    "W6": "first_result_s",
}  # fmt: skip
VARIANTS = {"maze": [], "maze-4": ["--nodes", "4"], "maze-power": ["--durability", "power"]}


def measure(system: str, workload: str, size: int | None) -> dict[str, Any]:
    """Measure once, in processes of its own."""
    sized = [] if size is None else [str(size)]
    if system in VARIANTS:
        command = [interpreter("maze"), str(HERE / "_maze_side.py"), workload, *sized, *VARIANTS[system]]
    else:
        command = [interpreter(system), str(HERE / "_peer_side.py"), system, workload, *sized]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{system} failed on {workload}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(workload: str, systems: tuple[str, str], pairs: int, size: int | None, metric: str) -> dict[str, Any]:
    """Measure pairs and return figures and ratios."""
    found: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    for _ in range(pairs):
        for system in systems:
            found[system].append(measure(system, workload, size))
    one, other = ([each[metric] for each in found[system]] for system in systems)
    return {
        "bench": "compare", "workload": workload, "metric": metric, "systems": list(systems), "pairs": pairs,
        systems[0]: summary(one), systems[1]: summary(other), "ratio": ratio_of(one, other), "measured": found,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=METRICS)
    parser.add_argument("--systems", default="maze,futures", help="two of maze, maze-4, maze-power, futures, ray, dask")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=int, help="tasks, rounds, hops or consumers")
    parser.add_argument("--metric", help="another figure of the workload")
    parser.add_argument("--markdown", action="store_true", help="print a row of a table instead")
    given = parser.parse_args()
    one, other = given.systems.split(",")
    record = compare(given.workload, (one, other), given.pairs, given.size, given.metric or METRICS[given.workload])
    print(row(record) if given.markdown else json.dumps({**record, **describe()}, indent=2))


if __name__ == "__main__":
    main()

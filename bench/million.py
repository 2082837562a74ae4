"""A million no-op tasks in a hundred runs: does what is over leave memory behind?

    python bench/million.py [--runs 100] [--tasks 10000]

Prints one JSON document. The client forgets each run when it has looked at its results. Growth per finished run is that
of the second half, when pools and caches are warm.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from _cluster import cluster, run, values_of
from _machine import describe
from _maze_side import independent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=10_000)
    given = parser.parse_args()
    memory: list[dict[str, Any]] = []
    with cluster(1, 2, "process") as on:
        began = time.perf_counter()
        for number in range(1, given.runs + 1):
            values = values_of(run(on.client, independent(given.tasks)))
            assert sorted(values) == list(range(given.tasks)), "a result is missing or wrong"
            if number % max(1, given.runs // 10) == 0:
                memory.append({"runs": number, **{part: size / 1e6 for part, size in on.resident_bytes().items()}})
        seconds = time.perf_counter() - began
    middle, end = memory[(len(memory) - 1) // 2], memory[-1]
    runs = max(1, end["runs"] - middle["runs"])
    grown = {
        part: round(1e3 * (end[part] - middle[part]) / runs, 1) for part in ("client", "head", "agents", "workers")
    }
    record = {
        "bench": "million", **describe(), "tasks": given.runs * given.tasks, "seconds": round(seconds, 1),
        "tasks_per_second": round(given.runs * given.tasks / seconds), "kb_per_run": grown, "rss_mb": memory,
    }  # fmt: skip
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

"""The budget of one no-op task: what each step costs in µs of CPU, and how much of the end-to-end cost that explains.

    python bench/budget.py [--tasks 10000] [--rounds 3] [--batches 64,256] [--durability process] [--json]

Two views of the same way, client → head → agent → worker → agent → head → client:
* measured: W1 on a real head and node. What the kernel counts for the processes of each part, divided among its stages
  (_stages.py) as samples of the CPU clock divide; `the rest` is the event loop and what no stage explains.
* alone: steps of the head and of the worker with the real modules, in this process, in batches of so many tasks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from typing import Any

from _alone import alone
from _cluster import Cluster, cluster, run
from _machine import describe
from _maze_side import independent
from _stages import REST, STAGES, by_stage
from hot_path import hooked, one_round, profiled


def measured(tasks: int, rounds: int, durability: str) -> dict[str, Any]:
    """Run W1 and return the end-to-end cost by part and stage."""
    # The kinds of profiles differ: only the client has two threads that matter.
    with tempfile.TemporaryDirectory() as folder, hooked(folder, "samples"), cluster(1, 2, durability) as on:
        run(on.client, independent(1_000))
        found = [one_round(on, tasks) for _ in range(rounds)]
        costs = {part: statistics.median(_cost(each["cpu_us_per_task"], part) for each in found) for part in STAGES}
        stages = {part: by_stage(_stacks(on, tasks, part, folder), part, costs[part]) for part in STAGES}
    explained = sum(costs.values()) - sum(stage[REST] for stage in stages.values())
    return {
        "tasks_per_second": statistics.median(each["tasks_per_second"] for each in found), "stages_us": stages,
        "parts_us": {part: round(cost, 1) for part, cost in costs.items()}, "sum_us": round(sum(costs.values()), 1),
        "explained_percent": round(100 * explained / sum(costs.values()), 1),
    }  # fmt: skip


def _cost(spent: dict[str, float], part: str) -> float:
    """Return what all processes of a part cost per task; the spawner is the agent's."""
    kinds = ("agent", "spawner") if part == "agent" else (part,)
    return sum(us for name, us in spent.items() if name.startswith(kinds))


def _stacks(on: Cluster, tasks: int, part: str, folder: str) -> list[dict[str, Any]]:
    stacks: list[dict[str, Any]] = profiled(on, tasks, part, "threads" if part == "client" else "samples", folder)[
        "stacks"
    ]
    return stacks


def table(record: dict[str, Any]) -> str:
    """Return a record as two Markdown tables."""
    whole = record["measured"]
    lines = ["| part | step | µs per task |", "|---|---|---|"]
    for part, stages in whole["stages_us"].items():
        lines.append(f"| **{part}** | all | **{whole['parts_us'][part]}** |")
        lines += [f"| | {stage} | {spent} |" for stage, spent in stages.items()]
    lines.append(f"| **together** | {whole['explained_percent']} % explained by steps | **{whole['sum_us']}** |")
    sizes = list(record["alone_us"])
    lines += [
        "",
        f"| step alone | {' | '.join(f'batches of {size}' for size in sizes)} |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    lines += [
        f"| {step} | {' | '.join(str(record['alone_us'][size][step]) for size in sizes)} |"
        for step in record["alone_us"][sizes[0]]
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", default="64,256")
    parser.add_argument("--durability", default="process")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    record = {
        "bench": "budget", **describe(), "tasks": given.tasks,
        "measured": measured(given.tasks, given.rounds, given.durability),
        "alone_us": {size: alone(int(size), given.tasks) for size in given.batches.split(",")},
    }  # fmt: skip
    print(json.dumps(record, indent=2) if given.json else table(record))


if __name__ == "__main__":
    main()

"""One workload, two systems, measured in turn: A B A B, each time in fresh processes.

    python bench/compare.py W1 --systems maze,ray [--pairs 5] [--size N] [--metric FIGURE] [--markdown]
    python bench/compare.py --table RECORD.json ...

Prints one JSON document: the figures of each system, and the ratio first / second of each pair with its spread; each
measurement with the machine's yardstick and the share of time stolen during it. One system alone is measured so many
times. `--table` prints records that were kept as rows of a Markdown table. peers.py makes the environments of ray and
dask. `maze-4` is Maze on four nodes of one worker, `maze-power` with every commit on the disk, `maze-1000` and
`maze-100000` beside so many blocked tasks.

W1 no-op tasks per second (add_task, submission, decoding of results count) and head CPU µs per task · W2 one task, ms ·
W3 chain, ms per hop · W4 1 → 1,000 of 1 ms of CPU → 1, efficiency on two workers · W5-array, W5-bytes 100 MiB from one
task to three on the same node, ms, and copies of 100 MiB at that moment · W5-nodes MB/s between two nodes · W5-beside a
small task's latency beside a transfer of 1 GiB / beside as much copying of memory · W5-head MB by which the head grows
while 4 GiB pass · W6 from nothing to the first result, s · W7 bytes per queued task, all processes but the client ·
W7-rate tasks per second in the steady half of a run · W8 seconds until the task of a killed worker starts again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from _machine import describe, loop_ns, stolen_percent, stolen_ticks
from _ratios import ratio_of, row, summary, table
from peers import interpreter

HERE = Path(__file__).resolve().parent
METRICS = {
    "W1": "tasks_per_second", "W2": "p50_ms", "W3": "hop_ms", "W4": "efficiency", "W5-array": "ms", "W5-bytes": "ms",
    "W5-nodes": "mb_per_second", "W5-beside": "ratio", "W5-head": "head_grew_mb", "W6": "first_result_s",
    "W7": "bytes_per_task", "W7-rate": "steady_per_second", "W8": "restart_s",
}  # fmt: skip
VARIANTS = {
    "maze": [], "maze-4": ["--nodes", "4"], "maze-power": ["--durability", "power"],
    "maze-1000": ["--backlog", "1000"], "maze-100000": ["--backlog", "100000"],
}  # fmt: skip


def measure(system: str, workload: str, size: int | None) -> dict[str, Any]:
    """Measure once, in processes of its own."""
    sized = [] if size is None else [str(size)]
    if system in VARIANTS:
        command = [interpreter("maze"), str(HERE / "_maze_side.py"), workload, *sized, *VARIANTS[system]]
    else:
        command = [interpreter(system), str(HERE / "_peer_side.py"), system, workload, *sized]
    before = stolen_ticks()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{system} failed on {workload}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "stolen_percent": stolen_percent(before), "yardstick_loop_ns": loop_ns()}


def compare(workload: str, systems: list[str], pairs: int, size: int | None, metric: str) -> dict[str, Any]:
    """Measure pairs and return figures and ratios; no ratio where a system has no figure, or zero."""
    found: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    for _ in range(pairs):
        for system in systems:
            found[system].append(measure(system, workload, size))
    figures = {system: [each.get(metric) for each in found[system]] for system in systems}
    record: dict[str, Any] = {"bench": "compare", "workload": workload, "metric": metric, "systems": systems}
    record |= {system: summary(values) for system, values in figures.items() if None not in values}
    if len(systems) == 2 and all(all(values) for values in figures.values()):
        record["ratio"] = ratio_of(*figures.values())
    return {**record, "pairs": pairs, "measured": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=METRICS, nargs="?")
    parser.add_argument(
        "--systems", default="maze,futures", help=f"one or two of {', '.join(VARIANTS)}, futures, ray, dask"
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=int, help="tasks, rounds, hops or consumers")
    parser.add_argument("--metric", help="another figure of the workload")
    parser.add_argument("--markdown", action="store_true", help="print a row of a table instead")
    parser.add_argument("--table", nargs="+", type=Path, metavar="RECORD", help="print kept records as a table")
    given = parser.parse_args()
    if given.table:
        print(table([json.loads(path.read_text()) for path in given.table]))
        return
    if given.workload is None:
        parser.error("which workload?")
    metric = given.metric or METRICS[given.workload]
    record = {**describe(), **compare(given.workload, given.systems.split(","), given.pairs, given.size, metric)}
    print(row(record) if given.markdown else json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

"""Scheduling decisions per second of CPU time, in the core alone, and what a backlog costs each of them.

    python bench/decisions.py [--nodes 1000] [--waiting 100000] [--backlogs 1000,1000000] [--turns 200] [--batch 64]
                              [--seed 0] [--profile]

A steady state: all nodes are full and so many tasks of twenty shapes wait, equally many of each. In every turn a batch
of random attempts ends, and the freed room goes to waiting tasks; what was placed is replaced, shape by shape. A
decision is one task given to one node, ready to be sent. `schedule` is clocked apart from the handling of results;
submissions are not counted. The figure of a backlog is the median over the turns, of CPU microseconds per decision.
`--profile` prints instead where `schedule` spends its time.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import time
from random import Random
from typing import Any

from _core import Cluster, Placed, function, quiet_collector, task
from _machine import describe
from _workloads import SHAPES, mixed_nodes

TASKS_PER_RUN = 50
WARM_UP_TURNS = 50


class SteadyState:
    """A full cluster with a backlog that stays as it is."""

    def __init__(self, nodes: int, waiting: int, seed: int) -> None:
        self.cluster = Cluster()
        self.random = Random(seed)
        self.held: list[Placed] = []
        self.per_shape = max(1, waiting // len(SHAPES))
        self.waiting = [0] * len(SHAPES)
        self.placed = [0] * len(SHAPES)
        self.shape_of: dict[bytes, int] = {}
        self.cluster.join(mixed_nodes(nodes, seed))
        for number, shape in enumerate(SHAPES):
            code = function(f"f{number}")
            tasks = [task(index, code, shape) for index in range(TASKS_PER_RUN)]
            self.cluster.workflow(_id(number), tasks, [code])
        while self.fill() or self.place():
            pass

    def fill(self) -> bool:
        """Submit runs until the backlog is as large as wanted; tell whether any was needed."""
        submitted = len(self.shape_of)
        # In turn, since who came first goes first: shape by shape, the first ones would fill all nodes.
        while short := [number for number, waiting in enumerate(self.waiting) if waiting < self.per_shape]:
            for number in short:
                run_id = _id(len(self.shape_of) + 1_000)
                self.shape_of[run_id] = number
                self.cluster.submit(run_id, _id(number))
                self.waiting[number] += TASKS_PER_RUN
        return len(self.shape_of) > submitted

    def place(self) -> int:
        """Let the core place what fits; return how much that was."""
        placed = self.cluster.schedule()
        for one in placed:
            number = self.shape_of[one.run_id]
            self.waiting[number] -= 1
            self.placed[number] += 1
        self.held += placed
        return len(placed)

    def end(self, batch: int) -> None:
        """Let so many random attempts succeed."""
        ended: list[Placed] = []
        for _ in range(min(batch, len(self.held))):
            place = self.random.randrange(len(self.held))
            self.held[place], self.held[-1] = self.held[-1], self.held[place]
            ended.append(self.held.pop())
        self.cluster.mono += 0.001
        self.cluster.finish(ended, [100.0] * len(ended))

    def turn(self, batch: int) -> tuple[float, float, int]:
        """Do one turn; return the CPU seconds of the decisions, of the results, and the number of decisions."""
        spent = self.cluster.spent
        schedule_s, handle_s = spent.schedule_s, spent.handle_s
        self.end(batch)
        handled = spent.handle_s - handle_s
        placed = self.place()
        decided = spent.schedule_s - schedule_s
        self.fill()
        return decided, handled, placed


def _id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def steady(nodes: int, waiting: int, seed: int, batch: int) -> SteadyState:
    """Return a steady state that has gone through some turns, with the collector as in a head."""
    state = SteadyState(nodes, waiting, seed)
    for _ in range(WARM_UP_TURNS):
        state.turn(batch)
    quiet_collector()
    return state


def measure(nodes: int, waiting: int, seed: int, turns: int, batch: int) -> dict[str, Any]:
    """Return the figures of one backlog."""
    began = time.perf_counter()
    state = steady(nodes, waiting, seed, batch)
    before, waits = list(state.placed), sum(state.waiting)
    took = [state.turn(batch) for _ in range(turns)]
    decisions = sum(placed for *_, placed in took)
    decided = sum(seconds for seconds, _, _ in took)
    handled = sum(seconds for _, seconds, _ in took)
    each = sorted(1e6 * seconds / placed for seconds, _, placed in took if placed)
    gc.unfreeze()
    return {
        "waiting": waits,
        "running": len(state.held),
        "turns": turns,
        "decisions": decisions,
        "decisions_per_cpu_second": round(decisions / decided),
        "us_per_decision": {
            "mean": round(1e6 * decided / decisions, 2),
            "median": round(statistics.median(each), 2),
            "best_tenth": round(each[len(each) // 10], 2),
        },
        "us_per_result": round(1e6 * handled / (turns * batch), 2),
        "decisions_by_shape": [now - then for now, then in zip(state.placed, before, strict=True)],
        "wall_s": round(time.perf_counter() - began, 1),
    }


def profile(nodes: int, waiting: int, seed: int, turns: int, batch: int) -> None:
    """Print where the placement passes spend their time (the profiler itself makes small functions look dear)."""
    state = steady(nodes, waiting, seed, batch)
    profiler = cProfile.Profile()
    decide = state.cluster.core.schedule

    def profiled(now: Any) -> Any:
        return profiler.runcall(decide, now)

    state.cluster.core.schedule = profiled  # type: ignore[method-assign]
    for _ in range(turns):
        state.turn(batch)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("nodes", 1000), ("waiting", 100_000), ("turns", 200), ("batch", 64), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--backlogs", default="1000,1000000", help="two backlogs whose costs are compared, or nothing")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    common = given.seed, given.turns, given.batch
    if given.profile:
        profile(given.nodes, given.waiting, *common)
        return
    record: dict[str, Any] = {"bench": "decisions", **describe(), "nodes": given.nodes, "batch": given.batch}
    record["steady"] = measure(given.nodes, given.waiting, *common)
    if given.backlogs:
        few, many = (measure(given.nodes, int(waiting), *common) for waiting in given.backlogs.split(","))
        ratio = many["us_per_decision"]["median"] / few["us_per_decision"]["median"]
        record["backlogs"] = {"few": few, "many": many, "cost_ratio": round(ratio, 2)}
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

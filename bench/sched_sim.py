"""A day of a large cluster in a minute: the real core of the head under a clock of its own, against other schedulers.

    python bench/sched_sim.py [--nodes 100] [--tasks 10000] [--seeds 1] [--load 0.8] [--workload agents]
                              [--projects 4] [--order fcfs] [--turn-ms 10] [--plot FILE.png]
    python bench/sched_sim.py --compare fcfs,hacs --seeds 20 --projects 1 --nodes 4 --tasks 5000
    python bench/sched_sim.py --fairness
    python bench/sched_sim.py --nodes 1000 --tasks 1000000            (the full size: a quarter of an hour or more)

Each turn takes in everything that happened since the last one, as the head's driver does while it commits: arrivals,
starts and ends; then the core places what fits. Nodes and their messages are real to the core (HELLO, STARTED,
RESULT), only nobody works: an attempt ends after as many seconds as the workload says. Printed is one JSON document:
per policy the CPU time of the core and its decisions, and utilisation, completion times, waits and fragmentation
(_measures.py), beside bounds that no scheduler beats (_baselines.py), on the workloads of _workloads.py.

`--compare A,B` runs two orders on the same workloads, one per seed, and tells how much the mean completion time of B
is below that of A, with a 95 % interval over the seeds. `--fairness` gives equal projects equal backlogs.
`--plot` needs matplotlib: pip install 'maze-cluster[viz]'.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Protocol

from _baselines import Attempt, FirstFit, HeadOfLine, bounds
from _core import Cluster, Placed, function, orders, quiet_collector, task
from _machine import describe
from _measures import Meter, confidence, jain, percentile
from _workloads import PROJECTS, WORKLOADS, Job, Workload, backlog, mixed_nodes, workload

from maze_protocol.resources import Capacity, Request

TICK_S = 1.0
"""How often the core is told that time passed while tasks wait."""


class Policy(Protocol):
    """Who decides what runs where."""

    name: str

    def submit(self, number: int, job: Job) -> None:
        """Take in a job."""

    def ready(self, job: int, step: int, request: Request) -> None:
        """Learn that the inputs of a step are there; called for the first steps too."""

    def finish(self, ended: Sequence[Attempt], seconds: Sequence[float]) -> None:
        """Learn which attempts are over, and how long they took."""

    def place(self) -> list[Attempt]:
        """Decide."""


class Maze:
    """The core; it learns from submissions and from its nodes, and knows by itself which steps are ready."""

    def __init__(self, nodes: Sequence[Capacity], work: Workload, order: str) -> None:
        self.name = f"maze {order}"
        self.cluster = Cluster(order)
        self.cluster.join(nodes)
        self.workflow_ids = {app.name: number.to_bytes(16, "big") for number, app in enumerate(work.apps)}
        for app in work.apps:
            codes = {step.function.name: function(step.function.name) for step in app.steps}
            tasks = [
                task(number, codes[step.function.name], step.function.resources, step.sources)
                for number, step in enumerate(app.steps)
            ]
            self.cluster.workflow(self.workflow_ids[app.name], tasks, list(codes.values()))
        self.held: dict[int, Placed] = {}
        self.fresh: list[Placed] = []
        self.began = self.ticked_at = self.cluster.mono
        quiet_collector()

    def advance(self, now: float) -> None:
        """Set the core's clock, and let nodes report what has started since the last turn and still runs."""
        self.cluster.mono = self.began + now
        if self.cluster.mono - self.ticked_at >= TICK_S:
            self.ticked_at = self.cluster.mono
            self.cluster.tick()

    def submit(self, number: int, job: Job) -> None:
        self.cluster.submit(number.to_bytes(16, "big"), self.workflow_ids[job.app.name], project=job.project)

    def ready(self, job: int, step: int, request: Request) -> None:
        """Take note of nothing."""

    def finish(self, ended: Sequence[Attempt], seconds: Sequence[float]) -> None:
        over = [self.held.pop(one.token) for one in ended]
        fresh, self.fresh = self.fresh, []
        self.cluster.start([one for one in fresh if one.lease in self.held])
        self.cluster.finish(over, [1000 * lasted for lasted in seconds])

    def place(self) -> list[Attempt]:
        placed = self.cluster.schedule()
        self.fresh += placed
        self.held.update((one.lease, one) for one in placed)
        return [
            Attempt(int.from_bytes(one.run_id, "big"), one.task, int(one.link[1:]), one.claim, one.lease)
            for one in placed
        ]

    def report(self) -> dict[str, Any]:
        """Return what the core cost."""
        spent = self.cluster.spent
        return {
            "decisions": spent.placed,
            "decisions_per_cpu_second": round(spent.placed / spent.schedule_s),
            "schedule_us_per_decision": round(1e6 * spent.schedule_s / spent.placed, 1),
            "handle_us_per_task": round(1e6 * spent.handle_s / spent.placed, 1),
            "turns": spent.turns,
            "slowest_schedule_ms": round(1e3 * spent.slowest_turn_s, 1),
        }


@dataclass(slots=True)
class Live:
    """A job that is not over."""

    missing: list[int]
    open: int
    ready_at: list[float]


@dataclass(slots=True)
class Simulation:
    """One workload under one policy."""

    policy: Policy
    work: Workload
    meter: Meter
    turn_s: float
    now: float = 0.0
    next_job: int = 0
    live: dict[int, Live] = field(default_factory=dict)
    running: list[tuple[float, int, Attempt]] = field(default_factory=list)
    serial: int = 0
    ended_at: list[float] = field(default_factory=list)
    served: dict[str, float] = field(default_factory=dict)
    """CPU milliseconds that each project was given so far: claims times their length."""

    def run(self, until_served: float = float("inf")) -> None:
        """Go on until all jobs are over, or so much was served.

        Raises:
            RuntimeError: nothing runs, nothing comes, and something waits.
        """
        self.ended_at = [0.0] * len(self.work.jobs)
        while (self.next_job < len(self.work.jobs) or self.live) and sum(self.served.values()) < until_served:
            self._step_time()
            self._arrive()
            self._end()
            self._start()

    def _step_time(self) -> None:
        events = [self.running[0][0]] if self.running else []
        if self.next_job < len(self.work.jobs):
            events.append(self.work.jobs[self.next_job].arrives)
        if not events:
            raise RuntimeError(f"{self.policy.name} leaves {len(self.live)} jobs waiting on an idle cluster")
        turns = int(min(events) / self.turn_s) + 1
        self.now = max(self.now + self.turn_s, turns * self.turn_s)
        self.meter.advance(self.now)
        if isinstance(self.policy, Maze):
            self.policy.advance(self.now)

    def _arrive(self) -> None:
        jobs = self.work.jobs
        while self.next_job < len(jobs) and jobs[self.next_job].arrives <= self.now:
            number, job = self.next_job, jobs[self.next_job]
            self.next_job += 1
            steps = job.app.steps
            self.live[number] = Live([len(step.sources) for step in steps], len(steps), [self.now] * len(steps))
            self.policy.submit(number, job)
            for place, step in enumerate(steps):
                if not step.sources:
                    self.policy.ready(number, place, step.function.request)

    def _end(self) -> None:
        ended: list[Attempt] = []
        while self.running and self.running[0][0] <= self.now:
            ended.append(heappop(self.running)[2])
        for one in ended:
            self.meter.ended(one)
        self.policy.finish(ended, [self.work.jobs[one.job].seconds[one.step] for one in ended])
        for one in ended:
            self._follow(one)

    def _follow(self, one: Attempt) -> None:
        live, job = self.live[one.job], self.work.jobs[one.job]
        live.open -= 1
        if not live.open:
            del self.live[one.job]
            self.ended_at[one.job] = self.now
        for place in job.app.after[one.step]:
            live.missing[place] -= 1
            if not live.missing[place]:
                live.ready_at[place] = self.now
                self.policy.ready(one.job, place, job.app.steps[place].function.request)

    def _start(self) -> None:
        for one in self.policy.place():
            job = self.work.jobs[one.job]
            self.serial += 1
            lasts = job.seconds[one.step]
            heappush(self.running, (self.now + lasts, self.serial, one))
            self.meter.placed(one, self.now - self.live[one.job].ready_at[one.step])
            self.served[job.project] = self.served.get(job.project, 0.0) + lasts * one.claim.cpu_milli

    def report(self) -> dict[str, Any]:
        """Return how long jobs took, and the meter's figures."""
        taken = [end - job.arrives for end, job in zip(self.ended_at, self.work.jobs, strict=True)]
        ordered = sorted(taken)
        slowdowns: dict[str, list[float]] = {}
        for job, lasted in zip(self.work.jobs, taken, strict=True):
            slowdowns.setdefault(job.project, []).append(lasted / max(job.seconds))
        return {
            "jct_s": {
                "mean": round(statistics.fmean(taken), 3),
                "median": round(percentile(ordered, 0.5), 3),
                "p95": round(percentile(ordered, 0.95), 3),
                "max": round(ordered[-1], 2),
            },
            "makespan_s": round(max(self.ended_at), 1),
            "jain_of_slowdowns": round(jain(statistics.fmean(values) for values in slowdowns.values()), 4),
            **self.meter.report(),
        }


def simulate(policy: Policy, work: Workload, nodes: Sequence[Capacity], turn_ms: float) -> Simulation:
    """Run a workload to its end."""
    simulation = Simulation(policy, work, Meter(nodes, work), turn_ms / 1000)
    simulation.run()
    return simulation


def one_seed(given: argparse.Namespace, seed: int) -> tuple[dict[str, Any], dict[str, Simulation]]:
    """Run every policy on the workload of a seed."""
    nodes = mixed_nodes(given.nodes, seed)
    work = workload(given.workload, given.tasks, nodes, given.load, seed, given.projects)
    least = bounds(work.jobs, nodes)
    record: dict[str, Any] = {"seed": seed, "jobs": len(work.jobs), "tasks": work.tasks, "bounds": _rounded(least)}
    simulations: dict[str, Simulation] = {}
    for order in given.compare or [given.order]:
        policy = Maze(nodes, work, order)
        simulation = simulations[policy.name] = simulate(policy, work, nodes, given.turn_ms)
        record[policy.name] = {**simulation.report(), "core": policy.report()}
        gc.unfreeze()
    for kind in () if given.compare or given.no_baselines else (FirstFit, HeadOfLine):
        simulation = simulations[kind.name] = simulate(kind(nodes), work, nodes, given.turn_ms)
        record[kind.name] = simulation.report()
    for name in simulations:
        record[name]["jct_over_bound"] = round(record[name]["jct_s"]["mean"] / least["mean_jct_s"], 3)
    return record, simulations


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def comparison(records: Sequence[dict[str, Any]], orders: Sequence[str]) -> dict[str, Any]:
    """Return how much better the second order is than the first, over the seeds."""
    before, after = (
        [[record[f"maze {order}"]["jct_s"]["mean"], record[f"maze {order}"]["wait_s"]["max"]] for record in records]
        for order in orders
    )
    gains = [100 * (1 - new[0] / old[0]) for old, new in zip(before, after, strict=True)]
    return {
        "mean_jct_s": {
            order: round(statistics.fmean(row[0] for row in rows), 3)
            for order, rows in zip(orders, (before, after), strict=True)
        },
        "mean_jct_lower_by_percent": round(statistics.fmean(gains), 2),
        "confidence_95": [round(end, 2) for end in confidence(gains)],
        "seeds_better": sum(gain > 0 for gain in gains),
        "seeds": len(gains),
        "max_wait_s": {
            order: round(max(row[1] for row in rows), 1) for order, rows in zip(orders, (before, after), strict=True)
        },
    }


def fairness(given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return Jain's index of what equal projects were given while all of them had work waiting."""
    nodes = mixed_nodes(given.nodes, seed)
    work = backlog(given.tasks, seed)
    whole = sum(job.seconds[0] * job.app.steps[0].function.request.cpu_milli for job in work.jobs)
    policy = Maze(nodes, work, given.order)
    simulation = Simulation(policy, work, Meter(nodes, work), given.turn_ms / 1000)
    simulation.run(until_served=whole / 2)
    gc.unfreeze()
    shares = [simulation.served.get(f"p{project}", 0.0) for project in range(PROJECTS)]
    return {
        "seed": seed,
        "tasks": work.tasks,
        "placed": simulation.serial,
        "shares": [round(share / sum(shares), 4) for share in shares],
        "jain": round(jain(shares), 4),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("nodes", 100), ("tasks", 10_000), ("seeds", 1), ("first-seed", 1), ("projects", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--load", type=float, default=0.8, help="how busy the scarcer of CPUs and GPUs is, at least")
    parser.add_argument("--workload", choices=WORKLOADS, default="agents")
    parser.add_argument("--order", choices=orders(), default="fcfs")
    parser.add_argument("--compare", type=lambda text: text.split(","), help="two orders, such as fcfs,hacs")
    parser.add_argument("--fairness", action="store_true")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--turn-ms", type=float, default=10.0)
    parser.add_argument("--plot", metavar="FILE")
    return parser.parse_args()


def main() -> None:
    """Simulate and print."""
    given = _arguments()
    began = time.perf_counter()
    record: dict[str, Any] = {"bench": "sched_sim", **describe()}
    record |= {name: getattr(given, name) for name in ("workload", "nodes", "projects", "order", "turn_ms")}
    record["offered_load"] = given.load
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    if given.fairness:
        record["fairness"] = [fairness(given, seed) for seed in seeds]
    else:
        runs = [one_seed(given, seed) for seed in seeds]
        record["runs"] = [figures for figures, _ in runs]
        if given.compare:
            record["comparison"] = comparison(record["runs"], given.compare)
        if given.plot:
            from _plots import draw

            draw(given.plot, *runs[-1])
    record["wall_s"] = round(time.perf_counter() - began, 1)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

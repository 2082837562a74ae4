"""`maze suggest`: what functions should claim, from what their tasks were measured to need.

* Memory: the largest peak and a fifth, rounded up to a size that people would write. A peak is that of the whole
  process, with the interpreter and what earlier tasks have left in it: rather too much than too little.
* CPUs: what 95 of 100 tasks kept busy at most, rounded up to quarters, or to whole CPUs above one; tasks shorter than
  a twentieth of a second say nothing about that.
* GPUs stay as they were claimed: how much of a device a task needs is not measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import click

from maze._daemon.options import DaemonCommand
from maze.cli._api import Head, url_option
from maze.cli._find import find_run, list_runs
from maze.cli._render import amount, echo, echo_json, echo_table, json_option

__all__ = ["Suggestion", "nice_cpus", "nice_mib", "suggest", "suggestions"]

HEADROOM: Final = 1.2
SHORT_MS: Final = 50.0
STEPS: Final = ((512, 32), (2048, 128), (8192, 512))
"""Up to so many MiB, sizes are multiples of so many; above the last, of whole GiB."""
_COLUMNS: Final = ("FUNCTION", "TASKS", "CPU", "USED", "CPU_MEM", "PEAK", "P95", "SUGGESTED")


class Suggestion(NamedTuple):
    """What is known of the tasks of one function, and what they should claim."""

    function: str
    tasks: int
    cpu: float
    """The largest claim, as are the next ones."""
    cpu_mem: int
    gpu: dict[str, float]
    cpu_used: float | None
    """CPUs that 95 of 100 tasks kept busy at most; None if all were too short to tell."""
    peak_mib: int
    p95_mib: int

    @property
    def resources(self) -> dict[str, float]:
        """Return what to write into `resources=`."""
        cpu = self.cpu if self.cpu_used is None else nice_cpus(self.cpu_used)
        return {"cpu": cpu, "cpu_mem": nice_mib(self.peak_mib * HEADROOM), **self.gpu}


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze suggest\n  maze suggest 3f2a\n  maze suggest --runs 200 --json",
)
@click.argument("run", required=False)
@click.option("-n", "--runs", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to read.")
@url_option
@json_option
def suggest(run: str | None, runs: int, url: str | None, as_json: bool) -> None:
    """Suggest what functions should claim, from the measured peaks of RUN or of the latest runs."""
    head = Head.find(url)
    read = [find_run(head, run)] if run else list(itertools.islice(list_runs(head), runs))
    tasks = itertools.chain.from_iterable(head.get(f"/runs/{each['run_id']}/tasks")["tasks"] for each in read)
    found = suggestions(tasks)
    if as_json:
        documents = [{**each._asdict(), "resources": each.resources} for each in found]
        echo_json({"runs": [each["run_id"] for each in read], "functions": documents})
        return
    echo_table(_COLUMNS, map(_row, found))
    if not found:
        echo("No task of these runs was measured yet.", err=True)


def suggestions(tasks: Iterable[dict[str, Any]]) -> list[Suggestion]:
    """Return one suggestion for each function of which a task was measured, by name."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for task in tasks:
        if task["peak_rss_kib"] and task["claim"]:
            groups.setdefault(task["func_name"] or task["name"], []).append(task)
    return [_suggestion(name, groups[name]) for name in sorted(groups)]


def nice_mib(mib: float) -> int:
    """Return the next size in MiB that people would write."""
    step = next((step for most, step in STEPS if mib <= most), 1024)
    return math.ceil(mib / step) * step


def nice_cpus(cpus: float) -> float:
    """Return the next number of CPUs that people would write: quarters up to one, then whole ones."""
    if cpus <= 1:
        return max(1, math.ceil(cpus * 4)) / 4
    # Readings of two clocks: a task that keeps three CPUs busy may be seen to use a little more.
    return float(math.ceil(cpus - 0.1))


def _suggestion(function: str, tasks: Sequence[dict[str, Any]]) -> Suggestion:
    claims = [task["claim"] for task in tasks]
    peaks = sorted(math.ceil(task["peak_rss_kib"] / 1024) for task in tasks)
    used = sorted(task["cpu_ms"] / task["wall_ms"] for task in tasks if (task["wall_ms"] or 0) >= SHORT_MS)
    return Suggestion(
        function,
        len(tasks),
        max(claim["cpu"] for claim in claims),
        max(claim["cpu_mem"] for claim in claims),
        _gpu_claim(claims[-1]["gpus"]),
        round(_p95(used), 3) if used else None,
        peaks[-1],
        _p95(peaks),
    )


def _p95(ordered: Sequence[Any]) -> Any:
    """Return the smallest value that 95 of 100 do not exceed (nearest rank)."""
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


def _gpu_claim(parts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return a claim on devices as it is declared: whole ones, or a share of one by part, memory or both."""
    whole = sum(part["share"] >= 1 for part in parts)
    if whole:
        return {"gpu": whole}
    shares = [(part["share"], part["gpu_mem"]) for part in parts]
    return {key: value for share, mem in shares for key, value in (("gpu", share), ("gpu_mem", mem)) if value}


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _row(each: Suggestion) -> tuple[object, ...]:
    used = "" if each.cpu_used is None else f"{each.cpu_used:.2f}"
    words = ", ".join(f'"{key}": {_number(value)}' for key, value in each.resources.items())
    peaks = (each.cpu_mem, each.peak_mib, each.p95_mib)
    return (each.function, each.tasks, amount(each.cpu), used, *peaks, f"resources={{{words}}}")

"""One picture of one simulated workload: completion times, utilisation, what they were compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["draw"]


def draw(path: str, record: dict[str, Any], simulations: Mapping[str, Any]) -> None:
    """Write a picture in the format of the file's suffix (png, svg, pdf).

    Args:
        path: where to.
        record: the figures of one seed.
        simulations: the finished simulations, by policy.

    Raises:
        SystemExit: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SystemExit("--plot needs matplotlib: pip install 'maze-cluster[viz]'") from error
    figure = Figure(figsize=(12, 8), layout="constrained")
    (times, waits), (use, bars) = figure.subplots(2, 2)
    for name, simulation in simulations.items():
        taken = [end - job.arrives for end, job in zip(simulation.ended_at, simulation.work.jobs, strict=True)]
        _distribution(times, taken, name)
        _distribution(waits, simulation.meter.waits, name)
        use.plot(*zip(*[(at, gpu) for at, _, gpu in simulation.meter.series], strict=True), label=f"{name}: GPU")
        use.plot(*zip(*[(at, cpu) for at, cpu, _ in simulation.meter.series], strict=True), ":", label=f"{name}: CPU")
    times.axvline(record["bounds"]["mean_jct_s"], color="black", linestyle="--", label="bound of the mean")
    times.set(xscale="log", xlabel="job completion time, s", ylabel="share of jobs")
    waits.set(xscale="symlog", xlabel="wait of a ready task, s", ylabel="share of tasks")
    use.set(xlabel="time, s", ylabel="given away", ylim=(0, 1))
    _bars(bars, record, list(simulations))
    for axes in (times, waits, use, bars):
        axes.legend(fontsize="small")
    figure.savefig(path)


def _distribution(axes: Any, values: list[float], label: str) -> None:
    ordered = sorted(values)
    axes.plot(ordered, [(place + 1) / len(ordered) for place in range(len(ordered))], label=label)


def _bars(axes: Any, record: dict[str, Any], names: list[str]) -> None:
    least = record["bounds"]["mean_jct_s"]
    for offset, (label, figures) in enumerate(
        (
            ("mean JCT / bound", [record[name]["jct_s"]["mean"] / least for name in names]),
            ("GPU fragmentation", [record[name]["fragmentation"]["gpu"] or 0.0 for name in names]),
            ("CPU fragmentation", [record[name]["fragmentation"]["cpu"] or 0.0 for name in names]),
        )
    ):
        axes.bar([place + 0.25 * offset for place in range(len(names))], figures, 0.25, label=label)
    axes.set_xticks([place + 0.25 for place in range(len(names))], names)

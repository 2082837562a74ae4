"""Clusters and work to schedule, drawn from a seed: pure functions, so that every policy meets the very same.

Where the numbers come from
* Calls of a language model: output tokens per agent step in the 357,161 steps of TraceLab (SyFI, University of
  Washington), for the larger of its two agents: median 252, mean 690, P90 1,671, P99 6,571. A lognormal of median 252
  and sigma 1.48 has the mean 753 and the P90 1,680. At 25 ms per token a call takes 6 s in the median and 19 s in the
  mean.
* Tools: means of 3 s (cpu) and 2 s (io), with which the original HACS begins to predict; lognormal.
* Maps: Pareto of shape 1.259, as GRASS (Ananthanarayanan et al., NSDI '14) gives for the tasks of Facebook's cluster;
  cut off at 200 times the least.
* Batch jobs: lognormal with the median 206 s and the mean 6,652 s of the GPU jobs of Helios (Hu et al., SC '21); most
  take one GPU, some shares of one as in Alibaba's PAI trace (Weng et al., NSDI '22). Beside the others they are sped up
  by BATCH_SPEED, so that one horizon holds all.
* Who comes when: a Poisson process, whose rate makes the scarcest resource as busy as wanted (`offered`).

Functions have medians of their own, so that there is something to learn about them: the spread above is divided into
that between functions and that between calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from _core import capacity

from maze_protocol.declare import normalise_resources
from maze_protocol.resources import Capacity, Request

__all__ = [
    "SHAPES", "WORKLOADS", "App", "Function", "Job", "Pool", "Step", "Workload", "backlog", "demand", "mixed_nodes",
    "pools", "workload",
]  # fmt: skip

SHAPES: Final[tuple[dict[str, float], ...]] = (
    {"cpu": 0.5, "cpu_mem": 256},
    {"cpu": 1},
    {"cpu": 1, "cpu_mem": 1024},
    {"cpu": 1, "cpu_mem": 4096},
    {"cpu": 2, "cpu_mem": 2048},
    {"cpu": 2, "cpu_mem": 8192},
    {"cpu": 4, "cpu_mem": 4096},
    {"cpu": 4, "cpu_mem": 16_384},
    {"cpu": 8, "cpu_mem": 16_384},
    {"cpu": 16, "cpu_mem": 32_768},
    {"cpu": 1, "cpu_mem": 2048, "gpu": 0.25},
    {"cpu": 1, "cpu_mem": 2048, "gpu": 0.5},
    {"cpu": 1, "cpu_mem": 2048, "gpu_mem": 6000},
    {"cpu": 2, "cpu_mem": 4096, "gpu_mem": 10_000},
    {"cpu": 2, "cpu_mem": 4096, "gpu_mem": 20_000},
    {"cpu": 4, "cpu_mem": 8192, "gpu_mem": 40_000},
    {"cpu": 4, "cpu_mem": 16_384, "gpu": 1},
    {"cpu": 4, "cpu_mem": 16_384, "gpu": 1, "gpu_mem": 40_000},
    {"cpu": 8, "cpu_mem": 32_768, "gpu": 2},
    {"cpu": 16, "cpu_mem": 65_536, "gpu": 4},
)
"""Twenty requests as people declare them: processors only, shares of a GPU by fraction and by memory, whole GPUs."""

_KINDS: Final = (
    (3, capacity(96, 1024, 8, 80)),
    (3, capacity(32, 128, 4, 24)),
    (6, capacity(16, 64)),
    (4, capacity(32, 128)),
    (4, capacity(64, 256)),
)
"""Of nineteen or twenty nodes, how many are of which kind."""

BATCH_SPEED: Final = 60.0
APPS: Final = 40
PROJECTS: Final = 4
SECONDS_PER_TOKEN: Final = 0.025


def mixed_nodes(count: int, seed: int = 0) -> list[Capacity]:
    """Return nodes of five kinds in random order: 8 GPUs of 80 GiB, 4 of 24 GiB, and 16, 32 or 64 CPUs without.

    Numbers of a kind are rounded by largest remainder; there is always a node of the first kind.
    """
    whole = sum(weight for weight, _ in _KINDS)
    exact = [count * weight / whole for weight, _ in _KINDS]
    counts = [int(share) for share in exact]
    counts[0] = max(1, counts[0])
    order = sorted(range(len(exact)), key=lambda kind: counts[kind] - exact[kind])
    for kind in order[: max(0, count - sum(counts))]:
        counts[kind] += 1
    nodes = [offer for number, (_, offer) in zip(counts, _KINDS, strict=True) for _ in range(number)][:count]
    Random(seed).shuffle(nodes)
    return nodes


@dataclass(frozen=True, slots=True)
class Function:
    """What steps of workflows run: what it asks for, and how long it takes."""

    name: str
    kind: str
    """gpu, cpu or io for agents, else the workload's name."""
    resources: dict[str, float]
    request: Request
    draw: Callable[[Random], float]
    """Seconds of one call."""


class Step(NamedTuple):
    """One task of a workflow, with the numbers of the steps whose output it takes."""

    function: Function
    sources: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class App:
    """A workflow that is run again and again."""

    name: str
    steps: tuple[Step, ...]
    after: tuple[tuple[int, ...], ...]
    """Of each step, the steps that take its output."""


class Job(NamedTuple):
    """One run of a workflow."""

    arrives: float
    app: App
    seconds: tuple[float, ...]
    """Of each step."""
    project: str


@dataclass(frozen=True, slots=True)
class Workload:
    """What a cluster is given to do, in order of arrival."""

    name: str
    apps: tuple[App, ...]
    jobs: tuple[Job, ...]

    @property
    def tasks(self) -> int:
        """Return the number of all tasks."""
        return sum(len(job.seconds) for job in self.jobs)


def _function(name: str, kind: str, resources: dict[str, float], draw: Callable[[Random], float]) -> Function:
    return Function(name, kind, resources, Request.of(normalise_resources(resources)), draw)


def _app(name: str, steps: Iterable[Step]) -> App:
    steps = tuple(steps)
    after: list[list[int]] = [[] for _ in steps]
    for number, step in enumerate(steps):
        for source in step.sources:
            after[source].append(number)
    return App(name, steps, tuple(tuple(targets) for targets in after))


def _lognormal(median: float, sigma: float) -> Callable[[Random], float]:
    mu = math.log(median)
    return lambda random: max(0.01, random.lognormvariate(mu, sigma))


def _pareto(least: float, shape: float, most: float) -> Callable[[Random], float]:
    return lambda random: min(most, least * random.paretovariate(shape))


def _split(median: float, sigma: float, random: Random) -> Callable[[Random], float]:
    """Return a lognormal around a median of its own; over all functions the spread is `sigma`."""
    own = sigma * math.sqrt(0.5)
    return _lognormal(random.lognormvariate(math.log(median), own), own)


_LLM: Final[tuple[dict[str, float], ...]] = (
    {"cpu": 4, "cpu_mem": 16_384, "gpu": 1},
    {"cpu": 2, "cpu_mem": 8192, "gpu_mem": 40_000},
    {"cpu": 4, "cpu_mem": 16_384, "gpu": 1, "gpu_mem": 40_000},
    {"cpu": 2, "cpu_mem": 4096, "gpu_mem": 20_000},
    {"cpu": 1, "cpu_mem": 2048, "gpu": 0.5},
)
_SMALL_MODEL: Final[dict[str, float]] = {"cpu": 1, "cpu_mem": 2048, "gpu_mem": 6000}
_TOOL: Final[tuple[dict[str, float], ...]] = (
    {"cpu": 1, "cpu_mem": 1024},
    {"cpu": 2, "cpu_mem": 2048},
    {"cpu": 4, "cpu_mem": 8192},
)
_CALL: Final[tuple[dict[str, float], ...]] = ({"cpu": 0.25, "cpu_mem": 128}, {"cpu": 0.5, "cpu_mem": 256})


def _agent_functions(random: Random, *, only_llm: bool) -> dict[str, list[Function]]:
    llm = [
        _function(f"llm{n}", "gpu", _LLM[n % len(_LLM)], _split(252 * SECONDS_PER_TOKEN, 1.48, random))
        for n in range(15)
    ]
    if not only_llm:
        llm += [_function(f"embed{n}", "gpu", _SMALL_MODEL, _split(0.3, 0.7, random)) for n in range(8)]
        llm += [_function(f"speech{n}", "gpu", _SMALL_MODEL, _split(3.0, 0.7, random)) for n in range(4)]
        llm += [_function(f"image{n}", "gpu", _LLM[0], _split(30.0, 0.7, random)) for n in range(3)]
    # The mean of a lognormal is its median times exp(sigma² / 2).
    tools = [
        _function(f"tool{n}", "cpu", _TOOL[n % len(_TOOL)], _split(3.0 / math.exp(0.72), 1.2, random))
        for n in range(15)
    ]
    calls = [
        _function(f"call{n}", "io", _CALL[n % len(_CALL)], _split(2.0 / math.exp(0.32), 0.8, random)) for n in range(10)
    ]
    return {"gpu": llm, "cpu": tools, "io": calls}


def _agents(random: Random, *, only_llm: bool = False) -> list[App]:
    """Return agents: graphs of 3 to 12 tasks, two in five of them calls of a model, that end in one answer.

    Half of the models are language models; the others embed and rank (0.3 s), hear and speak (3 s), or make pictures
    (30 s): no trace is cited for these.
    """
    functions = _agent_functions(random, only_llm=only_llm)
    apps = []
    for number in range(APPS):
        size = random.randint(3, 12)
        kinds = ["gpu", *random.choices(("gpu", "cpu", "io"), (0.35, 0.35, 0.3), k=size - 2), "gpu"]
        steps = [Step(random.choice(functions[kinds[0]]))]
        for place in range(1, size - 1):
            near = range(max(0, place - 3), place)
            sources = random.sample(near, k=min(len(near), random.choice((1, 1, 2))))
            steps.append(Step(random.choice(functions[kinds[place]]), tuple(sorted(sources))))
        taken = {source for step in steps for source in step.sources}
        ends = tuple(place for place in range(size - 1) if place not in taken)
        steps.append(Step(random.choice(functions["gpu"]), ends))
        apps.append(_app(f"agent{number}", steps))
    return apps


def _chat(random: Random) -> list[App]:
    """Return agents whose only models are language models: all calls are of one kind, and long and short alike."""
    return _agents(random, only_llm=True)


def _fans(random: Random) -> list[App]:
    """Return map-reduces of 10 to 300 maps; each app has a map function of its own."""
    split = _function("split", "fans", {"cpu": 1, "cpu_mem": 1024}, _lognormal(1.0, 0.5))
    reduce = _function("reduce", "fans", {"cpu": 2, "cpu_mem": 8192}, _lognormal(5.0, 0.8))
    apps = []
    for number, width in enumerate((10, 10, 10, 30, 30, 100, 300)):
        least = random.uniform(0.5, 3.0)
        resources = random.choice(_TOOL)
        work = _function(f"map{number}", "fans", resources, _pareto(least, 1.259, 200 * least))
        maps = [Step(work, (0,)) for _ in range(width)]
        apps.append(_app(f"fan{number}", [Step(split), *maps, Step(reduce, tuple(range(1, width + 1)))]))
    return apps


def _batch(random: Random, speed: float = 1.0) -> list[App]:
    """Return jobs of one task."""
    sigma = math.sqrt(2 * math.log(6652 / 206))
    sizes = [SHAPES[place] for place in (10, 11, 14, 16, 16, 16, 17, 17, 18, 19)]
    apps = []
    for number, resources in enumerate(sizes):
        draw = _cut(_split(206 / speed, sigma, random), 3e5 / speed)
        apps.append(_app(f"batch{number}", [Step(_function(f"train{number}", "batch", resources, draw))]))
    return apps


def _cut(draw: Callable[[Random], float], most: float) -> Callable[[Random], float]:
    return lambda random: min(most, draw(random))


def _mixed(random: Random) -> list[App]:
    """Return agents most of all, some map-reduces, few batch jobs."""
    return [*_agents(random), *_fans(random)[:4], *_batch(random, BATCH_SPEED)[::3]]


WORKLOADS: Final[dict[str, Callable[[Random], list[App]]]] = {
    "agents": _agents,
    "chat": _chat,
    "fans": _fans,
    "batch": _batch,
    "mixed": _mixed,
}


class Pool(NamedTuple):
    """A resource of the whole cluster, as if it were in one piece; of GPUs only those of at least some size."""

    name: str
    size: float
    device_mib: int = 0
    """The smallest device that counts, or 0 if this is no pool of devices."""
    below_mib: int = 0
    """Only tasks that no smaller device than this could take need to be in here."""


def pools(nodes: Sequence[Capacity]) -> list[Pool]:
    """Return what there is in all: CPUs, memory, and thousandths and MiB of all devices from each size up."""
    sizes = sorted({device.mem_mib for node in nodes for device in node.devices})
    found = [Pool("cpu", sum(node.cpu_milli for node in nodes)), Pool("mem", sum(node.mem_mib for node in nodes))]
    for smaller, least in zip([0, *sizes], sizes, strict=False):
        there = [device.mem_mib for node in nodes for device in node.devices if device.mem_mib >= least]
        found.append(Pool(f"gpu>={least}", 1000 * len(there), least, smaller))
        found.append(Pool(f"gpu_mem>={least}", sum(there), least, smaller))
    return found


def demand(request: Request, pool: Pool) -> float:
    """Return how much of a pool a task takes at least while it runs; 0 if another pool may serve it."""
    if not pool.device_mib:
        return request.cpu_milli if pool.name == "cpu" else request.mem_mib
    if not request.wants_gpu or 0 < pool.below_mib >= request.gpu_mem_mib:
        return 0
    if not pool.name.startswith("gpu_mem"):
        return request.gpu_milli
    return request.gpu_mem_mib if request.gpu_share else request.whole_devices * pool.device_mib


def _busy(request: Request, nodes: Sequence[Capacity]) -> tuple[float, float]:
    """Return which share of all CPUs, and of all devices, a task keeps busy."""
    devices = [device.mem_mib for node in nodes for device in node.devices]
    cpu = request.cpu_milli / sum(node.cpu_milli for node in nodes)
    if not request.wants_gpu:
        return cpu, 0.0
    return cpu, max(request.gpu_milli / 1000, request.gpu_mem_mib / max(devices)) / len(devices)


def offered(jobs: Sequence[Job], nodes: Sequence[Capacity]) -> float:
    """Return how many seconds these jobs keep the scarcer of CPUs and GPUs busy.

    A task keeps so much of a device busy as the larger of its shares of it: thousandths, and memory of the largest
    devices. On smaller ones it takes more, and shares leave gaps: what a cluster can bear is less than 1.
    """
    seconds: dict[Request, float] = {}
    for job in jobs:
        for step, lasts in zip(job.app.steps, job.seconds, strict=True):
            seconds[step.function.request] = seconds.get(step.function.request, 0.0) + lasts
    shares = {request: _busy(request, nodes) for request in seconds}
    return max(sum(lasts * shares[request][place] for request, lasts in seconds.items()) for place in (0, 1))


def workload(
    name: str, tasks: int, nodes: Sequence[Capacity], load: float, seed: int, projects: int = PROJECTS
) -> Workload:
    """Return jobs of so many tasks in all, at random times.

    Args:
        name: one of WORKLOADS.
        tasks: how many, or a few more: the last job is whole.
        nodes: the cluster.
        load: 0.8 means that the work, spread evenly, keeps four fifths of the scarcer of CPUs and GPUs busy.
        seed: of all that is random here.
        projects: among how many equal ones the jobs are divided.
    """
    random = Random(f"{name} {seed}")
    apps = WORKLOADS[name](random)
    drawn: list[Job] = []
    count = 0
    while count < tasks:
        app = random.choice(apps)
        seconds = tuple(step.function.draw(random) for step in app.steps)
        drawn.append(Job(0.0, app, seconds, f"p{random.randrange(projects)}"))
        count += len(seconds)
    horizon = offered(drawn, nodes) / load
    at, jobs = 0.0, []
    for job in drawn:
        at += random.expovariate(len(drawn) / horizon)
        jobs.append(job._replace(arrives=at))
    return Workload(name, tuple(apps), tuple(jobs))


def backlog(tasks: int, seed: int) -> Workload:
    """Return the same tasks for each of some equal projects, all there at once: those of one project, then the next."""
    random = Random(f"backlog {seed}")
    functions = [
        _function(f"f{number}", "backlog", SHAPES[number], _lognormal(20.0, 0.8)) for number in (1, 2, 4, 6, 10, 12, 14)
    ]
    apps = [_app(function.name, [Step(function)]) for function in functions]
    mine = [(app, (app.steps[0].function.draw(random),)) for app in random.choices(apps, k=tasks // PROJECTS)]
    jobs = [Job(0.0, app, seconds, f"p{project}") for project in range(PROJECTS) for app, seconds in mine]
    return Workload("backlog", tuple(apps), tuple(jobs))

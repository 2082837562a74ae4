"""Which world a seed gives: sizes, speeds and faults, drawn once. A swarm: most faults are off in most worlds.

A world with everything at once explores little: a partition hides the crash that would have been interesting. So each
seed draws a few faults and a quality of network, and the rest stays calm.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from random import Random

FAULTS = (
    "head_kill",
    "head_power",
    "head_point",
    "head_pause",
    "head_twin",
    "disk_full",
    "node_kill",
    "node_pause",
    "node_drain",
    "node_twin",
    "cut_both",
    "cut_in",
    "cut_out",
    "reset",
    "reroute",
    "forge",
    "worker_kill",
    "clock_jump",
)
"""What can go wrong by itself; see nemesis.py."""

MEASURE = "measure"
"""A machine has less than before for a while; only in worlds of many shapes."""
HEAD_FAULTS = frozenset({"head_kill", "head_point", "head_pause", "disk_full", "clock_jump"})
NODE_FAULTS = frozenset({"node_kill", "node_pause", "cut_both", "cut_in", "cut_out", "reset", "reroute"})


@dataclass
class Knobs:
    """One world's settings. Times in seconds, probabilities from 0 to 1."""

    nodes: int = 2
    cpus: int = 2
    workers: int = 3
    workflows: int = 2
    tasks: int = 6
    slow_task: float = 2.0
    user_error: float = 0.05
    hang: float = 0.03
    """Tasks that run into their time limit."""
    crash_once: float = 0.1
    poison: float = 0.03
    stubborn: float = 0.1
    """Tasks that ignore SIGTERM."""
    once: float = 0.1
    """Tasks that may be begun once only."""
    bulky: float = 0.03
    """Tasks whose output needs a payload frame."""
    fork_seconds: float = 0.02
    fork_failure: float = 0.0
    exit_delay: float = 0.05
    cancel: float = 0.2
    retry: float = 0.2
    """Runs that are run again once they are over."""
    fail_fast: float = 0.2
    repeat: float = 0.2
    """Requests whose answer gets lost, so that they come again."""
    latency: float = 0.001
    jitter: float = 0.002
    loss: float = 0.0
    double: float = 0.0
    reorder: bool = False
    hold: bool = False
    """What a cut catches arrives after it (TCP) or never."""
    unheard: float = 0.0
    """Publications that do not come to their reader."""
    commit: float = 0.002
    release: float = 0.002
    unreachable: float = 0.02
    """How often somebody who asks for an object is not answered."""
    fetch: float = 0.05
    """Seconds that an object travels, at most."""
    durability: str = "process"
    heartbeat: float = 1.0
    suspect_after: float = 3.0
    lost_after: float = 10.0
    orphan_timeout: float = 600.0
    tick: float = 0.5
    storm: float = 15.0
    """How long faults go on."""
    mean_gap: float = 4.0
    """Mean time between two faults."""
    outage: float = 3.0
    """How long what fails is away: cut, stopped, down."""
    faults: tuple[str, ...] = field(default=())
    at_hand: int = 50_000
    """Of how many tasks the workflows may be that a head keeps in memory."""
    tiny: bool = False
    """Nearly all tasks are over at once, and there are more of them: they queue behind each other on the nodes."""
    chains: bool = False
    """Nearly all tasks wait for the one before them: they go early to its node."""
    shapes: bool = False
    """Tasks ask for more than CPUs, and capacities change (shapes.py)."""

    @property
    def gentle(self) -> bool:
        """Tell whether nothing but the head fails, and not for long: then no work may be done twice."""
        steady = not (self.loss or self.double or self.reorder) and self.jitter < 0.1
        return steady and set(self.faults) <= HEAD_FAULTS | {MEASURE} and self.orphan_timeout > 60.0

    def changed(self) -> str:
        """Return the settings that are not the defaults, for reports."""
        default = Knobs()
        pairs = ((each.name, getattr(self, each.name)) for each in fields(self))
        return ", ".join(f"{name}={value!r}" for name, value in pairs if value != getattr(default, name))


def draw(random: Random) -> Knobs:
    """Draw the settings of a world."""
    knobs = Knobs(
        nodes=random.choice((1, 2, 2, 3)),
        cpus=random.choice((1, 2, 3)),
        workers=random.choice((1, 2, 4)),
        workflows=random.choice((1, 2, 2)),
        tasks=random.choice((2, 5, 8)),
        slow_task=random.choice((0.05, 2.0, 6.0)),
        user_error=random.choice((0.0, 0.0, 0.3)),
        hang=random.choice((0.0, 0.0, 0.1)),
        crash_once=random.choice((0.0, 0.1, 0.5)),
        poison=random.choice((0.0, 0.0, 0.1, 0.3)),
        once=random.choice((0.0, 0.0, 0.3)),
        stubborn=random.choice((0.0, 0.3)),
        bulky=random.choice((0.0, 0.1, 0.5, 0.9)),
        fork_seconds=random.choice((0.01, 0.01, 0.5, 16.0)),
        fork_failure=random.choice((0.0, 0.0, 0.9)),
        exit_delay=random.choice((0.01, 0.05, 2.0)),
        cancel=random.choice((0.0, 0.3, 0.8)),
        unheard=random.choice((0.0, 0.0, 0.3)),
        commit=random.choice((0.001, 0.01, 0.3)),
        release=random.choice((0.0, 0.002, 0.2)),
        durability=random.choice(("process", "power")),
        orphan_timeout=random.choice((600.0, 600.0, 8.0)),
        storm=random.choice((8.0, 15.0, 25.0)),
        outage=random.choice((0.5, 3.0, 14.0, 14.0)),
        mean_gap=random.choice((1.0, 2.0, 4.0)),
    )
    _draw_timing(knobs, random)
    _draw_network(knobs, random)
    knobs.faults = tuple(random.sample(FAULTS, random.choice((0, 1, 2, 3, 4, 6))))
    _draw_theme(knobs, random)
    return knobs


def _draw_theme(knobs: Knobs, random: Random) -> None:
    """Make some worlds of a kind that chance alone would seldom give."""
    theme = random.choice(("any", "any", "any", "any", "head", "head", "away", "nodes", "nodes"))
    if theme == "head":
        knobs.loss = knobs.double = knobs.unheard = 0.0
        knobs.reorder, knobs.jitter, knobs.orphan_timeout = False, 0.01, 600.0
        knobs.faults = tuple(random.sample(sorted(HEAD_FAULTS), random.choice((1, 2))))
    elif random.random() < 0.2:
        knobs.faults = (*knobs.faults, "forge")
    if theme == "nodes":
        knobs.slow_task, knobs.poison, knobs.mean_gap = random.choice((3.0, 8.0)), 0.0, random.choice((1.0, 2.0))
        knobs.outage, knobs.fork_seconds, knobs.fork_failure = random.choice((1.0, 6.0, 14.0)), 0.01, 0.0
        knobs.nodes, knobs.suspect_after, knobs.lost_after = random.choice((2, 3)), 2.5, 5.0
        others = random.choice((*FAULTS, "forge", "forge", "node_drain", "node_drain"))
        knobs.faults = (*random.sample(sorted(NODE_FAULTS), 2), others)
    elif theme == "away":
        knobs.fork_seconds, knobs.outage, knobs.suspect_after, knobs.lost_after = 16.0, 14.0, 2.5, 5.0
        knobs.faults = (random.choice(("cut_both", "cut_out", "head_kill", "node_pause")), random.choice(FAULTS))


def _draw_timing(knobs: Knobs, random: Random) -> None:
    knobs.tick = random.choice((0.5, 1.0))
    if random.random() < 0.5:
        knobs.heartbeat, knobs.suspect_after, knobs.lost_after = 1.0, 2.5, 5.0


def _draw_network(knobs: Knobs, random: Random) -> None:
    kind = random.choice(("good", "slow", "lossy", "lossy", "wild"))
    knobs.hold = random.random() < 0.5
    if kind == "slow":
        knobs.jitter = random.choice((0.05, 0.5))
    elif kind == "lossy":
        knobs.loss, knobs.double = random.choice((0.0, 0.01, 0.1)), random.choice((0.0, 0.3))
    elif kind == "wild":
        knobs.loss, knobs.double, knobs.reorder = 0.02, 0.05, True
        knobs.jitter = random.choice((0.01, 0.5, 3.0))

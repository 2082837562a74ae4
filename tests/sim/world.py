"""One seed's world: everything made, run through its storm, healed, and judged.

`run(seed)` is the whole of it: the same seed gives the same world, step by step, in any process and under any hash
seed; `Report.trace` is the proof of that. A broken rule, or any exception at all, ends the world (I20).
"""

from __future__ import annotations

import gc
import hashlib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from maze_protocol.values import ObjectKey
from sim.client import Client
from sim.clock import Clock
from sim.disk import Disk
from sim.head import HeadProcess
from sim.knobs import MEASURE, Knobs, draw
from sim.nemesis import Nemesis
from sim.network import Network
from sim.node import NodeProcess
from sim.pool import Plan, output_of, plan_of
from sim.reader import Reader
from sim.shapes import Shapes, has_shapes
from sim.watch import Watch

BOUND = 240.0
"""Virtual seconds after the storm within which everything must be over (I14)."""
WALL = 1.7e9


@dataclass(frozen=True)
class Report:
    """How a world ended."""

    seed: int
    trace: str
    steps: int
    seconds: float
    commits: int
    lives: int
    """How many heads there were."""
    problem: str = ""
    knobs: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether nothing was broken."""
        return not self.problem

    @property
    def confused(self) -> bool:
        """Tell whether what escaped is no broken rule but nonsense: a mutant that does not fit the code any more."""
        return self.problem.rstrip().rpartition("\n")[2].startswith(("TypeError", "AttributeError", "NameError"))


TINY: Final = 9
"""One world of so many is one of tiny tasks."""
CHAINED = 8
"""Every so many worlds nearly all tasks wait for the one before them."""
FORGETFUL: Final = 4
"""In one world of so many heads put every workflow away but the one used last."""


class World:
    """Everything that there is."""

    def __init__(self, seed: int, knobs: Knobs | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        if knobs is None:
            knobs = draw(self.random)
            if seed % TINY == 4:
                knobs.tiny, knobs.tasks, knobs.cpus, knobs.nodes = True, 24, 1, min(2, knobs.nodes)
            elif has_shapes(seed):
                knobs.shapes, knobs.faults, knobs.workers = True, (*knobs.faults, MEASURE), 4
            if seed % CHAINED == 5:
                knobs.tiny, knobs.chains, knobs.tasks, knobs.cpus, knobs.slow_task = True, True, 24, 1, 0.05
            if seed % FORGETFUL == 3:
                knobs.at_hand = 0
        self.knobs = knobs
        self.shapes = Shapes(seed, knobs)
        self.clock = Clock()
        self.calm = False
        self.amnesia = False
        """Power was lost without `--durability power`: acknowledged facts may be gone."""
        self.point: tuple[str, int] | None = None
        """Where the head shall die: (point of the journal, how many of those from now)."""
        self._trace = hashlib.blake2b(digest_size=12)
        self._plans: dict[str, Plan] = {}
        self.network = Network(self.clock, self.random, self.knobs, self.trace)
        self.disk = Disk(self.knobs.durability)
        self.watch = Watch(self)
        self.reader = Reader(self)
        self.nodes: dict[str, NodeProcess] = {}
        self.head: HeadProcess | None = None
        self.deposed: HeadProcess | None = None

    @property
    def forgetful(self) -> bool:
        """Tell whether facts got lost: with the power, or by having two heads."""
        return self.amnesia or "head_twin" in self.knobs.faults

    # -- what others ask

    def trace(self, what: bytes) -> None:
        """Let something enter the trace."""
        self._trace.update(what)

    def wall(self) -> float:
        """Return the true wall-clock time."""
        return WALL + self.clock.now

    def delay(self, kind: str) -> float:
        """Return how long a step of the journal takes."""
        return float(getattr(self.knobs, kind)) * (0.1 if self.calm else self.random.random())

    def outage(self) -> float:
        """Return how long something that fails is away."""
        return self.knobs.outage * (0.05 + 1.1 * self.random.random())

    def plan(self, name: str) -> Plan:
        """Return what a task does."""
        plan = self._plans.get(name)
        if plan is None:
            plan = self._plans[name] = plan_of(self.seed, name, self.knobs)
        return plan

    def expected_output(self, name: str, inputs: Sequence[bytes]) -> bytes:
        """Return what a task must give for its inputs."""
        return output_of(name, inputs, bulky=self.plan(name).bulky)

    def find_head(self, node: NodeProcess) -> HeadProcess | None:
        """Return the head that a node finds at the address it knows: perhaps one that is deposed."""
        deposed = self.deposed
        if deposed is not None and deposed.process.alive and not self.calm and self.random.random() < 0.5:
            return deposed
        return self.head

    def find_object(self, key: ObjectKey, names: Sequence[str]) -> bytes | None:
        """Return an object if one of some nodes has it and can be reached."""
        for name in names:
            node = self.nodes.get(name)
            reached = self.calm or self.random.random() > self.knobs.unreachable
            if node is not None and node.process.alive and not node.process.paused and reached and key in node.objects:
                return node.objects[key]
        return None

    # -- what happens

    def start_head(self) -> None:
        """Start a head on the disk, unless there is one."""
        if self.head is None:
            self.head = HeadProcess(self, self.disk)
            self.clock.become(self.head.process)
            self.head.start()
            self.reader.head_began(self.watch.epochs[-1])

    def crash_head(self, *, power: bool) -> None:
        """Kill the head, or cut its machine's power; start another one later."""
        head = self.head
        if head is None:
            return
        self.head = None
        head.kill()
        disk = self.disk
        if power:
            keep = self.random.randint(disk.synced, len(disk.batches))
            self.amnesia = self.amnesia or (disk.durability != "power" and keep < len(disk.batches))
            disk.lose_tail(keep)
        self.watch.recover(disk.batches)
        if self.amnesia:
            self.reader.forget()
        self.clock.later(self.outage(), None, self.start_head)

    def fail_over(self) -> None:
        """Start another head on another machine while the old one goes on by itself for a while."""
        old = self.head
        if old is None or self.deposed is not None:
            return
        self.head, self.deposed = None, old
        old.depose()
        self.watch.recover(self.disk.batches)
        self.clock.later(self.random.choice((0.1, 1.0)), None, self.start_head)
        self.clock.later(self.random.choice((4.0, 12.0)), None, self._end_deposed)
        for delay in (2.0, 4.0, 6.0, 8.0):
            self.clock.later(delay, None, self._break_a_line)

    def _break_a_line(self) -> None:
        """While two heads are up, let nodes look for a head again."""
        node = self.random.choice(list(self.nodes.values()))
        if self.deposed is not None and node.connection is not None:
            self.network.reset(node.connection)

    def _end_deposed(self) -> None:
        if self.deposed is not None:
            self.deposed.kill()
            self.deposed = None

    def free_disk(self) -> None:
        """Let there be room on the disk again."""
        self.disk.full = False

    def at_point(self, head: HeadProcess, point: str) -> bool:
        """Let the head die here if that is planned; tell whether it did."""
        if self.point is None or self.point[0] != point or head is not self.head:
            return False
        self.point = point, self.point[1] - 1
        if self.point[1] > 0:
            return False
        self.point = None
        self.crash_head(power=False)
        return True

    def start_node(self, name: str) -> None:
        """Start an agent process under a name; an older one of that name may still live."""
        node = self.nodes[name] = NodeProcess(self, name, self.random.getrandbits(50), self.shapes.capacity())
        node.start()

    def restart_later(self, name: str, delay: float) -> None:
        """Start an agent again after some time, unless somebody did."""
        self.clock.later(delay, None, self._restart, name)

    def _restart(self, name: str) -> None:
        if not self.nodes[name].process.alive:
            self.start_node(name)

    def node_exited(self, node: NodeProcess) -> None:
        """Let an agent process that has ended be started again."""
        if node.process.alive:
            node.kill()
            if self.nodes[node.name] is node:
                self.restart_later(node.name, 1.0)

    # -- the whole story

    def live(self) -> None:
        """Go through everything: start, storm, healing, rest, judgement."""
        self.begin()
        self.nemesis.begin()
        self.clock.run(self.knobs.storm)
        self.finish()

    def begin(self) -> None:
        """Start everybody."""
        self.start_head()
        for number in range(self.knobs.nodes):
            self.start_node(f"n{number + 1}")
        self.client = Client(self)
        self.nemesis = Nemesis(self)

    def finish(self) -> None:
        """End all faults, wait until everything is over, and judge."""
        self._heal()
        deadline = self.clock.now + BOUND
        while not self._at_rest():
            assert self.clock.now < deadline, f"I14: not over {BOUND} s after the storm: {self.unfinished()}"
            self.clock.run(self.clock.now + 1.0)
        self.watch.quiet()
        self.reader.judge(self.watch.history)

    def _heal(self) -> None:
        self.calm = True
        self.point = None
        self.free_disk()
        self._end_deposed()
        self.network.settle()
        if self.head is not None:
            _go_on(self.head)
        for name, node in list(self.nodes.items()):
            _go_on(node)
            if self.knobs.shapes:
                node.survey(self.shapes.capacity())
            if not node.process.alive:
                self._restart(name)

    def _at_rest(self) -> bool:
        return self.head is not None and self.client.done and not self.unfinished()

    def unfinished(self) -> list[str]:
        """Tell what is still to come."""
        return self.watch.unfinished() + self.reader.behind(self.watch.history)

    def run(self, look: Callable[[World], None] | None = None) -> Report:
        """Live, and tell how it went; `look` sees the world before its disk is thrown away."""
        problem = ""
        # Worlds are full of cycles and short-lived: collecting them in between costs a sixth of the time.
        gc.disable()
        try:
            self.live()
            if look is not None:
                look(self)
        except Exception as error:
            problem = "".join(traceback.format_exception(error)[-6:])
        finally:
            self.close()
            gc.enable()
        return self._report(problem)

    def close(self) -> None:
        """Let go of everything."""
        self.clock.close()
        self.disk.connection.close()

    def _report(self, problem: str) -> Report:
        """Tell how it ended."""
        return Report(
            self.seed,
            self._trace.hexdigest(),
            self.clock.steps,
            self.clock.now,
            len(self.disk.batches),
            len(self.watch.epochs),
            problem,
            self.knobs.changed(),
        )


def _go_on(holder: Any) -> None:
    if holder.process.alive and holder.process.paused:
        holder.process.resume()


def run(seed: int, knobs: Knobs | None = None) -> Report:
    """Run the world of a seed; the report tells what broke, if anything."""
    return World(seed, knobs).run()

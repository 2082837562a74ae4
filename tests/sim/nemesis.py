"""What goes wrong, when, and for how long: one fault after another until the storm is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maze_protocol.messages import FAILED, OK, ErrorInfo, Outcome, Release, Result, Started, StartedItem
from maze_protocol.values import MSGPACK, OutputValue, Value
from sim.history import LEASED, RUNNING
from sim.knobs import MEASURE
from sim.network import TO_HEAD, TO_NODE, ZMTP_TIMEOUT

LIES = 6
POINTS = ("submitted", "written", "released")


class Nemesis:
    """The source of faults."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._random = world.random
        self._faults: dict[str, Callable[[], None]] = {
            "head_kill": lambda: world.crash_head(power=False),
            "head_power": lambda: world.crash_head(power=True),
            "head_point": self._arm,
            "head_pause": self._pause_head,
            "head_twin": world.fail_over,
            "disk_full": self._fill_disk,
            "node_kill": self._kill_node,
            "node_pause": self._pause_node,
            "node_drain": self._drain,
            "node_twin": self._twin,
            "worker_kill": self._kill_worker,
            "cut_both": lambda: self._cut(TO_HEAD, TO_NODE),
            "cut_in": lambda: self._cut(TO_HEAD),
            "cut_out": lambda: self._cut(TO_NODE),
            "reset": self._reset,
            "reroute": self._reroute,
            "forge": self._forge,
            "clock_jump": self._jump,
            MEASURE: self._measure,
        }

    def begin(self) -> None:
        """Let faults come by themselves from now on."""
        if self._world.knobs.faults:
            self._next()

    def strike(self, fault: str) -> None:
        """Let something go wrong."""
        self._world.trace(fault.encode())
        self._faults[fault]()

    def _next(self) -> None:
        gap = self._random.expovariate(1.0 / self._world.knobs.mean_gap)
        self._world.clock.later(min(gap, 10.0), None, self._strike)

    def _strike(self) -> None:
        if not self._world.calm:
            self.strike(self._random.choice(self._world.knobs.faults))
            self._next()

    def _node(self) -> Any:
        alive = [node for node in self._world.nodes.values() if node.process.alive]
        return self._random.choice(alive) if alive else None

    def _arm(self) -> None:
        self._world.point = self._random.choice(POINTS), self._random.randint(1, 12)

    def _pause_head(self) -> None:
        head = self._world.head
        if head is not None and head.process.alive:
            self._pause(head.process, self._world.outage())

    def _fill_disk(self) -> None:
        self._world.disk.full = True
        self._world.clock.later(self._world.outage(), None, self._world.free_disk)

    def _pause_node(self) -> None:
        node = self._node()
        if node is not None:
            self._pause(node.process, self._world.outage())

    def _pause(self, process: Any, seconds: float) -> None:
        if process.paused:
            return
        process.pause()
        if seconds > ZMTP_TIMEOUT:
            for connection in self._world.network.of(process):
                self._world.clock.later(ZMTP_TIMEOUT, None, self._world.network.reset, connection)
        self._world.clock.later(seconds, None, self._resume, process)

    def _resume(self, process: Any) -> None:
        if process.alive and process.paused:
            process.resume(network_first=self._random.random() < 0.5)

    def _kill_node(self) -> None:
        node = self._node()
        if node is not None:
            node.kill()
            self._world.restart_later(node.name, self._world.outage())

    def _drain(self) -> None:
        node = self._node()
        if node is not None:
            node.drain(self._random.choice((0.0, 1.0, 5.0)))

    def _twin(self) -> None:
        node = self._node()
        if node is not None:
            self._world.start_node(node.name)

    def _kill_worker(self) -> None:
        node = self._node()
        if node is not None:
            node.pool.kill_one()

    def _cut(self, *directions: bool) -> None:
        name = self._random.choice(list(self._world.nodes))
        seconds = self._world.outage()
        network, clock = self._world.network, self._world.clock
        for towards in directions:
            network.cut(name, towards)
            clock.later(seconds, None, self._heal, name, towards)
        if seconds > ZMTP_TIMEOUT and self._random.random() < 0.7:
            clock.later(ZMTP_TIMEOUT, None, network.notice_cut, name)

    def _heal(self, name: str, towards: bool) -> None:
        if not self._world.calm:
            self._world.network.heal(name, towards)

    def _connection(self) -> Any:
        node = self._node()
        connection = None if node is None else node.connection
        return connection if connection is not None and connection.whole else None

    def _reset(self) -> None:
        connection = self._connection()
        if connection is not None:
            self._world.network.reset(connection)

    def _reroute(self) -> None:
        connection = self._connection()
        if connection is not None:
            self._world.network.reroute(connection)

    def _forge(self) -> None:
        """Let nodes lie for a while about attempts that are not theirs (any more)."""
        for _ in range(LIES):
            self._world.clock.later(self._random.random() * 2.0, None, self._lie)

    def _lie(self) -> None:
        node = self._node()
        history = self._world.watch.history
        others = (
            [] if node is None else [lease for lease in list(history.leased)[-12:] if _not_of(history, lease, node)]
        )
        if not others or self._world.calm:
            return
        lease = self._random.choice(others)
        lie = Outcome(lease, OK, 1e9, 1.0, (OutputValue("y", Value(MSGPACK, 4, b"\xa3lie")),))
        told = Outcome(lease, FAILED, 1e9, 1.0, error=ErrorInfo("user", "Lie", "not true"))
        node.forge(
            self._random.choice(
                (Result((lie,)), Result((told,)), Started((StartedItem(lease, 1e9),)), Release((lease,), "lie"))
            )
        )

    def _measure(self) -> None:
        """Let a machine have less for a while: devices, device memory, memory, CPUs."""
        node = self._node()
        if node is not None:
            node.survey(self._world.shapes.less())
            self._world.clock.later(self._world.outage(), None, node.survey, self._world.shapes.capacity())

    def _jump(self) -> None:
        """Set a wall clock wrong by an hour."""
        target = self._random.choice((self._world.head, *self._world.nodes.values()))
        if target is not None:
            target.wall_offset += self._random.choice((-3600.0, 3600.0))


def _not_of(history: Any, lease: int, node: Any) -> bool:
    """Tell whether a lease is of an open task and not the one that this node was given for it."""
    run_no, task = history.leased[lease]
    facts = history.runs[run_no].tasks[task]
    return facts.state in (LEASED, RUNNING) and (facts.lease, facts.node) != (lease, node.name)

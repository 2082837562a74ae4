"""The virtual network between nodes and heads: one object per TCP connection, frames in both directions.

Frames may be lost, doubled and delayed, in order or not; a direction may be cut; a connection may break, told to both
ends at once or (across a cut) after the time in which ZMTP heartbeats notice. Every frame enters the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import zmq

from sim.clock import Clock, Entry, Process
from sim.knobs import Knobs

TO_HEAD, TO_NODE = True, False
ZMTP_TIMEOUT = 3.0
CONNECT_TIMEOUT = 1.0
ECHO_SECONDS = 2.0


class Connection:
    """One TCP connection of a node to a head, as the kernel and libzmq of both ends see it."""

    __slots__ = ("free_at", "head", "id", "node", "whole")

    def __init__(self, link: bytes, node: Any, head: Any) -> None:
        self.id = link
        self.node = node
        self.head = head
        self.whole = True
        self.free_at = {TO_HEAD: 0.0, TO_NODE: 0.0}


class Network:
    """Every connection, and what is wrong with the lines."""

    def __init__(self, clock: Clock, random: Random, knobs: Knobs, trace: Callable[..., None]) -> None:
        self._clock = clock
        self._random = random
        self._knobs = knobs
        self._trace = trace
        self._numbers = count(1)
        self._connections: dict[bytes, Connection] = {}
        self._cuts: dict[tuple[str, bool], int] = {}
        self._held: list[tuple[Connection, bool, list[bytes]]] = []
        self.calm = False

    def connect(self, node: Any, head: Any) -> Connection | None:
        """Open a connection; None if it is refused at once."""
        if head is None or not head.process.alive:
            return None
        connection = Connection(b"L%d" % next(self._numbers), node, head)
        self._connections[connection.id] = connection
        if self._is_cut(connection, TO_HEAD) or self._is_cut(connection, TO_NODE):
            connection.whole = False
            self._clock.later(CONNECT_TIMEOUT, node.process, node.disconnected, connection)
        return connection

    def reroute(self, connection: Connection) -> None:
        """Give a connection another routing id behind the node's back, as libzmq does after a TCP reset."""
        del self._connections[connection.id]
        old, connection.id = connection.id, b"L%d" % next(self._numbers)
        self._connections[connection.id] = connection
        self._tell_head(connection, old)

    def send(self, connection: Connection, towards: bool, frames: list[bytes]) -> None:
        """Put frames on the line."""
        self._trace(frames[1])
        knobs, random = self._knobs, self._random
        if not connection.whole:
            return
        if self._is_cut(connection, towards):
            if knobs.hold:
                self._held.append((connection, towards, frames))
            return
        if self.calm:
            self._deliver_in(0.001, connection, towards, frames)
            return
        if knobs.loss and random.random() < knobs.loss:
            return
        self._deliver_in(knobs.latency + random.random() * knobs.jitter, connection, towards, frames)
        if knobs.double and random.random() < knobs.double:
            self._clock.later(random.random() * ECHO_SECONDS, None, self._echo, connection, towards, frames)

    def route(self, link: bytes, frames: list[bytes]) -> None:
        """Send for a head, to a routing id.

        Raises:
            zmq.ZMQError: EHOSTUNREACH, as ROUTER_MANDATORY has it.
        """
        connection = self._connections.get(link)
        if connection is None or not connection.whole:
            raise zmq.ZMQError(zmq.EHOSTUNREACH)
        self.send(connection, TO_NODE, frames)

    def close(self, connection: Connection) -> None:
        """Let a node close its end; the head is told when that gets through."""
        if connection.whole:
            connection.whole = False
            self._tell_head(connection, connection.id)
        self._connections.pop(connection.id, None)

    def reset(self, connection: Connection) -> None:
        """Break a connection; both ends are told when they can be."""
        if connection.whole:
            connection.whole = False
            self._tell_head(connection, connection.id)
            delay = ZMTP_TIMEOUT if self._is_cut(connection, TO_NODE) else 0.002
            node = connection.node
            self._clock.later(delay, node.process, node.disconnected, connection)

    def of(self, process: Process) -> list[Connection]:
        """Return the whole connections of a process, head or node."""
        return [
            each
            for each in self._connections.values()
            if each.whole and process in (each.node.process, each.head.process)
        ]

    def cut(self, node: str, towards: bool) -> None:
        """Let nothing through in that direction any more."""
        self._cuts[node, towards] = self._cuts.get((node, towards), 0) + 1

    def notice_cut(self, node: str) -> None:
        """Let ZMTP heartbeats find out about a cut that is still there."""
        for connection in list(self._connections.values()):
            if (
                connection.whole
                and connection.node.name == node
                and (self._is_cut(connection, TO_HEAD) or self._is_cut(connection, TO_NODE))
            ):
                connection.whole = False
                self._clock.later(0.001, connection.node.process, connection.node.disconnected, connection)
                self._clock.later(0.001, connection.head.process, connection.head.line_broke, connection.id)

    def heal(self, node: str, towards: bool) -> None:
        """End a cut; what it held arrives late."""
        self._cuts[node, towards] -= 1
        held, self._held = self._held, []
        for connection, direction, frames in held:
            if self._is_cut(connection, direction):
                self._held.append((connection, direction, frames))
            else:
                self._deliver_in(0.01, connection, direction, frames)

    def settle(self) -> None:
        """Heal everything for good."""
        for (node, towards), cuts in list(self._cuts.items()):
            for _ in range(cuts):
                self.heal(node, towards)
        self.calm = True

    def _is_cut(self, connection: Connection, towards: bool) -> bool:
        return self._cuts.get((connection.node.name, towards), 0) > 0

    def _tell_head(self, connection: Connection, link: bytes) -> None:
        delay = ZMTP_TIMEOUT if self._is_cut(connection, TO_HEAD) else 0.002
        head = connection.head
        self._clock.later(delay, head.process, head.line_broke, link)

    def _echo(self, connection: Connection, towards: bool, frames: list[bytes]) -> None:
        """Let frames arrive a second time, late and out of order."""
        receiver = connection.head if towards else connection.node
        entry = Entry(receiver.process, self._deliver, (connection, receiver, frames), urgent=True)
        self._clock.enter(self._clock.now, entry)

    def _deliver_in(self, delay: float, connection: Connection, towards: bool, frames: list[bytes]) -> None:
        when = self._clock.now + delay
        if not self._knobs.reorder or self.calm:
            when = connection.free_at[towards] = max(when, connection.free_at[towards])
        receiver = connection.head if towards else connection.node
        entry = Entry(receiver.process, self._deliver, (connection, receiver, frames), urgent=True)
        self._clock.enter(when, entry)

    @staticmethod
    def _deliver(connection: Connection, receiver: Any, frames: list[bytes]) -> None:
        if connection.whole:
            receiver.arrived(connection, frames)

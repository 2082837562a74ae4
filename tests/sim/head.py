"""A head in the simulator: the real core, driver, dispatcher, hub and transport, on virtual time, network and disk.

Put together as the head's composition root does it (maze_head/app.py), without HTTP: clients ask the driver. Missing
are only the sockets (`Router` stands for the ROUTER) and the journal's thread, whose steps are calls of the clock.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from zlib import crc32

import zmq

from maze_head.batch import Batch
from maze_head.core.effects import DropObjects, KeepObject
from maze_head.core.events import Event, Instant, NodeSaid, ObjectKept, ObjectUnkept
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.dispatch import Dispatcher
from maze_head.driver import Driver, Ports
from maze_head.graphs import GraphReader
from maze_head.hub import RunHub
from maze_head.journal import ClusterRow, GraphRow, SealedRow, SegmentRow
from maze_head.links import Link, LinkTable
from maze_head.pulls import LogPulls
from maze_head.transport import Transport
from maze_protocol.session import Transmit
from maze_protocol.values import ObjectKey
from sim.clock import Process
from sim.disk import Disk, SimJournal

OBJECT_TTL = 5.0


class HeadProcess:
    """One life of a head."""

    def __init__(self, world: Any, disk: Disk) -> None:
        self.world = world
        self.watch = world.watch
        self.disk = disk
        self.process = Process(world.clock, "head")
        self.wall_offset = 0.0
        self.points = 0

    def start(self) -> None:
        """Come up: a new epoch, recovery, the first turn."""
        knobs = self.world.knobs
        self.journal = SimJournal(self.disk, int(self._clocks().wall), self._submit)
        settings = Settings(
            heartbeat=knobs.heartbeat,
            suspect_after=knobs.suspect_after,
            lost_after=knobs.lost_after,
            orphan_timeout=knobs.orphan_timeout,
            object_ttl=OBJECT_TTL,
            tasks_at_hand=knobs.at_hand,
        )
        self.core = HeadCore(settings, self.journal.epoch, self.journal.cluster_id, b"secret", "the head's port")
        self.hub = RunHub(self.journal, self._published)
        self.driver = Driver(WatchedCore(self), self.journal.epoch, self._fail, self._clocks)
        self.transport = SimTransport(self, self.driver.feed)
        self.dispatcher = Dispatcher(self.transport, self.hub, self._fail)
        ports = Ports(
            self._submit, self.hub.commit, self.dispatcher.release, self.transport.tick,
            read_only=lambda: self.disk.full, objects=self._see_to,
            read_graph=GraphReader(self.hub, self.driver.feed, self._fail).read,
        )  # fmt: skip
        self.driver.start(ports, self._recover())

    def _recover(self) -> list[Any]:
        self.watch.head_began(self.journal.epoch)
        for row in self.journal.load():
            match row:
                case SegmentRow(run_no, segment):
                    self.core.restore_segment(run_no, segment)
                    self.hub.restore(run_no, segment)
                case SealedRow(run_no, body):
                    self.hub.restore_sealed(run_no, self.core.restore_sealed(run_no, body))
                case GraphRow(workflow_id, version, body):
                    self.core.restore_graph(workflow_id, version, body)
                case ClusterRow(kind, body, wall):
                    self.core.restore_cluster(kind, body, wall)
        self.watch.head_replayed(self)
        effects = self.core.restored(self._clocks())
        self.watch.head_did(self, None, effects)
        return effects

    def depose(self) -> None:
        """Go on with a disk of one's own, cut off, while another head takes over: an old head that will not die."""
        self.disk = self.journal.disk = self.disk.copy()
        self.watch = _Unwatched()
        for connection in self.world.network.of(self.process):
            self.world.network.reset(connection)

    def _see_to(self, effects: list[KeepObject | DropObjects]) -> None:
        """Do what the head's port for objects does, as far as it has to do with runs."""
        for effect in effects:
            if isinstance(effect, KeepObject):
                self.world.clock.later(self.world.delay("fetch"), self.process, self._keep, effect)

    def _keep(self, order: KeepObject) -> None:
        place = order.run_no, order.task_no, order.output
        # Now and then the earlier run is removed before its file was linked.
        linked = order.like and (self.world.calm or self.world.random.random() < 0.9)
        body = self.disk.blobs.get((order.like, order.task_no, order.output)) if linked else None
        body = body or self.world.find_object(
            ObjectKey(order.ref.lease, order.output), [name for name, _, _ in order.ref.holders]
        )
        if body is None:
            self.driver.feed(ObjectUnkept(*place, "nobody gave it"))
            return
        assert (len(body), crc32(body)) == (order.ref.size, order.ref.crc), (
            f"I5: other bytes than were announced: {order}"
        )
        self.disk.blobs[place] = body
        self.driver.feed(ObjectKept(*place, len(body), crc32(body)))

    def give(self, key: ObjectKey) -> bytes | None:
        """Return an object that a node asks for: what is kept, or what somebody who is heard has."""
        copies = self.core.state.objects.made.get(key.lease)
        if copies is None:
            return None
        part = copies.parts[key.output]
        kept = [self.disk.blobs.get((run_no, copies.task, key.output)) for run_no in (copies.run_no, part.like)]
        return kept[0] or kept[1] or self.world.find_object(key, list(part.holders))

    def _published(self, run_id: bytes, segment: Any) -> None:
        self.watch.published(run_id, segment)

    def kill(self) -> None:
        """SIGKILL: connections break, the rest is what the disk has."""
        self.process.kill()
        for connection in self.world.network.of(self.process):
            self.world.network.reset(connection)

    def ask(self, make: Any, answered: Any) -> None:
        """Send a command; `answered` gets the task that holds the reply, if the head lives to give one."""

        def reply(task: Any) -> None:
            if self is self.world.head:
                answered(task)

        self.process.loop.create_task(self.driver.ask(make)).add_done_callback(reply)

    def arrived(self, connection: Any, frames: list[bytes]) -> None:
        """Take frames from the network."""
        self.transport.arrived(connection.id, frames)

    def line_broke(self, link: bytes) -> None:
        """Notice that a connection is gone."""
        self.transport.line_broke(link)

    def _clocks(self) -> Instant:
        now = self.world.clock.now
        return Instant(5_000.0 + now, self.world.wall() + self.wall_offset)

    def mono(self) -> float:
        """Return this machine's monotonic clock."""
        return 5_000.0 + self.world.clock.now

    def _fail(self, error: BaseException) -> None:
        raise error

    # -- the journal's thread

    def _submit(self, batch: Batch, done: Any) -> None:
        if not self._dies_at("submitted"):
            self.world.clock.later(self.world.delay("commit"), self.process, self._write, batch, done)

    def _write(self, batch: Batch, done: Any) -> None:
        self.disk.write(batch)
        self.world.trace(b"%d" % len(self.disk.batches))
        if self.journal.syncs:
            self.disk.synced = len(self.disk.batches)
        self.watch.committed(batch)
        if not self._dies_at("written"):
            self.world.clock.later(self.world.delay("release"), self.process, self._written, batch, done)

    def _written(self, batch: Batch, done: Any) -> None:
        done(None)
        self._dies_at("released")

    def _dies_at(self, point: str) -> bool:
        return self.world.at_point(self, point)


class WatchedCore:
    """The core as the driver sees it, with the watch beside it."""

    def __init__(self, head: HeadProcess) -> None:
        self._head = head
        self._core = head.core

    def patience(self, event: NodeSaid) -> float:
        """Pass on."""
        return self._core.patience(event)

    def handle(self, event: Event, now: Instant) -> list[Any]:
        """Pass an event on and have the effects looked at."""
        head = self._head
        head.watch.head_hears(head, event, now)
        effects = self._core.handle(event, now)
        head.watch.head_did(head, event, effects)
        return effects

    def schedule(self, now: Instant) -> list[Any]:
        """Pass on, and have the effects looked at."""
        effects = self._core.schedule(now)
        self._head.watch.head_scheduled(self._head, effects, now)
        return effects


class _Unwatched:
    """What a deposed head reports to: what it decides is nobody's truth."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class _Silent:
    """A pump or a monitor of a socket that is not there: frames are handed to the transport."""

    missed = 0

    def check(self) -> None: ...

    def nudge(self) -> None: ...

    def close(self) -> None: ...


class Router:
    """What the transport sends through."""

    def __init__(self, head: HeadProcess) -> None:
        self._route = head.world.network.route
        self._frames: list[bytes] = []

    def send(self, frame: bytes, flags: int) -> None:
        """Send a message, when all its frames are here, to the connection that the first one names."""
        self._frames.append(frame)
        if not flags & zmq.SNDMORE:
            frames, self._frames = self._frames, []
            self._route(frames[0], frames[1:])


class SimTransport(Transport):
    """The real transport with its sockets taken away."""

    def __init__(self, head: HeadProcess, feed: Any) -> None:
        self._head = head
        self._router = Router(head)  # type: ignore[assignment]
        self._feed = self._gather = feed
        self._clock = head.mono
        self._links = LinkTable()
        self._pulls = LogPulls()
        self._counts = Counter()
        self._pump = self._monitor_pump = _Silent()  # type: ignore[assignment]

    def arrived(self, link_id: bytes, frames: list[bytes]) -> None:
        """Do what `_take` does with frames that came."""
        link = self._links.get(link_id)
        if link is None:
            link = Link(link_id, -1, self._clock())
            self._links.add(link)
        link.heard_at = self._clock()
        self._hear(link, frames)
        self._head.watch.head_heard(self._head, link, frames)

    def line_broke(self, link_id: bytes) -> None:
        """Do what `_take_notice` does with a DISCONNECTED of the monitor."""
        link = self._links.get(link_id)
        if link is not None:
            self._forget(link, "disconnected")

    def _write(self, link: Link, output: Transmit) -> None:
        self._head.watch.head_says(self._head, link.id, output.envelope.message)
        super()._write(link, output)

"""A node in the simulator: the real agent and session, with virtual connections and workers around them.

The shell's part is that of maze_node/app.py and transport.py: events are handled in turns, then what may start is
started, then what is to be said is said; a connection that ends is made anew after a growing, jittered wait.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from maze_node.core.agent import STARTED_AFTER, Agent
from maze_node.core.backoff import Backoff
from maze_node.core.effects import (
    Discard,
    Dismiss,
    Effect,
    Enqueue,
    FetchObject,
    ForgetObjects,
    Fork,
    Leave,
    Load,
    Reconnect,
    RenameObjects,
    Send,
    Signal,
    Spill,
    SpillObject,
    Start,
    TakeBack,
)
from maze_node.core.events import (
    DrainAsked,
    Event,
    Instant,
    LinkLost,
    Loaded,
    ObjectFailed,
    ObjectFetched,
    ObjectSpilled,
    Said,
    Spilled,
    Surveyed,
    Ticked,
    Welcomed,
)
from maze_node.core.objects import Room
from maze_node.core.offer import Survey
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.limits import PROTOCOL_MAJOR, PROTOCOL_MINOR
from maze_protocol.messages import Hello, Message, NodeLoad
from maze_protocol.resources import Capacity
from maze_protocol.session import Deliver, Ended, Established, NodeSession, Output, SessionState, Transmit
from maze_protocol.values import ObjectKey, ObjectRef, key_of
from sim.clock import Process
from sim.network import TO_HEAD, Connection
from sim.pool import BULK, Pool

SPILLING_LIVES = 2
"""Each so-manieth life of a node has no memory for results: they wait on its disk."""
REFUSED_WRITES = 5
"""Each so-manieth write is refused, as by a full disk."""


def _renamed(key: ObjectKey, old: int, new: int) -> ObjectKey:
    return ObjectKey(new, key.output) if key.lease == old else key


class NodeProcess:
    """One agent process: one incarnation of a node."""

    def __init__(self, world: Any, name: str, incarnation: int, capacity: Capacity) -> None:
        self.world = world
        self.watch = world.watch
        self.name = name
        self.incarnation = incarnation
        self.capacity = capacity
        self.process = Process(world.clock, name)
        self.mono_offset = world.random.choice((0.0, 100_000.0))
        self.wall_offset = 0.0
        spills = incarnation % SPILLING_LIVES == 0
        self.agent = Agent(capacity, result_memory=0) if spills else Agent(capacity)
        self.agent.provide(Room(memory=len(BULK) * 3, directory="spool"))
        self.objects: dict[ObjectKey, bytes] = {}
        """What is in the store."""
        self._disk: dict[int, bytes] = {}
        self.pool = Pool(world, self)
        self.session = NodeSession()
        self.connection: Connection | None = None
        self.left = False
        self._inbox: list[Event] = []
        self._backoff = Backoff()
        self._asked_at = 0.0
        self._connecting = False

    def start(self) -> None:
        """Begin to live."""
        self.watch.node_began(self)
        self._connect()
        self._tick()

    def kill(self) -> None:
        """SIGKILL of the agent; its workers die with it."""
        self.process.kill()
        for connection in self.world.network.of(self.process):
            self.world.network.close(connection)
        self.watch.node_died(self)

    def survey(self, capacity: Capacity) -> None:
        """Look at what the machine has now."""
        if self.process.alive:
            self.post(Surveyed(Survey(capacity)))

    def drain(self, timeout: float) -> None:
        """SIGTERM."""
        self.post(DrainAsked("drain", timeout))

    def post(self, event: Event) -> None:
        """Take an event into the coming turn."""
        if not self._inbox:
            self._later(0.0, self._turn)
        self._inbox.append(event)

    @property
    def now(self) -> Instant:
        """Read this machine's clocks."""
        return Instant(self.world.clock.now + self.mono_offset, self.world.wall() + self.wall_offset)

    def arrived(self, connection: Connection, frames: list[bytes]) -> None:
        """Take frames from the network."""
        if connection is self.connection:
            opened = decode_frames(frames)
            assert opened is not None, "the head sends no unknown message"
            self._perform(self.session.receive(*opened, self.now.mono))

    def disconnected(self, connection: Connection) -> None:
        """Notice that a connection is gone."""
        if connection is self.connection:
            self._disconnect("disconnected", "disconnected")

    def forge(self, message: Message) -> None:
        """Say something that the agent did not mean to say."""
        if self.session.state is SessionState.LIVE:
            self._perform(self.session.send(message, self.now.mono))

    # -- the turn

    def _later(self, delay: float, call: Any, *args: Any) -> None:
        self.world.clock.later(delay, self.process, call, *args)

    def _turn(self) -> None:
        now = self.now
        events, self._inbox = self._inbox, []
        for event in events:
            self.watch.node_hears(self, event, now)
            self._obey(self.agent.handle(event, now), now)
        self._obey(self.agent.start(now), now)
        self._flush()
        self.watch.node_did(self)

    def _flush(self) -> None:
        now = self.now
        self._obey(self.agent.flush(now), now)
        if self.agent.unsaid and not self.left:
            self._later(STARTED_AFTER * 1.01, self._flush_late)

    def _flush_late(self) -> None:
        now = self.now
        self._obey(self.agent.flush(now), now)

    def _obey(self, effects: list[Effect], now: Instant) -> None:
        for effect in effects:
            match effect:
                case Send(message, payloads):
                    self.watch.node_says(self, message)
                    if self.session.state is SessionState.LIVE:
                        self._perform(self.session.send(message, now.mono, payloads))
                case Start():
                    self.watch.node_starts(self, effect, now)
                    self.pool.obey(effect)
                case Fork() | Enqueue() | TakeBack() | Signal() | Dismiss():
                    self.pool.obey(effect)
                case Reconnect(reason):
                    self._disconnect("reconnect", reason)
                case Spill() | Load() | Discard():
                    self._obey_disk(effect)
                case FetchObject() | SpillObject() | ForgetObjects() | RenameObjects():
                    self._obey_store(effect)
                case Leave():
                    self._leave()

    def _obey_disk(self, effect: Spill | Load | Discard) -> None:
        match effect:
            case Spill(number, data):
                done = number % REFUSED_WRITES > 0
                if done:
                    self._disk[number] = data
                self.post(Spilled(number, done))
            case Load(number):
                self.post(Loaded(number, self._disk[number]))
            case Discard(number):
                self._disk.pop(number, None)

    def _obey_store(self, effect: FetchObject | SpillObject | ForgetObjects | RenameObjects) -> None:
        match effect:
            case FetchObject(ref):
                self._later(self.world.delay("fetch"), self._fetch, ref)
            case SpillObject(key):
                self.post(ObjectSpilled(key, done=key.lease % REFUSED_WRITES > 0))
            case ForgetObjects(keys):
                for key in keys:
                    self.objects.pop(key, None)
            case RenameObjects(old, new):
                self.objects = {_renamed(key, old, new): body for key, body in self.objects.items()}

    def _fetch(self, ref: ObjectRef) -> None:
        """Ask the holders that are named, and the head."""
        key, body = key_of(ref), None
        for endpoint, _, _ in ref.holders:
            if body is None and endpoint:
                body = self.world.find_object(key, [endpoint])
            elif body is None and self.world.head is not None and self.session.state is SessionState.LIVE:
                body = self.world.head.give(key)
        if body is None:
            self.post(ObjectFailed(key, "nobody gave it"))
            return
        assert (len(body), crc32(body)) == (ref.size, ref.crc), f"I5: other bytes than were announced: {ref}"
        self.objects[key] = body
        self.post(ObjectFetched(key))

    def _leave(self) -> None:
        self.left = True
        # What was sent just before still gets out.
        self._later(0.1, self.world.node_exited, self)

    # -- the connection

    def _connect(self) -> None:
        self._connecting = False
        if self.left:
            return
        self.session = NodeSession()
        self._asked_at = self.now.mono
        self._backoff.connecting(self._asked_at)
        self.connection = self.world.network.connect(self, self.world.find_head(self))
        if self.connection is None:
            self._connect_later()
            return
        self._perform(self.session.connect(self._hello(), self.now.mono))

    def _hello(self) -> Hello:
        cluster_id, epoch = self.agent.cluster
        capacity, remaining = self.agent.introduce(self.now)
        hello = Hello(
            PROTOCOL_MAJOR,
            PROTOCOL_MAJOR,
            PROTOCOL_MINOR,
            self.name,
            self.incarnation,
            capacity,
            (3, 11, 9),
            "sim",
            address=self.name,
            last_session=self.agent.last_session,
            cluster_id=cluster_id,
            epoch=epoch,
            inventory=self.agent.inventory(),
            labels=self.world.shapes.labels(self.name),
            peer_endpoint=self.name,
            remaining=remaining,
        )
        self.watch.node_greets(self, hello)
        return hello

    def _connect_later(self, at_least: float = 0.0) -> None:
        if not self._connecting:
            self._connecting = True
            delay = self._backoff.delay(self.now.mono, self.world.random.random(), at_least)
            self._later(delay, self._connect)

    def _disconnect(self, code: str, reason: str, retry_after: float = 0.0) -> None:
        if self.connection is None:
            return
        connection, self.connection = self.connection, None
        self.world.network.close(connection)
        was_live = self.session.session > 0
        self.session = NodeSession()
        if was_live:
            self.post(LinkLost(code, reason))
        self._connect_later(retry_after)

    def _perform(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(envelope, payloads):
                    if self.connection is not None:
                        self.world.network.send(self.connection, TO_HEAD, encode_frames(envelope, payloads))
                case Deliver(message, payloads):
                    self.post(Said(message, payloads))
                case Established(welcome):
                    self._backoff.established(self.now.mono)
                    self.post(Welcomed(welcome, self._asked_at))
                case Ended():
                    self._on_ended(output)

    def _on_ended(self, ended: Ended) -> None:
        if ended.code == "goodbye":
            return
        if ended.fatal:
            self.left = True
            self._disconnect(ended.code, ended.reason)
            self._later(0.0, self.world.node_exited, self)
            return
        self._disconnect(ended.code, ended.reason, ended.retry_after)

    def _tick(self) -> None:
        if self.left:
            return
        if self.connection is not None:
            self._perform(self.session.tick(self.now.mono))
        self.post(Ticked(NodeLoad()))
        self._later(self.world.knobs.tick, self._tick)

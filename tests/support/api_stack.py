"""A head without sockets to nodes: real core, driver, journal, hub and API, and a puppet in place of the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientSession

from maze_head.api.app import make_app
from maze_head.api.services import Services
from maze_head.blobdir import BlobDirectory
from maze_head.core.events import NodeGreeted, NodeSaid
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.dispatch import Dispatcher
from maze_head.driver import Driver, Ports, read_clocks
from maze_head.graphs import GraphReader
from maze_head.hub import RunHub
from maze_head.journal import PROCESS, ClusterRow, GraphRow, Journal, SealedRow, SegmentRow
from maze_head.seed_store import SeedStore
from maze_protocol.messages import (
    CANCELLED,
    FAILED,
    OK,
    Assign,
    Assignment,
    Cancel,
    Code,
    ErrorInfo,
    Hello,
    Message,
    Outcome,
    Result,
    Started,
    StartedItem,
)
from maze_protocol.resources import Capacity, Device
from maze_protocol.values import MSGPACK, OutputValue, Value, body_of
from support.api_double import INFO, ScriptedBringing, ScriptedNodes, running
from support.tokens import book

LINK = b"link"
Behaviour = Callable[[dict[str, Any]], Any]


def value(content: object) -> Value:
    """Encode a plain value."""
    body = msgspec.msgpack.encode(content)
    return Value(MSGPACK, len(body), body)


class Puppet:
    """One node: runs a Python function per task name, at once, or holds the task if the name has none."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.held: dict[str, Assignment] = {}
        self.codes: list[Code] = []
        self.changed = asyncio.Event()
        self.feed: Callable[[Any], None] = lambda event: None

    def join(self, *, gpus: int = 0, python: tuple[int, int, int] = (3, 11, 7)) -> None:
        devices = tuple(Device(number, 8_000) for number in range(gpus))
        hello = Hello(
            1, 1, 0, "puppet", 1, Capacity(64_000, 64_000, devices), python, "0.1.0", address="10.0.0.7"
        )  # fmt: skip
        self.feed(NodeGreeted(LINK, hello))

    def send(self, link: bytes, message: Message, payloads: Iterable[bytes] = ()) -> None:
        if isinstance(message, Code):
            self.codes.append(message)
        elif isinstance(message, Assign):
            for item in message.items:
                self._take(item, list(payloads))
        elif isinstance(message, Cancel):
            self._cancel(message)

    def admit(self, link: bytes, welcome: object) -> None: ...

    def refuse(self, link: bytes, message: object) -> None: ...

    def say(self, message: Message) -> None:
        self.feed(NodeSaid(LINK, message))

    def finish(self, item: Assignment, result: dict[str, object]) -> None:
        outputs = tuple(
            OutputValue(key, content if isinstance(content, Value) else value(content))
            for key, content in result.items()
        )
        self._end(Outcome(item.lease, OK, 1.0, 5.0, outputs))

    def fail(self, item: Assignment, error: ErrorInfo) -> None:
        self._end(Outcome(item.lease, FAILED, 1.0, 5.0, error=error, stdout_tail=b"so far", stdout_size=6))

    def _end(self, outcome: Outcome) -> None:
        self.say(Result((outcome,)))

    def _take(self, item: Assignment, payloads: list[bytes]) -> None:
        self.say(Started((StartedItem(item.lease, 1.0),)))
        behaviour = self.behaviours.get(item.name)
        if behaviour is None:
            self.held[item.name] = item
            self.changed.set()
            return
        inputs = {
            entry.name: msgspec.msgpack.decode(body_of(entry.template or entry.parts[0], payloads))
            for entry in item.inputs
        }
        try:
            self.finish(item, behaviour(inputs))
        except ValueError as error:
            text = f"Traceback (most recent call last):\n  File ...\nValueError: {error}"
            self.fail(item, ErrorInfo("user", "ValueError", str(error), text))

    def _cancel(self, message: Cancel) -> None:
        for item in list(self.held.values()):
            if item.lease in message.leases:
                error = ErrorInfo("cancelled", "Cancelled", message.reason)
                self._end(Outcome(item.lease, CANCELLED, 1.0, 5.0, error=error))

    async def wait_held(self, name: str) -> Assignment:
        while name not in self.held:
            self.changed.clear()
            await self.changed.wait()
        return self.held[name]


class Stack:
    """Everything of one head, and a client."""

    def __init__(self, directory: Path) -> None:
        self.failures: list[BaseException] = []
        self.journal = Journal.open(directory, PROCESS, 1_000_000.0)
        # The puppet has no heartbeat: on a busy machine it would be suspected after three seconds of a slow test.
        self.core = HeadCore(
            Settings(suspect_after=3_600.0, lost_after=7_200.0), self.journal.epoch, self.journal.cluster_id
        )
        self.hub = RunHub(self.journal)
        self.puppet = Puppet()
        self.dispatcher = Dispatcher(self.puppet, self.hub, self.failures.append)
        self.driver = Driver(self.core, self.journal.epoch, self.failures.append)
        self.graphs = GraphReader(self.hub, self.driver.feed, self.failures.append)
        self.ports = Ports(
            self.journal.submit, self.hub.commit, self.dispatcher.release, lambda: None, read_graph=self.graphs.read
        )
        self.puppet.feed = self.driver.feed
        self.nodes = ScriptedNodes()
        self.blobs = BlobDirectory(directory)
        self.services = Services(
            self.driver,
            self.hub,
            self.nodes,
            self.blobs,
            SeedStore(directory),
            ScriptedBringing(self.blobs),
            lambda: INFO,
            self.driver.counters,
            book(),
            asyncio.Event(),
            hosts=["head.example"],
        )
        self.app = make_app(self.services)
        self.port = 0
        self.http: ClientSession

    def recover(self) -> list[Any]:
        for row in self.journal.load():
            if isinstance(row, SealedRow):
                self.hub.restore_sealed(row.run_no, self.core.restore_sealed(*row))
            elif isinstance(row, GraphRow):
                self.core.restore_graph(*row)
            elif isinstance(row, ClusterRow):
                self.core.restore_cluster(*row)
            elif isinstance(row, SegmentRow):
                self.core.restore_segment(*row)
                self.hub.restore(row.run_no, row.segment)
        effects = self.core.restored(read_clocks())
        self.blobs.prepare(frozenset(self.core.state.run_numbers.values()))
        return effects


@asynccontextmanager
async def stack(directory: Path) -> AsyncIterator[Stack]:
    """Run a head in a directory; leaves nothing open. Open it again on the same directory to restart the head."""
    head = Stack(directory)
    try:
        head.driver.start(head.ports, head.recover())
        async with running(head.app) as (head.port, head.http):
            yield head
    finally:
        await head.driver.stop()
        await head.dispatcher.close()
        await head.graphs.close()
        head.hub.close()
        head.journal.close()
    assert not head.failures, head.failures

"""Services for tests of the HTTP API: a scripted driver and a hub in memory, and a server over them on port 0."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import ClientSession, web

from maze_head.api.app import make_app
from maze_head.api.call import TRAFFIC, Traffic
from maze_head.api.connection import CROWD, Site
from maze_head.api.crowd import Crowd
from maze_head.api.services import Services
from maze_head.blobdir import BlobDirectory
from maze_head.blobfile import BlobError, BlobMissing
from maze_head.core.effects import ObjectPlace
from maze_head.core.errors import NotFound
from maze_head.core.events import Command, DescribeNodes, DescribeRun
from maze_head.core.graph import Graph, compile_graph
from maze_head.core.tasks import TaskSpec, pack
from maze_head.facts import KeptLog, RunPlace
from maze_head.seed_store import SeedStore
from maze_protocol.cluster import InfoBody, NodeList
from maze_protocol.events import SEALING, RunEvent, Segment
from maze_protocol.http import RunBody
from maze_protocol.ids import RUN, WORKFLOW, format_id
from maze_protocol.messages import LogChunk
from maze_protocol.resources import Request
from maze_protocol.values import OutputValue
from support.tokens import SHOWN, book

WORKFLOW_ID = bytes(range(16))
RUN_ID = bytes(range(16, 32))
RUN_TEXT = format_id(RUN_ID, RUN)
WORKFLOW_TEXT = format_id(WORKFLOW_ID, WORKFLOW)
INFO = InfoBody(
    "maze", "0.1.0", "v1", "1.0", "00" * 16, 7, "process", False, "3.11.7", 1, 0.0, {}, 0, {}
)  # fmt: skip


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test on a loop of its own, in debug mode."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60), debug=True)

    return run


def graph_of(names: list[str]) -> Graph:
    """Return a graph of independent tasks with these names; task i has the id of sixteen bytes i."""
    packed = [pack(TaskSpec(bytes([number]) * 16, name, Request(), (0, 0))) for number, name in enumerate(names)]
    return compile_graph(Graph(WORKFLOW_ID, 1, "w", packed), [])


class ScriptedDriver:
    """Answers each kind of command with a value, an exception, or what a function makes of the command."""

    def __init__(self) -> None:
        self.running = True
        self.answers: dict[type, Any] = {DescribeNodes: NodeList([])}
        self.asked: list[Command] = []

    def post(self, make: Callable[[int], Command]) -> asyncio.Future[Any]:
        reply = asyncio.get_running_loop().create_future()
        try:
            reply.set_result(self._answer(make))
        except Exception as error:
            reply.set_exception(error)
        return reply

    async def ask(self, make: Callable[[int], Command]) -> Any:
        return self._answer(make)

    def _answer(self, make: Callable[[int], Command]) -> Any:
        command = make(len(self.asked) + 1)
        self.asked.append(command)
        answer = self.answers.get(type(command))
        if callable(answer):
            answer = answer(command)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class MemoryHub:
    """One run in memory; `commit` adds a segment and wakes readers."""

    def __init__(self, graph: Graph) -> None:
        self.graph_body = graph.encode()
        self.segments: list[Segment] = []
        self.results: dict[int, tuple[OutputValue, ...]] = {}
        self.kept: dict[tuple[int, int, int], KeptLog] = {}
        self.removed = False
        self.reads = 0
        self.patience = 60.0
        """Longest wait, whatever is asked for."""
        self._changed = asyncio.Condition()

    @property
    def last_seq(self) -> int:
        return sum(len(segment.events) for segment in self.segments)

    @property
    def sealed(self) -> bool:
        return bool(self.segments) and isinstance(self.segments[-1].events[-1], SEALING)

    def ended(self, run_no: int, after_seq: int) -> bool:
        return self.sealed and after_seq >= self.last_seq

    async def commit(self, *events: RunEvent) -> None:
        self.segments.append(Segment(7, 1_000.0, self.last_seq + 1, events))
        async with self._changed:
            self._changed.notify_all()

    async def find(self, run_id: bytes) -> RunPlace | None:
        return RunPlace(1, WORKFLOW_ID, 1) if run_id == RUN_ID and not self.removed else None

    async def read(self, run_no: int, after_seq: int) -> list[Segment]:
        self.reads += 1
        return [segment for segment in self.segments if segment.first_seq + len(segment.events) - 1 > after_seq]

    async def wait(self, run_no: int, after_seq: int, timeout: float) -> bool:
        try:
            async with asyncio.timeout(min(timeout, self.patience)), self._changed:
                await self._changed.wait_for(lambda: self.last_seq > after_seq or self.sealed)
        except TimeoutError:
            return False
        return self.last_seq > after_seq

    def peek_outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...] | None:
        return self.results.get(task_no)

    async def outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...]:
        return self.results[task_no]

    async def graph(self, workflow_id: bytes, version: int) -> bytes:
        return self.graph_body

    async def kept_log(self, run_no: int, task_no: int, attempt: int, stream: int) -> KeptLog | None:
        return self.kept.get((task_no, attempt, stream))


class ScriptedNodes:
    """Answers pulls from a list of chunks."""

    def __init__(self) -> None:
        self.chunks: list[LogChunk | None] = []

    async def pull(self, link: bytes, lease: int, stream: int, offset: int, limit: int) -> LogChunk | None:
        return self.chunks.pop(0)


class ScriptedBringing:
    """Brings objects into a blob directory from a dictionary, or fails as it says."""

    def __init__(self, blobs: BlobDirectory) -> None:
        self.blobs = blobs
        self.there: dict[tuple[int, int, int], bytes | BlobError] = {}

    async def ensure_output(self, place: ObjectPlace) -> Path:
        key = place.run_no, place.task_no, place.output
        found = self.there.get(key, BlobMissing("nobody has it"))
        if isinstance(found, BlobError):
            raise found
        incoming = self.blobs.begin_output(*key, len(found))
        os.pwrite(incoming.fd, found, 0)
        return incoming.commit()


class Served:
    """A server of the API on a free port, with its doubles and a client."""

    def __init__(self, names: list[str], directory: str, *, seed_open: bool = False) -> None:
        self.driver = ScriptedDriver()
        self.hub = MemoryHub(graph_of(names))
        self.nodes = ScriptedNodes()
        self.directory = directory
        self.blobs = BlobDirectory(Path(directory))
        self.blobs.prepare(())
        self.bringing = ScriptedBringing(self.blobs)
        self.driver.answers[DescribeRun] = self._describe
        self.services = Services(
            self.driver,
            self.hub,
            self.nodes,
            self.blobs,
            SeedStore(Path(directory)),
            self.bringing,
            lambda: INFO,
            lambda: {"journal_commits_total": 3},
            book(),
            asyncio.Event(),
            seed_open,
        )
        self.app = make_app(self.services)
        self.port = 0
        self.http: ClientSession

    def _describe(self, command: DescribeRun) -> Any:
        if command.run_id != RUN_ID:
            return NotFound("unknown_run", f"no run {format_id(command.run_id, RUN)}")
        return self.run_body()

    def run_body(self) -> RunBody:
        hub = self.hub
        return RunBody(
            RUN_TEXT, WORKFLOW_TEXT, 1, "running", 2, 0, 0, 0, 0, 0.0, None, hub.last_seq, hub.sealed
        )  # fmt: skip


@asynccontextmanager
async def serving(*names: str, seed_open: bool = False) -> AsyncIterator[Served]:
    """Serve the API over doubles; leaves nothing open."""
    with TemporaryDirectory() as directory:
        served = Served(list(names) or ["one", "two"], directory, seed_open=seed_open)
        async with running(served.app) as (port, http):
            served.port, served.http = port, http
            yield served


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[tuple[int, ClientSession]]:
    """Run an application on a free loopback port; yield the port and a client that shows a token."""
    if TRAFFIC not in app:
        app[TRAFFIC], app[CROWD] = Traffic(), Crowd()
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await Site(runner, socket.create_server(("127.0.0.1", 0))).start()
        port = runner.addresses[0][1]
        async with ClientSession(f"http://127.0.0.1:{port}", headers=SHOWN) as http:
            yield port, http
    finally:
        await runner.cleanup()

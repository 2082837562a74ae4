"""The composition root: the only place that makes shells, ties them together, and takes them down again.

Start: lock the state directory, open the journal (a new epoch), give its rows to the core, bind the sockets, serve
HTTP, write the connection file, say MAZE-READY. Stop: refuse submissions and close streams with 1001, let requests
that are being answered finish, commit the last turn, close the sockets, mark the journal as cleanly stopped, unlock.
Nodes are left running: they look for the next head.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final

import zmq
from aiohttp import web

from maze._daemon.connection import ConnectionInfo, enlist, remove_connection, write_connection
from maze._daemon.curve import library_problem
from maze._daemon.ready import announce
from maze._daemon.signals import Stop, exit_with_stdin, install_stop_signals
from maze._version import __version__
from maze_head.api.app import make_app
from maze_head.api.connection import Site, cut_revoked
from maze_head.api.encoder import EventEncoder
from maze_head.api.events import publication
from maze_head.api.services import Services
from maze_head.ballast import Ballast
from maze_head.batch import Batch
from maze_head.blobdir import BlobDirectory
from maze_head.blobfile import BlobError
from maze_head.blobs import BlobPort
from maze_head.config import HeadConfig
from maze_head.core.effects import DropRuns, Effect, ObjectPlace
from maze_head.core.errors import Rejected
from maze_head.core.events import FindObject, JournalSized
from maze_head.core.graph import Graph
from maze_head.core.scheduler import HeadCore
from maze_head.core.settings import Settings
from maze_head.descriptors import raise_limit, tell_rarely
from maze_head.dispatch import Dispatcher
from maze_head.door import Door
from maze_head.driver import Driver, Ports, read_clocks
from maze_head.endpoints import listen
from maze_head.errors import EXIT_BUG, HeadError, KeysUnusable, StateDirUnusable
from maze_head.graphs import GraphReader
from maze_head.hub import READ_THREADS, RunHub
from maze_head.journal import POWER, ClusterRow, GraphRow, Journal, SealedRow, SegmentRow
from maze_head.orders import find_order
from maze_head.publisher import Publisher, Readings
from maze_head.seed_store import SeedStore
from maze_head.sockets import is_loopback
from maze_head.statedir import StateLock, prepare
from maze_head.tls import server_context
from maze_head.token_store import TokenStore
from maze_head.transport import Transport
from maze_head.uploads import UploadSweep
from maze_protocol import limits
from maze_protocol.cluster import InfoBody

__all__ = ["Head", "run"]

log = logging.getLogger(__name__)

API_VERSION: Final = "v1.2"
"""The second number grows with what requests may hold besides; 1: `add_alike`, 2: `follow` and `leases` on the event
socket."""
SUSPECT_MARGIN: Final = 5 / 6
LOST_MARGIN: Final = 0.9
SECRET_BYTES: Final = 32
COLLECT_AFTER: Final = 20_000
"""Objects more than before, until cycles are looked for: nearly none of what comes with tasks is garbage in cycles."""
FINISH_SECONDS: Final = 3.0
"""How long requests that are being answered may take once the head stops."""


def run(config: HeadConfig) -> int:
    """Run a head until it is told to stop; return the exit code of the process.

    Raises:
        HeadError: it could not start.
    """
    with asyncio.Runner() as runner:
        return runner.run(_serve(config))


async def _serve(config: HeadConfig) -> int:
    loop = asyncio.get_running_loop()
    raise_limit()
    tell_rarely(loop)
    stop = install_stop_signals(loop)
    if config.exit_with_stdin:
        exit_with_stdin(loop, stop)
    gc.set_threshold(COLLECT_AFTER)
    head = Head(config)
    async with head:
        head.announce()
        return await head.until(stop)


def settings_of(config: HeadConfig) -> Settings:
    """Return what the core is to do, so that what the operator was promised holds.

    Silence is judged a few times per second, and a turn may be late: the limits that the core and the nodes use are a
    little shorter than those that were told (2.5 s for 3 s, 9 s for 10 s).
    """
    return Settings(
        heartbeat=config.heartbeat,
        suspect_after=config.suspect_after * SUSPECT_MARGIN,
        lost_after=config.lost_after * LOST_MARGIN,
        keep_runs=config.keep_runs,
        keep_days=config.keep_days,
        keep_bytes=config.keep_bytes,
        recovery_grace=config.recovery_grace,
        order=find_order(config.order),
        max_pending_tasks=config.max_pending_tasks,
        priority_step=config.priority_step,
        reserve_after=config.reserve_after,
    )


class Head:
    """One head of a cluster, serving from `__aenter__` to `__aexit__`."""

    def __init__(self, config: HeadConfig) -> None:
        self.config = config
        self.started_at = time.time()
        self._undo: AsyncExitStack
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._hurry = asyncio.Event()
        self.app: web.Application | None = None

    async def __aenter__(self) -> Head:
        async with AsyncExitStack() as self._undo:
            self._start_state()
            self._start_shells()
            await self._start_http()
            self._undo = self._undo.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._undo.aclose()

    @property
    def info(self) -> ConnectionInfo:
        """Return what the connection file and the READY line say."""
        return ConnectionInfo(
            **self.endpoints.addresses,
            pid=os.getpid(),
            cluster_id=self.journal.cluster_id.hex(),
            embedded=self.config.embedded,
            listens=self.address,
            token_file="" if self.tokens is None else str(self.tokens.own_file.resolve()),
            **self.door.told(),
        )

    def announce(self) -> None:
        """Say that it serves: the READY line."""
        announce(self.info.to_dict())
        log.info(
            "ready", extra={"url": self.info.url, "epoch": self.journal.epoch, "durability": self.config.durability}
        )

    def _write_address(self) -> None:
        """Write the connection file, and enter it into the list of this user's heads.

        Raises:
            StateDirUnusable: the file cannot be written.
        """
        path = self.config.connection_file
        try:
            write_connection(path, self.info)
        except OSError as error:
            raise StateDirUnusable(
                f"cannot write connection file {path}: {error.strerror}", remedy="give a writable --connection-file"
            ) from error
        self._undo.callback(remove_connection, path, os.getpid())
        self._undo.callback(enlist(path, self.info))

    async def until(self, stop: Stop) -> int:
        """Serve until told to stop, or until the head must not go on; return the exit code."""
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait((asked, self._failure), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if self._failure.done():
            return self._explain(self._failure.result())
        log.info("stopping", extra={"reason": stop.reason})
        hurry = asyncio.create_task(stop.now.wait())
        hurry.add_done_callback(lambda _: self._hurry.set())
        self._undo.callback(hurry.cancel)
        return 0

    def _explain(self, failure: BaseException) -> int:
        if isinstance(failure, HeadError):
            log.critical("the head stops: %s", failure)
            return failure.exit_code
        log.critical("the head stops because of a bug; what was acknowledged is in the journal", exc_info=failure)
        return EXIT_BUG

    def _start_state(self) -> None:
        config = self.config
        self.settings = settings_of(config)
        self.address = config.bind_address()
        problem = library_problem()
        if problem:
            raise KeysUnusable(problem)
        if not (is_loopback(self.address) or config.uses_curve(self.address)):
            log.warning(
                "whoever reaches this head from another machine can pass for a node and run code here (--insecure)",
                extra={"host": config.host},
            )
        if not (is_loopback(self.address) or config.tls_cert):
            log.warning(
                "tokens travel unencrypted on their way to this head; give --tls-cert and --tls-key, or put a proxy "
                "that speaks TLS before it",
                extra={"host": config.host},
            )
        self.tls = server_context(config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
        prepare(config.state_dir)
        lock = StateLock(config.state_dir)
        self._undo.callback(lock.release)
        self.tokens = None if config.no_token else TokenStore(config.state_dir)
        self.ballast = Ballast(config.state_dir, config.ballast * limits.MIB)
        self._undo.callback(self.ballast.close)
        self.journal = Journal.open(
            config.state_dir, config.durability, time.time(), relieve=self.ballast.relieve, readers=READ_THREADS
        )
        self._undo.callback(self.journal.close)
        self.secret = os.urandom(SECRET_BYTES)
        self.blobdir = BlobDirectory(
            config.state_dir, sync=config.durability == POWER, reserve=config.ballast * limits.MIB
        )
        self.hub = RunHub(self.journal)
        self._undo.callback(self.hub.close)

    def _start_shells(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._undo.callback(context.term)
        self.door = Door(self.config.state_dir, context, self._fail, guarded=self.config.uses_curve(self.address))
        self._undo.callback(self.door.close)
        self.endpoints = listen(self.config, self.address, context, self.door.pair)
        self._undo.callback(self.endpoints.http.close)
        # Nodes know a host by which they found the head: it is theirs to fill in.
        blob_endpoint = f"tcp://:{self.endpoints.ports['blob']}"
        journal = self.journal
        self.core = HeadCore(
            self.settings, journal.epoch, journal.cluster_id, self.secret, blob_endpoint, self.door.local_key
        )
        self.driver = Driver(self.core, self.journal.epoch, self._fail)
        self.transport = Transport(
            self.endpoints.node,
            self.driver.feed,
            gather=self.driver.gather,
            gathered=self.driver.turn_now,
            http=self.endpoints.addresses["url"],
        )
        self._undo.callback(self.transport.close)
        self.encoder = EventEncoder(self.hub, live=self._live_graph)
        readings = Readings(self.hub.tip, partial(publication, self.encoder), time.monotonic, self.door.may_read)
        self.publisher = Publisher(self.endpoints.events, self.journal.epoch, self.journal.cluster_id, readings)
        self._undo.push_async_callback(self.publisher.close)
        self.hub.listener = self.publisher.publish
        self.blobs = BlobPort(
            self.endpoints.blob, self.secret, self.blobdir, self.driver.feed, self._find_object, self._fail,
            admits=self.door.admits_nodes,
        )  # fmt: skip
        self._undo.push_async_callback(self.blobs.close)
        self.dispatcher = Dispatcher(self.transport, self.hub, self.driver.fail)
        self._undo.push_async_callback(self.dispatcher.close)
        self.graphs = GraphReader(self.hub, self.driver.feed, self.driver.fail)
        self._undo.push_async_callback(self.graphs.close)
        self._undo.push_async_callback(self.driver.stop)
        effects = self._recover()
        self._prepare_blobs()
        self.door.start(self.core.state.keys.nodes)
        self.driver.start(self._ports(), effects)
        self.sweep = UploadSweep(self.driver, self.blobdir)
        self._undo.push_async_callback(self.sweep.close)

    def _ports(self) -> Ports:
        return Ports(
            self.journal.submit,
            self._commit,
            self.dispatcher.release,
            self._tick,
            self.journal.commit_now,
            lambda: self.ballast.read_only,
            self.blobs.obey,
            self.graphs.read,
        )

    def _commit(self, batch: Batch) -> None:
        """Show a committed batch to readers, and remove what it removed from the blob directory, too."""
        self.hub.commit(batch)
        self.door.note(batch.facts)
        for drop in batch.drops:
            if isinstance(drop, DropRuns):
                self.blobs.remove_runs(drop.run_nos)

    def _prepare_blobs(self) -> None:
        try:
            self.blobdir.prepare(frozenset(self.core.state.run_numbers.values()))
        except BlobError as error:
            raise StateDirUnusable(str(error), remedy="give a writable --state-dir") from error

    async def _find_object(self, lease: int, output: int) -> ObjectPlace | None:
        try:
            place: ObjectPlace | None = await self.driver.ask(lambda ticket: FindObject(ticket, lease, output))
        except Rejected:
            return None
        return place

    def _recover(self) -> list[Effect]:
        """Give the journal to the core and the hub; return what the core orders because of it."""
        began, rows = time.monotonic(), 0
        for row in self.journal.load():
            rows += 1
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
        effects = self.core.restored(read_clocks())
        # What was loaded stays for long: the collector need not look at it again and again.
        gc.freeze()
        log.info("recovered", extra={"rows": rows, "seconds": round(time.monotonic() - began, 3)})
        return effects

    async def _start_http(self) -> None:
        self.services = Services(
            self.driver,
            self.hub,
            self.transport,
            self.blobdir,
            SeedStore(self.config.state_dir),
            self.blobs,
            self._describe,
            self._counters,
            self.tokens,
            seed_open=self.config.open_seed_routes,
            hosts=(self.endpoints.host, self.address, *self.config.allow_host),
            origins=self.config.allow_origin,
            let_read=self.door.keyring.let_read if self.door.keyring else None,
        )
        self.app = make_app(self.services, self.encoder)
        runner = web.AppRunner(self.app, handle_signals=False, shutdown_timeout=FINISH_SECONDS)
        await runner.setup()
        self._undo.push_async_callback(self._finish_http, runner)
        # Whoever is answered can know the token by then.
        self._write_address()
        await Site(runner, self.endpoints.http, self.tls).start()

    async def _finish_http(self, runner: web.AppRunner) -> None:
        """Refuse what is new and finish what is being answered, unless somebody is in a hurry."""
        self.services.shutting_down.set()
        finishing = asyncio.create_task(runner.cleanup())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((finishing, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not finishing.done():
            finishing.cancel()
        with suppress(asyncio.CancelledError):
            await finishing

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    def _live_graph(self, workflow_id: bytes, version: int) -> Graph | None:
        """Look up a graph that the core has compiled; no reader changes it."""
        return self.core.state.graphs.get((workflow_id, version))

    def _tick(self) -> None:
        self.door.check()
        self.transport.tick()
        self.publisher.tick()
        self.ballast.tick(failing=self.journal.failing)
        self.sweep.tick(time.time())
        if self.tokens is not None and self.tokens.tick() and self.app is not None:
            cut_revoked(self.app, self.tokens)
        self._measure()

    def _measure(self) -> None:
        size = self.journal.size
        if self.config.keep_bytes and size is not None:
            self.driver.feed(JournalSized(size))

    def _describe(self) -> InfoBody:
        return InfoBody(
            name="maze",
            version=__version__,
            api=API_VERSION,
            protocol=f"{limits.PROTOCOL_MAJOR}.{limits.PROTOCOL_MINOR}",
            cluster_id=self.journal.cluster_id.hex(),
            epoch=self.journal.epoch,
            durability=self.config.durability,
            embedded=self.config.embedded,
            order=self.config.order,
            python=platform.python_version(),
            pid=os.getpid(),
            started_at=self.started_at,
            endpoints=self.endpoints.addresses,
            nodes_ready=0,
            limits=LIMITS | {name: getattr(self.config, name) for name in CONFIGURED},
            read_only=self.ballast.read_only,
            head_key=self.door.pair.public if self.door.pair else "",
        )

    def _counters(self) -> dict[str, int | float]:
        parts: tuple[Callable[[], dict[str, int | float]], ...] = (
            self.driver.counters, self.journal.counters, self.hub.counters, self.transport.counters,
            self.publisher.counters, self.ballast.counters, self.blobs.counters, self.door.counters,
        )  # fmt: skip
        return {name: value for part in parts for name, value in part().items()}


CONFIGURED: Final = (
    "heartbeat", "suspect_after", "lost_after", "recovery_grace", "max_pending_tasks", "priority_step", "reserve_after",
)  # fmt: skip
LIMITS: Final[dict[str, float]] = {
    "inline_value": limits.INLINE_VALUE,
    "task_values": limits.MAX_TASK_VALUES,
    "request_body": limits.MAX_REQUEST_BODY,
    "ops_per_request": limits.MAX_OPS_PER_REQUEST,
    "name_length": limits.NAME_LENGTH,
    "log_keep": limits.LOG_KEEP,
    "log_tail": limits.LOG_TAIL,
}

"""The composition root: agent, transport, pool, logs and spool on one event loop.

A turn (turns.py): events that came are handled in order, then what may start is started. What is to be said to the
head is said at once, or after the agent's patience if more is to come. Shells only post events; nothing decides here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import psutil

from maze._daemon.guarantees import spool_dir
from maze._daemon.ready import announce
from maze._daemon.signals import Stop
from maze_node.capacity import Surveyor
from maze_node.clock import monotonic
from maze_node.config import Settings
from maze_node.core.agent import STARTED_AFTER, Agent
from maze_node.core.effects import (
    AnswerLog,
    CancelFetch,
    Discard,
    Dismiss,
    DropLogs,
    Effect,
    Enqueue,
    FetchObject,
    ForgetObjects,
    Fork,
    Leave,
    Load,
    Note,
    NoteMemory,
    Reconnect,
    RenameLog,
    RenameObjects,
    Send,
    Signal,
    Spill,
    SpillObject,
    Start,
    TakeBack,
    Vouch,
)
from maze_node.core.events import (
    DrainAsked,
    Event,
    Instant,
    LinkLost,
    Loaded,
    MemoryRead,
    ObjectFailed,
    ObjectFetched,
    Spilled,
    StopAsked,
    Surveyed,
    Ticked,
    Welcomed,
)
from maze_node.core.objects import Room
from maze_node.core.offer import Survey, Use
from maze_node.core.stay import Stay
from maze_node.errors import EXIT_CRASHED, EXIT_REFUSED
from maze_node.hello import make_hello
from maze_node.isolation import Isolation
from maze_node.limits import allow_descriptors, allowed_cpus
from maze_node.logs import Logs
from maze_node.memory import MemoryWatch
from maze_node.peers import Peers
from maze_node.pool import Pool
from maze_node.spawning import Spawned
from maze_node.spool import Spool
from maze_node.store import ObjectStore
from maze_node.transport import Transport
from maze_node.turns import Turns
from maze_node.watch import Watch
from maze_protocol.messages import Hello, NodeLoad
from maze_protocol.values import ObjectKey

__all__ = ["Node"]

log = logging.getLogger(__name__)
TICK: Final = 0.5
MEMORY_TICK: Final = 0.25
SURVEY_TICKS: Final = 2
MEMORY_PART: Final = 4
"""One part of so many of the node's memory is for objects, unless it was told otherwise."""
MIB: Final = 2**20
_OF_LINKS: Final = frozenset((Welcomed, LinkLost))


class Node:
    """One node process."""

    def __init__(self, settings: Settings, spawned: Spawned | None = None, isolation: Isolation | None = None) -> None:
        self._settings = settings
        self._spawned = spawned
        self._isolation = isolation or Isolation()
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(self._loop, self._turn)
        self.post = self._turns.post
        self._surveyor = Surveyor(settings)
        first = self._surveyor.survey()
        self._uses: tuple[Use, ...] = first.uses
        self.node_id = settings.node_id()
        self._incarnation = int.from_bytes(os.urandom(7), "big")
        self._agent = Agent(
            first.capacity,
            settings.orphan_timeout,
            settings.head_timeout,
            settings.result_memory * MIB,
            first.uses,
            self._stay(),
            self._cpus(),
        )
        self._agent.shut_in(cuts_network=self._isolation.cuts_network)
        self._logs = Logs()
        self._spool = Spool(settings.spool_dir)
        self._memory = MemoryWatch()
        self._objects = self._provide(first.capacity.mem_mib)
        self._peers = Peers(settings, self.node_id, self._objects, self._fetched, self._on_peers_lost)
        self._pool = Pool(self._turns, self._logs, self._objects, settings.preload, settings.spool_dir, self._isolation)
        self._transport = Transport(self._turns, settings.find_head, self._hello, self._give_up)
        self._watch = Watch(self._surveyor.survey, self._surveyed)
        self._ticks = 0
        self._flushing: asyncio.TimerHandle | None = None
        """The next flush, while there is more to come."""
        self._late_flush = False
        self._announced = False
        self._result: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._process = psutil.Process()
        self._obey: dict[type, Callable[[Any], None]] = {
            Send: lambda effect: self._transport.send(effect.message, effect.payloads),
            Reconnect: lambda effect: self._transport.reconnect(effect.reason),
            Fork: lambda effect: self._pool.fork(effect.worker),
            NoteMemory: lambda effect: self._memory.note(effect.pid),
            Start: lambda effect: self._pool.give(effect.worker, (effect.frame,)),
            Enqueue: lambda effect: self._pool.give(effect.worker, effect.frames),
            TakeBack: lambda effect: self._pool.take_back(effect.worker, effect.leases),
            Signal: lambda effect: self._pool.signal(effect.worker, effect.name),
            Dismiss: lambda effect: self._pool.dismiss(effect.worker),
            AnswerLog: lambda effect: self._transport.send(self._logs.answer(effect.pull, over=effect.over)),
            RenameLog: lambda effect: self._pool.rename(effect.old, effect.new),
            DropLogs: self._drop_logs,
            Spill: self._spill,
            Load: self._load_back,
            Discard: lambda effect: self._spool.drop(effect.number),
            FetchObject: lambda effect: self._peers.fetch(effect.ref),
            CancelFetch: lambda effect: self._peers.cancel(effect.key),
            SpillObject: lambda effect: self._objects.spill(effect.key),
            ForgetObjects: lambda effect: self._objects.forget(effect.keys),
            RenameObjects: lambda effect: self._objects.rename(effect.old, effect.new),
            Note: lambda effect: log.info(effect.text),
            Vouch: lambda effect: self._peers.vouch(effect.keys),
            Leave: self._leave,
        }

    async def run(self, stop: Stop) -> int:
        """Serve until drained, stopped or refused; return the exit code."""
        self._loop.set_exception_handler(self._on_bug)
        watching = (self._await_stop(stop), self._await_second_stop(stop), self._watch_memory())
        watchers = [asyncio.ensure_future(each) for each in watching]
        for watcher in watchers:
            # A bug in one of them is one of the node: the loop's handler hears of what a callback raises.
            watcher.add_done_callback(lambda done: None if done.cancelled() else done.result())
        log.info(
            "isolation of workers", extra={"isolation": self._isolation.level, "sandboxed": self._isolation.sandboxed}
        )
        if self._isolation.without:
            log.info(self._isolation.without)
        self._pool.start(self._spawned)
        self._transport.start()
        self._tick()
        try:
            code, reason = await self._result
        finally:
            for watcher in watchers:
                watcher.cancel()
            self._watch.stop()
            self._memory.stop()
            self._transport.close()
            await self._pool.stop()
            self._spool.close()
            self._peers.close()
            self._objects.close()
        log.info("node stopped", extra={"reason": reason, "code": code})
        return code

    def _turn(self, events: list[Event]) -> None:
        now = Instant(monotonic(), time.time())
        effects = self._agent.handle_all(events, now)
        if not _OF_LINKS.isdisjoint(map(type, events)):
            self._tell_peers(events)
        self._perform(effects + self._agent.start(now))
        patience = self._agent.patience
        if not patience or not self._pool.attentive:
            self._flush(now)
        elif self._flushing is None:
            self._flushing = self._loop.call_later(patience, self._flush)
        elif self._flushing.when() > self._loop.time() + patience:
            self._flushing.cancel()
            self._flushing = self._loop.call_later(patience, self._flush)

    def _tell_peers(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Welcomed):
                self._announce()
                self._peers.welcome(event.welcome, self._transport.head)
            elif isinstance(event, LinkLost):
                self._peers.leave(event.reason or event.code)

    def _flush(self, now: Instant | None = None) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._perform(self._agent.flush(now or Instant(monotonic(), time.time())))
        if self._agent.unsaid and not self._late_flush:
            self._late_flush = True
            self._loop.call_later(STARTED_AFTER, self._flush_late)

    def _flush_late(self) -> None:
        """Say what was held back for a moment, unless a flush is due anyway."""
        self._late_flush = False
        if self._flushing is None:
            self._flush()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._obey[type(effect)](effect)
        self._pool.push()

    def _tick(self) -> None:
        if self._result.done():
            return
        self._pool.tick()
        self._ticks += 1
        if self._ticks % SURVEY_TICKS == 0:
            self._watch.ask()
        self.post(Ticked(self._load(), self._logs.take_spoke()))
        self._loop.call_later(TICK, self._tick)

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(MEMORY_TICK)
            watched = self._agent.watched()
            if watched:
                self.post(MemoryRead(await self._loop.run_in_executor(None, self._memory.read, watched)))

    def _load(self) -> NodeLoad:
        return NodeLoad(
            cpu_percent=psutil.cpu_percent(None),
            mem_free_mib=psutil.virtual_memory().available // MIB,
            rss_mib=self._process.memory_info().rss // MIB,
            gpu_free_mib=tuple(use.free_mib for use in self._uses),
        )

    def _surveyed(self, survey: Survey) -> None:
        """Take a survey from the thread that made it; the loop may be closed by now."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take_survey, survey)

    def _take_survey(self, survey: Survey) -> None:
        self._uses = survey.uses
        self.post(Surveyed(survey))

    def _stay(self) -> Stay:
        settings = self._settings
        limit, origin = settings.find_limit(time.time())
        if origin:
            log.info("time limit", extra={"origin": origin, "seconds": limit})
        return Stay.of(monotonic(), limit, settings.drain_timeout, settings.idle_timeout)

    def _cpus(self) -> tuple[int, ...]:
        """Return the CPUs that attempts may have for themselves: this node's part of those that it may run on."""
        part, count = self._settings.share
        return allowed_cpus()[part - 1 :: count] if self._settings.affinity else ()

    def _hello(self) -> Hello:
        identity, now = (self.node_id, self._incarnation), Instant(monotonic(), time.time())
        head = self._transport.head
        hello = make_hello(self._agent, self._settings, identity, head, self._peers.introduce(head), now)
        return msgspec.structs.replace(hello, isolation=self._isolation.level, sandbox=self._isolation.sandboxed)

    def _tell_isolation(self) -> None:
        isolation = self._isolation
        log.info("isolation of workers", extra={"isolation": isolation.level, "sandboxed": isolation.sandboxed})
        if isolation.without:
            log.info(isolation.without)

    def _announce(self) -> None:
        log.info("connected to the head", extra={"head": self._transport.head.endpoint, "node_id": self.node_id})
        if not self._announced:
            self._announced = True
            announce({"node_id": self.node_id, "pid": os.getpid(), "head": self._transport.head.endpoint})

    def _provide(self, capacity_mib: int) -> ObjectStore:
        """Make room for objects: a part of the node's memory, half of the descriptors that the agent may have."""
        told = self._settings.object_memory
        budget = (capacity_mib // MEMORY_PART if told is None else told) * MIB
        directory = str(self._settings.spool_dir or spool_dir())
        self._agent.provide(Room(budget, allow_descriptors() // 2, directory))
        return ObjectStore(budget, directory, self.post)

    def _fetched(self, key: ObjectKey, reason: str, on_disk: bool) -> None:
        self.post(ObjectFailed(key, reason) if reason else ObjectFetched(key, on_disk))

    def _on_peers_lost(self, error: BaseException) -> None:
        log.critical("internal error: the thread that moves objects has ended", exc_info=error)
        self._end(EXIT_CRASHED, "internal error")

    def _drop_logs(self, effect: DropLogs) -> None:
        for lease in effect.leases:
            self._logs.drop(lease)

    def _spill(self, effect: Spill) -> None:
        try:
            self._spool.put(effect.number, effect.data)
        except OSError as error:
            log.warning("a result stays in memory: the disk does not take it: %s", error)
            self.post(Spilled(effect.number, done=False))
        else:
            self.post(Spilled(effect.number, done=True))

    def _load_back(self, effect: Load) -> None:
        try:
            data = self._spool.get(effect.number)
        except OSError as error:
            log.error("a result on disk cannot be read back: %s", error)  # noqa: TRY400 -- the disk's fault, not a bug
            self.post(Loaded(effect.number, None))
        else:
            self.post(Loaded(effect.number, data))

    def _leave(self, effect: Leave) -> None:
        if effect.code:
            log.error("leaving: %s", effect.reason)
        self._end(effect.code, effect.reason)

    def _give_up(self, reason: str) -> None:
        log.error(reason)
        self._end(EXIT_REFUSED, reason)

    def _end(self, code: int, reason: str) -> None:
        if not self._result.done():
            self._result.set_result((code, reason))

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Leave rather than limp on: after an exception in a turn the agent's orders may be half obeyed."""
        log.critical("internal error: %s", context.get("message"), exc_info=context.get("exception"))
        self._end(EXIT_CRASHED, "internal error")

    async def _await_stop(self, stop: Stop) -> None:
        await stop.wait()
        log.info("draining", extra={"reason": stop.reason, "timeout_s": self._settings.drain_timeout})
        self.post(DrainAsked(stop.reason, self._settings.drain_timeout))

    async def _await_second_stop(self, stop: Stop) -> None:
        await stop.now.wait()
        self.post(StopAsked(stop.reason))

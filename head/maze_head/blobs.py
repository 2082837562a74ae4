"""The blob port: objects that the head keeps or is asked for, as the event loop sees them.

The bytes move on a thread of their own (maze._daemon.exchange) between the ROUTER and files of the blob directory,
never through the core. An object that is not in the directory is brought there first, by pulling it from a node that
holds it over the connection which that node opened; whoever wants it meanwhile waits for the same transfer.

What the disk does not take is tried again every few seconds, for as long as somebody wants it kept: that is the fault
of no holder, and must not cost the run what is there to be kept.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import zmq

from maze._daemon.exchange import Exchange, Source
from maze_head.blobdir import BlobDirectory
from maze_head.blobfile import BlobError, BlobMissing, Incoming
from maze_head.bloblinks import BlobLinks
from maze_head.core.effects import DropObjects, KeepObject, ObjectPlace
from maze_head.core.events import ObjectKept, ObjectUnkept
from maze_protocol.fetching import Order, Origin
from maze_protocol.serving import Serving
from maze_protocol.values import ObjectKey, ObjectRef

__all__ = ["BlobPort"]

log = logging.getLogger(__name__)

KEEPING: Final = 16
"""Objects that are brought in for keeping at a time; others wait, and hold no file open."""
THREADS: Final = 4
AGAIN: Final = 5.0
"""Seconds after which a disk that refused is tried again."""

T = TypeVar("T")
Locate = Callable[[int, int], Awaitable[ObjectPlace | None]]
"""Asks the core for an object by its producing lease and number."""


class Place(NamedTuple):
    """What the directory calls an output."""

    run_no: int
    task_no: int
    output: int


class BlobPort:
    """Owns the bound ROUTER and its thread. Made and used on the event loop."""

    def __init__(
        self,
        router: zmq.Socket[bytes],
        secret: bytes,
        directory: BlobDirectory,
        feed: Callable[[ObjectKept | ObjectUnkept], None],
        locate: Locate,
        failed: Callable[[BaseException], None],
        admits: Callable[[str], bool] | None = None,
    ) -> None:
        """Begin to listen.

        Args:
            router: bound; closed in the end.
            secret: the head's own, from which those of sessions come.
            directory: where objects are kept; prepared.
            feed: hears what became of objects that were to be kept.
            locate: asks the core.
            failed: hears that the thread ended by a bug.
            admits: whether a key may be heard; None: connections have none.
        """
        self._directory = directory
        self._feed = feed
        self._locate = locate
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(THREADS, "blobs")
        self._links = BlobLinks(router, secret, admits)
        self._exchange = Exchange(
            self._links,
            "",
            self._find,
            lambda error: self._later(failed, error),
            serving=Serving(secret, open_uploads=True),
        )
        self._bringing: dict[Place, tuple[ObjectKey, asyncio.Task[Path]]] = {}
        self._keeping: dict[Place, asyncio.Task[None]] = {}
        self._few = asyncio.Semaphore(KEEPING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._told_of_disk = False
        self._exchange.start()

    async def close(self) -> None:
        """Stop and close the socket; what is being brought in is given up."""
        tasks = [*self._keeping.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        bringing = [task for _, task in self._bringing.values()]
        # The join waits for one piece at most; then every fetch is told as cancelled, and leaves nothing behind.
        self._exchange.close()
        await asyncio.gather(*tasks, *bringing, return_exceptions=True)
        self._pool.shutdown()

    def obey(self, effects: Iterable[KeepObject | DropObjects]) -> None:
        """Carry out what the core ordered."""
        for effect in effects:
            if isinstance(effect, KeepObject):
                self._keep(effect)
            else:
                self._drop(effect.run_nos)

    def remove_runs(self, run_nos: Iterable[int]) -> None:
        """Remove what is kept of runs whose removal is committed."""
        self._pool.submit(self._directory.drop_runs, tuple(run_nos))

    async def ensure_output(self, place: ObjectPlace) -> Path:
        """Return the file of an output, which is brought in first if it is not here.

        Raises:
            BlobMissing: nobody has it (any more).
            NoRoomForBlob, BlobUnwritable: the disk does not take it.
        """
        where = Place(place.run_no, place.task_no, place.output)
        found = await self._off_loop(self._directory.find_output, *where)
        if found is None and place.like:
            found = await self._off_loop(self._directory.link_output, place.like, *where)
        if found is not None:
            return found
        if place.ref is None or not place.ref.holders:
            raise BlobMissing("nobody has this value any more")
        return await asyncio.shield(self._bring(where, place.ref))

    def counters(self) -> dict[str, int | float]:
        """Return what was counted."""
        return {"objects_keeping": len(self._keeping), **self._exchange.counters()}

    # -- keeping

    def _keep(self, effect: KeepObject) -> None:
        place = Place(effect.run_no, effect.task_no, effect.output)
        if place not in self._keeping:
            task = self._keeping[place] = self._loop.create_task(self._keep_now(place, effect))
            task.add_done_callback(lambda _: self._keeping.pop(place, None))

    async def _keep_now(self, place: Place, effect: KeepObject) -> None:
        ref = effect.ref
        async with self._few:
            try:
                await self._bring_to_disk(ObjectPlace(*place, ref, kept=False, like=effect.like))
            except BlobMissing as missing:
                self._feed(ObjectUnkept(*place, str(missing)))
            else:
                self._feed(ObjectKept(*place, ref.size, ref.crc))

    async def _bring_to_disk(self, place: ObjectPlace) -> None:
        """Bring an object in, whenever the disk takes it.

        Raises:
            BlobMissing: no holder gave it.
        """
        while True:
            try:
                await self.ensure_output(place)
            except BlobMissing:
                raise
            except BlobError as error:
                self._tell_of_disk(error)
                await asyncio.sleep(AGAIN)
            else:
                self._told_of_disk = False
                return

    def _tell_of_disk(self, error: BlobError) -> None:
        if not self._told_of_disk:
            self._told_of_disk = True
            log.error("runs wait until their outputs can be kept: %s", error)

    def _drop(self, run_nos: tuple[int, ...]) -> None:
        for place in [place for place in self._keeping if place.run_no in run_nos]:
            self._keeping[place].cancel()
        for place, (key, _) in list(self._bringing.items()):
            if place.run_no in run_nos:
                self._exchange.cancel(key)

    # -- bringing in

    def _bring(self, place: Place, ref: ObjectRef) -> asyncio.Task[Path]:
        """Return the transfer of an object to its place, begun now or before."""
        known = self._bringing.get(place)
        if known is not None:
            return known[1]
        key = ObjectKey(ref.lease, ref.output)
        before = [task for other, task in self._bringing.values() if other == key]
        task = self._loop.create_task(self._bring_now(place, ref, before))
        self._bringing[place] = key, task
        task.add_done_callback(lambda done: self._brought(place, done))
        return task

    def _brought(self, place: Place, done: asyncio.Task[Path]) -> None:
        del self._bringing[place]
        if not done.cancelled():
            done.exception()  # whoever waits for it has been told; maybe nobody does any more

    async def _bring_now(self, place: Place, ref: ObjectRef, before: list[asyncio.Task[Path]]) -> Path:
        if before:  # runs that share a result: the object is fetched once at a time
            await asyncio.wait(before)
        # For the head the holders are named by their ids.
        origins = tuple(Origin(node, ticket, dialled=False) for node, _, ticket in ref.holders)
        incoming = await self._off_loop(self._directory.begin_output, *place, ref.size)
        reason = await self._fetch(Order(ObjectKey(ref.lease, ref.output), ref.size, origins), incoming)
        if reason:
            await self._off_loop(incoming.abort)
            raise BlobMissing(reason)
        return await self._off_loop(incoming.commit)

    async def _fetch(self, order: Order, incoming: Incoming) -> str:
        told: asyncio.Future[str] = self._loop.create_future()
        self._exchange.fetch(order, incoming.fd, 0, lambda reason: self._later(told.set_result, reason))
        return await told

    # -- serving

    def _find(self, key: ObjectKey) -> None:
        self._later(self._begin_to_find, key)

    def _begin_to_find(self, key: ObjectKey) -> None:
        task = self._loop.create_task(self._answer(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, key: ObjectKey) -> None:
        try:
            source = await self._open(key)
        except BlobError as error:
            log.info("an object that a node asks for cannot be had: %s", error)
            source = None
        if source is None:
            self._exchange.missing(key)
        else:
            self._exchange.found(key, source)

    async def _open(self, key: ObjectKey) -> Source | None:
        if not key.lease:
            return await self._off_loop(_source_of_upload, self._directory, key.hash)
        place = await self._locate(key.lease, key.output)
        if place is None:
            return None
        return await self._off_loop(_source_of_file, await self.ensure_output(place))

    async def _off_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        return await self._loop.run_in_executor(self._pool, function, *arguments)

    def _later(self, function: Callable[..., None], *arguments: Any) -> None:
        """Do something on the loop; it may be closed by now."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def _source_of_upload(directory: BlobDirectory, hash_: bytes) -> Source | None:
    file = directory.open_upload(hash_)
    if file is None:
        return None
    with file:
        return _source_of(os.dup(file.fileno()))


def _source_of_file(path: Path) -> Source | None:
    try:
        return _source_of(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return None  # its run has just been removed


def _source_of(fd: int) -> Source:
    return Source(fd, 0, os.fstat(fd).st_size)

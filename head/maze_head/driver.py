"""The single writer: the only caller of the core, and the only one who decides when its effects become visible.

One turn = all inputs that came meanwhile, one reading of the clocks, `handle` for each, one `schedule`, one batch.
The effects of a turn leave after its batch is committed, in their order; `free` ones leave at once. Where nobody waits
for the disk, that is within the turn; else on the journal's thread. No turn is made while a batch is being committed
there: what comes in the meantime becomes the next turn, so the load itself sets how much is committed together, and no
reply ever tells of something that is not on disk. An idle head makes four turns per second, for the ticks.

An exception out of the core is a bug, and its state is then unknown: the driver stops for good and tells the owner,
and the journal holds everything that was ever acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Protocol, get_args

from maze_head.batch import Batch, Durable
from maze_head.core.effects import (
    Admit,
    AssignTask,
    Drop,
    DropObjects,
    Effect,
    KeepObject,
    ReadGraph,
    Refuse,
    Reply,
    Send,
    SendCode,
)
from maze_head.core.errors import Rejected, Unavailable
from maze_head.core.events import Command, DiskTurned, EditWorkflow, Event, Instant, NodeSaid, Ticked
from maze_head.dispatch import LinkEffect

__all__ = ["TICK", "Core", "Driver", "ObjectEffect", "Ports", "read_clocks"]

log = logging.getLogger(__name__)

TICK: Final = 0.25
RARE: Final = 0.0005
"""Seconds after a turn from which on a command has one in the call that asks, which saves two rounds of the loop; what
comes more often is gathered."""
MAX_TURN: Final = 1024
"""Most inputs of one turn, an edit counted as its operations: the loop must get round to its sockets."""

_DURABLE: Final = get_args(Durable)
_IS_DURABLE: Final = frozenset(_DURABLE)
ObjectEffect = KeepObject | DropObjects
_ON_OBJECTS: Final = get_args(ObjectEffect)
_ON_LINKS: Final = (Send, SendCode, AssignTask, Admit, Refuse, Drop)
_IS_ON_LINKS: Final = frozenset(_ON_LINKS)


class Core(Protocol):
    """core.scheduler.HeadCore, as it is driven."""

    def patience(self, event: NodeSaid) -> float: ...
    def handle(self, event: Event, now: Instant) -> list[Effect]: ...
    def schedule(self, now: Instant) -> list[Effect]: ...


def _never(batch: Batch) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Ports:
    """What the driver writes to; given by the composition root."""

    submit: Callable[[Batch, Callable[[BaseException | None], None]], None]
    """Commit a batch, then call back, maybe on another thread."""
    commit: Callable[[Batch], None]
    """Show a committed batch to readers."""
    release: Callable[[Iterable[LinkEffect]], None]
    """Carry out effects on links."""
    tick: Callable[[], None]
    """Look after the sockets, before the core judges anybody's silence."""
    commit_now: Callable[[Batch], bool] = _never
    """Commit a batch at once if that takes no time; False: it must be submitted."""
    read_only: Callable[[], bool] = bool
    """Tell whether the disk is full; asked once per turn, before its inputs are handled."""
    objects: Callable[[list[ObjectEffect]], None] = lambda _: None
    """Bring objects into the blob directory, or stop it; of a head without one nobody gets anything."""
    read_graph: Callable[[ReadGraph], None] = lambda _: None
    """Read a saved graph, and feed what was found."""


def read_clocks() -> Instant:
    """Read both clocks."""
    return Instant(time.monotonic(), time.time())


class Driver:
    """Drives one core. `start` it on the loop; `feed` and `ask` from the loop only."""

    def __init__(
        self,
        core: Core,
        epoch: int,
        failed: Callable[[BaseException], None],
        clocks: Callable[[], Instant] = read_clocks,
    ) -> None:
        self._core = core
        self._epoch = epoch
        self._failed = failed
        self._clocks = clocks
        self._inputs: deque[Event] = deque()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._last_ticket = 0
        self._due = inf
        """By when, in the loop's time, the next turn is to be made for what has come; 0: at once."""
        self._next: asyncio.Handle | None = None
        """The next turn."""
        self._next_due = inf
        self._turned_at = 0.0
        self._held: list[Effect] = []
        """Effects of the turn whose batch is being committed."""
        self._in_flight: Batch | None = None
        self._idle: asyncio.Event = asyncio.Event()
        self._stopped = False
        self._read_only = False
        self._ports: Ports
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._tick_due = 0.0
        self.turns = 0
        self.events = 0
        self.stall_seconds = 0.0

    @property
    def running(self) -> bool:
        """Tell whether turns are being made and committed."""
        return self._loop is not None and not self._stopped

    def start(self, ports: Ports, effects: Iterable[Effect] = ()) -> None:
        """Begin to make turns, the first one with the effects that recovery left."""
        self._ports = ports
        self._loop = asyncio.get_running_loop()
        self._tick_due = self._loop.time() + TICK
        self._ticker = self._loop.call_at(self._tick_due, self._tick)
        self._close_turn(list(effects), self._clocks())

    def feed(self, event: Event) -> None:
        """Take in an event; it is handled in the next turn, which may wait a little for what nodes say."""
        self.gather(event)
        self._wake()

    def gather(self, event: Event) -> None:
        """Take in an event and leave it to `turn_now`, which is called soon, to see to it that it is handled."""
        if self._stopped:
            return
        self._inputs.append(event)
        if self._due:
            patience = self._core.patience(event) if isinstance(event, NodeSaid) else 0.0
            self._due = min(self._due, self._turned_at + patience) if patience else 0.0

    def turn_now(self) -> None:
        """Make the turn that is due, if one is: in the callback that received its inputs, not in a round of its own."""
        if self._loop is None or self._in_flight is not None or self._due > self._loop.time():
            self._wake()
            return
        if self._next is not None:
            self._next.cancel()
        self._turn()

    async def ask(self, make: Callable[[int], Command]) -> Any:
        """Hand the core the command made for a fresh ticket; return the reply after its commit.

        Raises:
            Rejected: the core refused it, or the head is stopping.
        """
        ticket = self._last_ticket + 1
        future = self.post(make)
        try:
            return await future
        finally:
            self._asked.pop(ticket, None)

    def post(self, make: Callable[[int], Command]) -> asyncio.Future[Any]:
        """Do as `ask` does; what is returned may be done already: where nobody waits for the disk, that is usual.

        Raises:
            Rejected: the head is stopping.
        """
        if self._loop is None or self._stopped:
            raise Unavailable("stopping", "the head is not taking requests", hint="try again in a moment")
        self._last_ticket += 1
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked[self._last_ticket] = future
        self.gather(make(self._last_ticket))
        if self._loop.time() - self._turned_at >= RARE:
            self.turn_now()
        else:
            self._wake()
        return future

    async def stop(self) -> None:
        """Make the turn that is due, wait for its commit, and take nothing more."""
        if self._ticker is not None:
            self._ticker.cancel()
        while self.running and (self._in_flight is not None or self._inputs):
            self._idle.clear()
            await self._idle.wait()
        self._shut()

    def counters(self) -> dict[str, int | float]:
        """Return what the driver counted."""
        return {
            "driver_turns_total": self.turns,
            "driver_events_total": self.events,
            "driver_stall_seconds_total": self.stall_seconds,
            "driver_inputs": len(self._inputs),
            "driver_asked": len(self._asked),
        }

    def _wake(self) -> None:
        """See to it that a turn is made when it is due."""
        if self._in_flight is not None or self._loop is None or self._stopped or self._due >= self._next_due:
            return
        if self._next is not None:
            self._next.cancel()
        self._next_due = due = self._due
        soon = due <= self._loop.time()
        self._next = self._loop.call_soon(self._turn) if soon else self._loop.call_at(due, self._turn)

    def _turn(self) -> None:
        self._next, self._next_due, self._due = None, inf, inf
        self._turned_at = self._loop.time() if self._loop is not None else 0.0
        if self._stopped:
            return
        self._tell_of_a_pause(self._turned_at)
        now = self._clocks()
        event: Event | None = None
        effects: list[Effect] = []
        try:
            effects += self._look_at_disk(now)
            room = MAX_TURN
            while self._inputs and room > 0:
                event = self._inputs.popleft()
                room -= len(event.request.ops) if isinstance(event, EditWorkflow) else 1
                effects += self._core.handle(event, now)
                self.events += 1
            event = None
            if self._inputs:
                self._due = 0.0
            effects += self._core.schedule(now)
            self.turns += 1
            self._close_turn(effects, now)
        except Exception as error:
            log.critical("the core failed and the head stops", exc_info=error, extra={"event": repr(event)[:2000]})
            self.fail(error)

    def _look_at_disk(self, now: Instant) -> list[Effect]:
        if self._ports.read_only() == self._read_only:
            return []
        self._read_only = not self._read_only
        return self._core.handle(DiskTurned(self._read_only), now)

    def _close_turn(self, effects: list[Effect], now: Instant) -> None:
        """Commit what must be durable, and release the rest now or after that."""
        batch = Batch(self._epoch, now.wall)
        held: list[Effect] = []
        free: list[LinkEffect] = []
        add, hold = batch.add, held.append
        for effect in effects:
            if type(effect) in _IS_DURABLE:
                add(effect)  # type: ignore[arg-type]  # the set holds just these types; isinstance tries twelve
            elif type(effect) is Send and effect.free:
                free.append(effect)
            else:
                hold(effect)
        if free:
            self._ports.release(free)
        if not batch:
            self._release(held)
            return
        if self._ports.commit_now(batch):
            self._ports.commit(batch)
            self._release(held)
            return
        self._held = held
        self._in_flight = batch
        self._ports.submit(batch, self._on_written)

    def _on_written(self, error: BaseException | None) -> None:
        """Continue on the loop; called on the journal's thread."""
        assert self._loop is not None, "a batch was written before the start"
        self._loop.call_soon_threadsafe(self._committed, error)

    def _committed(self, error: BaseException | None) -> None:
        batch, self._in_flight = self._in_flight, None
        held, self._held = self._held, []
        if error is not None:
            self.fail(error)
            return
        assert batch is not None, "only what is in flight is committed"
        try:
            self._ports.commit(batch)
            self._release(held)
        except Exception as bug:
            log.critical("releasing a committed turn failed and the head stops", exc_info=bug)
            self.fail(bug)

    def _release(self, effects: list[Effect]) -> None:
        on_links: list[LinkEffect] = []
        on_objects: list[ObjectEffect] = []
        for effect in effects:
            if type(effect) in _IS_ON_LINKS:
                on_links.append(effect)  # type: ignore[arg-type]  # the set holds just these types
            elif isinstance(effect, Reply):
                self._answer(effect)
            elif isinstance(effect, _ON_OBJECTS):
                on_objects.append(effect)
            elif isinstance(effect, ReadGraph):
                self._ports.read_graph(effect)
        if on_links:
            self._ports.release(on_links)
        if on_objects:
            self._ports.objects(on_objects)
        self._idle.set()
        if self._inputs:
            self._wake()

    def _answer(self, reply: Reply) -> None:
        future = self._asked.pop(reply.ticket, None)
        if future is None or future.done():
            return  # who asked has gone
        if isinstance(reply.value, Rejected):
            future.set_exception(reply.value)
        else:
            future.set_result(reply.value)

    def _tick(self) -> None:
        assert self._loop is not None, "ticks begin with the start"
        now = self._loop.time()
        paused = self._tell_of_a_pause(now)
        self._tick_due = now + TICK
        self._ticker = self._loop.call_at(self._tick_due, self._tick)
        self._ports.tick()
        if paused:
            self._due = 0.0
            self._wake()
        else:
            self.feed(Ticked(0.0))

    def _tell_of_a_pause(self, now: float) -> bool:
        """Tell the core if the head stood still, before all that waits: also a tick of before would be taken amiss.

        Each node would seem to have been silent for so long.
        """
        late = now - self._tick_due
        # A loop is always a little late; only what a heartbeat would notice is a stall.
        if self._ticker is None or late < TICK:
            return False
        self.stall_seconds += late
        self._tick_due = now
        self._inputs.appendleft(Ticked(late))
        return True

    def fail(self, error: BaseException) -> None:
        """Stop for good because of a bug or a dead disk, and tell the owner once."""
        if not self._stopped:
            self._shut()
            self._failed(error)

    def _shut(self) -> None:
        self._stopped = True
        self._idle.set()
        if self._ticker is not None:
            self._ticker.cancel()
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Unavailable("stopping", "the head is stopping", hint="try again in a moment"))

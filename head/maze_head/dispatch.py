"""Effects on links become messages, in the order in which the core emitted them per link.

Rules
* A link's effects wait in a lane. If bytes must first be read from the journal, that lane alone waits for them.
* Acknowledgements of results wait a little for others (acks.py).
* SendCode may overtake assignments of the same turn, and nothing else overtakes anything: so all assignments of a
  turn travel together behind the code they need.
* No decisions: who gets what was decided by the core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Protocol

from maze_head.acks import Acks
from maze_head.assign import pack_assignments, sources_of
from maze_head.core.codes import unpack_code
from maze_head.core.effects import Admit, AssignTask, Drop, Refuse, Send, SendCode
from maze_protocol.messages import Code, Disconnect, Message, Reject, ResultAck, RetryAfter, Welcome
from maze_protocol.values import PICKLE, OutputValue, Value, ValuePacker

__all__ = ["Dispatcher", "LinkEffect", "Store", "Wire"]

LinkEffect = Send | SendCode | AssignTask | Admit | Refuse | Drop
Outputs = tuple[OutputValue, ...]
Read = Callable[[], Awaitable[None]]


class Wire(Protocol):
    """The transport, as the dispatcher drives it. None of these raises for a link that is gone."""

    def send(self, link: bytes, message: Message, payloads: Iterable[bytes] = ()) -> None: ...
    def admit(self, link: bytes, welcome: Welcome) -> None: ...
    def refuse(self, link: bytes, message: Reject | RetryAfter | Disconnect) -> None: ...


class Store(Protocol):
    """The hub, as the dispatcher reads it."""

    def peek_outputs(self, run_no: int, task_no: int) -> Outputs | None: ...
    def peek_code(self, hash_: bytes) -> bytes | None: ...
    async def outputs(self, run_no: int, task_no: int) -> Outputs: ...
    async def code(self, hash_: bytes) -> bytes: ...


class _Lane:
    """What one link still has to get, and the bytes found for it."""

    __slots__ = ("codes", "loading", "outputs", "waiting")

    def __init__(self, waiting: list[LinkEffect]) -> None:
        self.waiting = waiting
        self.outputs: dict[tuple[int, int], Outputs] = {}
        self.codes: dict[bytes, bytes] = {}
        self.loading: asyncio.Task[None] | None = None

    def lookup(self, run_no: int, task_no: int) -> Outputs:
        return self.outputs[run_no, task_no]


class Dispatcher:
    """Carries released effects to the transport."""

    def __init__(self, wire: Wire, store: Store, failed: Callable[[BaseException], None]) -> None:
        self._wire = wire
        self._store = store
        self._failed = failed
        self._lanes: dict[bytes, _Lane] = {}
        self._acks = Acks(wire.send)

    def release(self, effects: Iterable[LinkEffect]) -> None:
        """Carry out effects whose batch is committed."""
        by_link: dict[bytes, list[LinkEffect]] = {}
        for effect in effects:
            waiting = by_link.get(effect.link)
            if waiting is None:
                by_link[effect.link] = [effect]
            else:
                waiting.append(effect)
        for link, waiting in by_link.items():
            lane = self._lanes.get(link)
            if lane is not None:
                lane.waiting += waiting  # behind what it loads bytes for
            else:
                lane = self._lanes[link] = _Lane(waiting)
                self._advance(link, lane)

    async def close(self) -> None:
        """Give up everything that still waits for bytes, and acknowledge what is to be acknowledged."""
        self._acks.flush()
        loading = [lane.loading for lane in self._lanes.values() if lane.loading is not None]
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)

    def _advance(self, link: bytes, lane: _Lane) -> None:
        reads = self._missing(lane)
        if reads:
            lane.loading = asyncio.get_running_loop().create_task(self._load(link, lane, reads))
            return
        del self._lanes[link]
        self._flush(link, lane)

    def _missing(self, lane: _Lane) -> list[Read]:
        """Note the bytes that are in memory; return a read for each of the others."""
        reads: list[Read] = []
        outputs, codes = _needed(lane)
        for key in outputs:
            found = self._store.peek_outputs(*key)
            if found is None:
                reads.append(partial(self._read_outputs, lane, key))
            else:
                lane.outputs[key] = found
        for hash_ in codes:
            body = self._store.peek_code(hash_)
            if body is None:
                reads.append(partial(self._read_code, lane, hash_))
            else:
                lane.codes[hash_] = body
        return reads

    async def _read_outputs(self, lane: _Lane, key: tuple[int, int]) -> None:
        lane.outputs[key] = await self._store.outputs(*key)

    async def _read_code(self, lane: _Lane, hash_: bytes) -> None:
        lane.codes[hash_] = await self._store.code(hash_)

    async def _load(self, link: bytes, lane: _Lane, reads: list[Read]) -> None:
        try:
            await asyncio.gather(*(read() for read in reads))
            lane.loading = None
            self._advance(link, lane)
        except Exception as error:  # noqa: BLE001 -- task entry point: a fact that should be on disk is not
            self._failed(error)

    def _flush(self, link: bytes, lane: _Lane) -> None:
        assignments: list[AssignTask] = []
        for effect in lane.waiting:
            if isinstance(effect, AssignTask):
                assignments.append(effect)
            elif isinstance(effect, SendCode):
                self._send_code(link, lane.codes[effect.hash], effect.hash)
            else:
                self._flush_assignments(link, lane, assignments)
                self._carry(effect)
        self._flush_assignments(link, lane, assignments)

    def _flush_assignments(self, link: bytes, lane: _Lane, assignments: list[AssignTask]) -> None:
        for message, payloads in pack_assignments(assignments, lane.lookup):
            self._wire.send(link, message, payloads)
        assignments.clear()

    def _send_code(self, link: bytes, kept: bytes, hash_: bytes) -> None:
        code = unpack_code(kept)
        packer = ValuePacker()
        body = packer.pack(Value(PICKLE, len(code.body)), code.body)
        self._wire.send(link, Code(hash_, code.kind, code.python, body, code.name), packer.payloads)

    def _carry(self, effect: Send | Admit | Refuse | Drop) -> None:
        match effect:
            case Send(link, ResultAck(items)):
                self._acks.add(link, items)
            case Send(link, message):
                self._wire.send(link, message)
            case Admit(link, welcome):
                self._wire.admit(link, welcome)
            case Refuse(link, refusal):
                self._wire.refuse(link, refusal)
            case Drop(link, farewell):
                self._wire.refuse(link, farewell)


def _needed(lane: _Lane) -> tuple[list[tuple[int, int]], list[bytes]]:
    """Return the tasks whose outputs, and the functions whose bodies a lane's effects take and that it lacks."""
    outputs: dict[tuple[int, int], None] = {}
    codes: dict[bytes, None] = {}
    for effect in lane.waiting:
        if isinstance(effect, AssignTask):
            if effect.inputs:
                outputs.update(dict.fromkeys(sources_of(effect)))
        elif isinstance(effect, SendCode):
            codes[effect.hash] = None
    return [key for key in outputs if key not in lane.outputs], [hash_ for hash_ in codes if hash_ not in lane.codes]

"""Which objects are here, which leases need which, what is to be fetched, what goes to disk and what is let go.

Rules (docs/adr/0022)
* What attempts made here and what was fetched are alike, and told alike: all of it after each WELCOME, and copies when
  they arrive. Uploads are told by nobody: the head has them.
* A lease with inputs that are not here waits aside until they are; what several leases wait for is fetched once. If it
  can be had from nobody, each of them is starved.
* The budget of memory counts an object until it is on disk or let go, and it is not let go before the last lease here
  that needs it is over: while an attempt runs, its worker may map it. What a worker keeps of it beyond that is the
  worker's own, until it ends.
* Above the budget, or when there are too many descriptors, the oldest that no running attempt needs go to disk. New
  ones are files from the beginning as soon as the budget is used up.
* FORGET lets go at once, or with the last lease here that needs it. Copies of uploads, which no FORGET names, are let
  go some time after they were needed last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from maze_node.core.effects import CancelFetch, Effect, FetchObject, ForgetObjects, RenameObjects, SpillObject
from maze_node.core.events import Instant, ObjectFailed, ObjectFetched, ObjectSpilled
from maze_node.core.leases import Lease
from maze_node.frames import ReportFrame
from maze_protocol.messages import Holding, Welcome
from maze_protocol.values import ObjectKey, ObjectRef, key_of

__all__ = ["OBJECT_MINOR", "Objects", "Room"]

OBJECT_MINOR: Final = 3
"""From this minor version of the protocol on heads know objects."""
AT_ONCE: Final = 10_000
"""Objects in one HOLDING."""
RETRY_SECONDS: Final = 10.0
UPLOAD_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Room:
    """What the store may use."""

    memory: int = 0
    """Bytes; what is beyond them goes to disk."""
    descriptors: int = 1024
    """How many objects may be in memory, each under a descriptor of its own."""
    directory: str = ""
    """Where on disk; empty: there are no objects on this node."""


@dataclass(slots=True)
class Stored:
    """One object."""

    size: int
    on_disk: bool
    users: int = 0
    """Leases here that need it."""
    running: int = 0
    """Those of them that run."""
    spilling: bool = False
    unwanted: bool = False
    """Let go as soon as nobody here needs it."""


@dataclass(slots=True)
class Wanted:
    """An object that is being fetched."""

    ref: ObjectRef
    leases: dict[int, Lease]
    """By their numbers."""


class Objects:
    """All objects of the node, and all that it waits for."""

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self.room = Room()
        self._emit = emit
        self._stored: dict[ObjectKey, Stored] = {}
        self._of_lease: dict[int, dict[ObjectKey, None]] = {}
        self._memory: dict[ObjectKey, Stored] = {}
        """In the order in which they came."""
        self.used = 0
        """Bytes of what is in memory."""
        self._leaving = 0
        """Bytes of `used` that are being written to disk."""
        self._spilling: dict[ObjectKey, Stored] = {}
        """By what they were called when that was ordered."""
        self._retry_at = 0.0
        self._wanted: dict[ObjectKey, Wanted] = {}
        self._cancelled: dict[ObjectKey, None] = {}
        """Fetches that were cancelled and have not been answered."""
        self.unsaid: dict[tuple[int, int], None] = {}
        """Copies that the head has not been told of."""
        self._idle_uploads: dict[ObjectKey, float] = {}
        self._known_to_head = False

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._stored

    # -- what attempts are told

    @property
    def spool(self) -> str:
        """Return where an attempt may write an object to disk; empty: it may make none."""
        return self.room.directory if self._known_to_head else ""

    @property
    def full(self) -> bool:
        """Tell whether what is made now belongs on disk."""
        return self.used >= self.room.memory or len(self._memory) >= self.room.descriptors

    @property
    def held_for_head(self) -> int:
        """Return of how many leases there are objects here that a head may still want."""
        return len(self._of_lease) if self._known_to_head else 0

    # -- leases

    def take_in(self, lease: Lease) -> bool:
        """Count a lease among those that need its inputs; have fetched what is not here; tell whether all is."""
        for ref in lease.objects:
            key = key_of(ref)
            stored = self._stored.get(key)
            if stored is not None:
                stored.users += 1
                self._idle_uploads.pop(key, None)
                continue
            lease.missing += 1
            wanted = self._wanted.get(key)
            if wanted is None:
                wanted = self._wanted[key] = Wanted(ref, {})
                if key not in self._cancelled:
                    self._emit(FetchObject(ref))
            wanted.leases[lease.number] = lease
        return not lease.missing

    def begins(self, lease: Lease) -> None:
        """An attempt starts: its worker will map what it needs."""
        for ref in lease.objects:
            self._stored[key_of(ref)].running += 1

    def is_over(self, lease: Lease, now: Instant) -> None:
        """A lease needs its inputs no more, whether it ran or not."""
        for ref in lease.objects:
            key = key_of(ref)
            wanted = self._wanted.get(key)
            if wanted is not None:
                self._want_less(key, wanted, lease)
                continue
            stored = self._stored.get(key)
            if stored is None:
                continue  # it could be had from nobody
            stored.users -= 1
            stored.running -= lease.worker > 0
            if not stored.users:
                self._is_idle(key, stored, now)

    def _want_less(self, key: ObjectKey, wanted: Wanted, lease: Lease) -> None:
        wanted.leases.pop(lease.number, None)
        if not wanted.leases:
            del self._wanted[key]
            if key not in self._cancelled:
                self._cancelled[key] = None
                self._emit(CancelFetch(key))

    def _is_idle(self, key: ObjectKey, stored: Stored, now: Instant) -> None:
        if stored.unwanted:
            self._let_go((key,))
        elif key.hash:
            self._idle_uploads[key] = now.mono

    # -- what comes

    def made(self, lease: Lease, report: ReportFrame) -> None:
        """Take in what an attempt has made; its lease may have got another name meanwhile."""
        numbers = [number for number, output in enumerate(report.outputs) if output.value.ref is not None]
        for number in numbers:
            on_disk = number in report.on_disk
            self._add(ObjectKey(lease.token, number), Stored(report.outputs[number].value.size, on_disk))
        if numbers and report.lease != lease.token:
            self._emit(RenameObjects(report.lease, lease.token))

    def fetched(self, event: ObjectFetched) -> list[Lease]:
        """Take in a copy; return the leases that have all their inputs by that."""
        key = event.key
        self._cancelled.pop(key, None)
        wanted = self._wanted.pop(key, None)
        if wanted is None:
            self._emit(ForgetObjects((key,)))
            return []
        stored = Stored(wanted.ref.size, event.on_disk, len(wanted.leases))
        self._add(key, stored)
        if not key.hash:
            self.unsaid[key.lease, key.output] = None
        for lease in wanted.leases.values():
            lease.missing -= 1
        return [lease for lease in wanted.leases.values() if not lease.missing]

    def failed(self, event: ObjectFailed) -> list[Lease]:
        """Take in that an object cannot be had; return the leases that waited for it."""
        wanted = self._wanted.get(event.key)
        cancelled = event.key in self._cancelled
        self._cancelled.pop(event.key, None)
        if wanted is None:
            return []
        if cancelled:
            # It was given up for others, before these asked for it.
            self._emit(FetchObject(wanted.ref))
            return []
        del self._wanted[event.key]
        return list(wanted.leases.values())

    def _add(self, key: ObjectKey, stored: Stored) -> None:
        self._stored[key] = stored
        if not key.hash:
            self._of_lease.setdefault(key.lease, {})[key] = None
        if not stored.on_disk:
            self._memory[key] = stored
            self.used += stored.size

    # -- what goes

    def forget(self, leases: Iterable[int]) -> None:
        """Let go of all that these leases made, as soon as nobody here needs it."""
        for lease in leases:
            for key in list(self._of_lease.get(lease, ())):
                stored = self._stored[key]
                stored.unwanted = True
                if not stored.users:
                    self._let_go((key,))

    def rename(self, old: int, new: int) -> None:
        """What a lease made is called by another one."""
        keys = list(self._of_lease.pop(old, ()))
        for key in keys:
            stored = self._stored.pop(key)
            in_memory = self._memory.pop(key, None) is not None
            renamed = ObjectKey(new, key.output)
            self._stored[renamed] = stored
            self._of_lease.setdefault(new, {})[renamed] = None
            if in_memory:
                self._memory[renamed] = stored
        if keys:
            self._emit(RenameObjects(old, new))

    def _let_go(self, keys: Sequence[ObjectKey]) -> None:
        for key in keys:
            stored = self._stored.pop(key)
            self._leave_memory(key, stored)
            self._idle_uploads.pop(key, None)
            self.unsaid.pop((key.lease, key.output), None)
            if not key.hash:
                del self._of_lease[key.lease][key]
                if not self._of_lease[key.lease]:
                    del self._of_lease[key.lease]
        self._emit(ForgetObjects(tuple(keys)))

    def _leave_memory(self, key: ObjectKey, stored: Stored) -> None:
        if self._memory.pop(key, None) is None:
            return
        self.used -= stored.size
        if stored.spilling:
            self._leaving -= stored.size
            stored.spilling = False

    def tick(self, now: Instant) -> None:
        """Let go of uploads that nobody has needed for some time."""
        old = [key for key, since in self._idle_uploads.items() if now.mono - since >= UPLOAD_SECONDS]
        if old:
            self._let_go(old)

    # -- memory and disk

    def settle(self, mono: float) -> None:
        """Order what goes to disk now."""
        excess = self.used - self._leaving - self.room.memory
        surplus = len(self._memory) - len(self._spilling) - self.room.descriptors
        if (excess <= 0 and surplus <= 0) or mono < self._retry_at:
            return
        for key, stored in self._memory.items():
            if stored.running or stored.spilling or key in self._spilling:
                continue
            self._spilling[key], stored.spilling = stored, True
            self._leaving += stored.size
            self._emit(SpillObject(key))
            excess, surplus = excess - stored.size, surplus - 1
            if excess <= 0 and surplus <= 0:
                return

    def spilled(self, event: ObjectSpilled, now: Instant) -> None:
        """Note how a write went; a disk that refuses is tried again later."""
        stored = self._spilling.pop(event.key, None)
        if stored is None or not stored.spilling:
            return  # let go meanwhile
        if event.done:
            stored.on_disk = True
            self._leave_memory(self._name_of(event.key, stored), stored)
        else:
            self._leaving -= stored.size
            stored.spilling = False
            self._retry_at = now.mono + RETRY_SECONDS

    def _name_of(self, key: ObjectKey, stored: Stored) -> ObjectKey:
        """Return what an object is called now."""
        if self._memory.get(key) is stored:
            return key
        return next(name for name, other in self._memory.items() if other is stored)

    # -- what the head is told

    def welcome(self, welcome: Welcome) -> Iterator[Holding]:
        """A session begins: return all that is here, in parts. A head without a port for objects knows none."""
        self._known_to_head = welcome.minor >= OBJECT_MINOR and bool(welcome.blob_endpoint)
        self.unsaid.clear()
        if not self._known_to_head:
            return
        held = [(key.lease, key.output) for key in self._stored if not key.hash]
        for start in range(0, max(1, len(held)), AT_ONCE):
            yield Holding(tuple(held[start : start + AT_ONCE]), start + AT_ONCE >= len(held))

    def news(self) -> Iterator[Holding]:
        """Return the copies that came since; they are told by that."""
        while self.unsaid and self._known_to_head:
            part = list(self.unsaid)[:AT_ONCE]
            for pair in part:
                del self.unsaid[pair]
            yield Holding(tuple(part))

    def drop_everything(self) -> None:
        """Another cluster: nothing of this is known there."""
        self.forget(list(self._of_lease))

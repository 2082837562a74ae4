"""The books of objects against a model: any order of leases, fetches, ends, renames, writes to disk and FORGETs.

The oracle is the store: what was ordered of it, and what it has. Nothing is fetched twice at a time, no fetch is
cancelled that is not under way, nothing is let go that a lease still needs, nothing is written to disk that a worker
may map; the books' bytes are those of the store's memory. When all leases are over and all is forgotten, nothing is
left.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maze_node.core.effects import CancelFetch, Effect, FetchObject, ForgetObjects, RenameObjects, SpillObject
from maze_node.core.events import Instant, ObjectFailed, ObjectFetched, ObjectSpilled
from maze_node.core.leases import Lease
from maze_node.core.objects import UPLOAD_SECONDS, Objects, Room
from maze_node.frames import ReportFrame
from maze_protocol.messages import OK
from maze_protocol.values import ObjectKey, ObjectRef, OutputValue, Value, key_of
from support.node_core import make_assignment

BUDGET = 300
REMOTE = tuple(ObjectRef(900 + number, 0, 60 + number, 0) for number in range(3))
UPLOADS = tuple(ObjectRef(0, 0, 80, 0, hash=bytes([number]) * 32) for number in range(2))


class ObjectsMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.effects: list[Effect] = []
        self.objects = Objects(self.effects.append)
        self.objects.room = Room(BUDGET, 4, "/spool")
        self.mono = 100.0
        self.next = 1
        self.stored: dict[ObjectKey, int] = {}
        self.on_disk: set[ObjectKey] = set()
        self.fetching: dict[ObjectKey, ObjectRef] = {}
        self.cancelled: set[ObjectKey] = set()
        self.spilling: dict[ObjectKey, ObjectKey] = {}
        """By the name at which it was ordered: what it is called now."""
        self.leases: dict[int, Lease] = {}
        self.running: set[int] = set()
        self.made: dict[int, int] = {}
        """Size by producing lease."""

    @property
    def now(self) -> Instant:
        return Instant(self.mono, 0.0)

    def needed(self, numbers: object = None) -> set[ObjectKey]:
        chosen = self.leases if numbers is None else numbers
        return {key_of(ref) for number in chosen for ref in self.leases[number].objects}  # type: ignore[attr-defined]

    def obey(self) -> None:
        effects, self.effects[:] = list(self.effects), []
        for effect in effects:
            if isinstance(effect, FetchObject):
                key = key_of(effect.ref)
                assert key not in self.fetching
                assert key not in self.stored
                self.fetching[key] = effect.ref
            elif isinstance(effect, CancelFetch):
                assert effect.key in self.fetching
                assert effect.key not in self.cancelled, "once"
                self.cancelled.add(effect.key)
            elif isinstance(effect, ForgetObjects):
                for key in effect.keys:
                    assert key not in self.needed()
                    del self.stored[key]
                    self.on_disk.discard(key)
            elif isinstance(effect, SpillObject):
                assert effect.key in self.stored
                assert effect.key not in self.on_disk
                assert effect.key not in self.needed(self.running)
                assert effect.key not in self.spilling
                self.spilling[effect.key] = effect.key
            elif isinstance(effect, RenameObjects):
                self.rename(effect)

    def rename(self, effect: RenameObjects) -> None:
        for key in [key for key in self.stored if key.lease == effect.old]:
            new = ObjectKey(effect.new, key.output)
            self.stored[new] = self.stored.pop(key)
            if key in self.on_disk:
                self.on_disk.remove(key)
                self.on_disk.add(new)
            for ordered, called in self.spilling.items():
                if called == key:
                    self.spilling[ordered] = new

    @rule(data=st.data(), size=st.integers(50, 200), on_disk=st.booleans())
    def make(self, data: st.DataObject, size: int, on_disk: bool) -> None:
        number = self.next
        self.next += 1
        output = OutputValue("o", Value(0, size, ref=ObjectRef(number, 0, size, 0)))
        report = ReportFrame(number, OK, 1.0, (output,), objects=1, on_disk=(0,) if on_disk else ())
        self.stored[ObjectKey(number, 0)] = size
        if on_disk:
            self.on_disk.add(ObjectKey(number, 0))
        self.made[number] = size
        self.objects.made(Lease(number, make_assignment(number), ()), report)
        self.obey()

    @rule(data=st.data())
    def need(self, data: st.DataObject) -> None:
        local = [ObjectRef(number, 0, size, 0) for number, size in self.made.items()]
        refs = data.draw(st.lists(st.sampled_from([*REMOTE, *UPLOADS, *local]), min_size=1, max_size=4, unique=True))
        number = self.next
        self.next += 1
        lease = Lease(number, make_assignment(number), (), 0, tuple(refs))
        lease.number = number
        self.leases[number] = lease
        missing = {key_of(ref) for ref in refs} - self.stored.keys()
        assert self.objects.take_in(lease) is not bool(missing)
        self.obey()
        assert missing <= self.fetching.keys()

    @precondition(lambda self: [lease for lease in self.leases.values() if not lease.missing and not lease.worker])
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        ready = [number for number, lease in self.leases.items() if not lease.missing and not lease.worker]
        number = data.draw(st.sampled_from(ready))
        assert self.needed([number]) <= self.stored.keys()
        self.leases[number].worker = 1
        self.running.add(number)
        self.objects.begins(self.leases[number])

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(sorted(self.leases))))

    def finish(self, number: int) -> None:
        lease = self.leases.pop(number)
        self.running.discard(number)
        self.objects.is_over(lease, self.now)
        self.obey()

    @precondition(lambda self: self.fetching)
    @rule(data=st.data(), comes=st.booleans(), on_disk=st.booleans())
    def answer(self, data: st.DataObject, comes: bool, on_disk: bool) -> None:
        self.arrive(data.draw(st.sampled_from(sorted(self.fetching))), comes=comes, on_disk=on_disk)

    def arrive(self, key: ObjectKey, *, comes: bool, on_disk: bool) -> None:
        ref = self.fetching.pop(key)
        was_cancelled = key in self.cancelled
        self.cancelled.discard(key)
        waiting = [number for number, lease in self.leases.items() if key in map(key_of, lease.objects)]
        if comes:
            self.stored[key] = ref.size
            if on_disk:
                self.on_disk.add(key)
            for lease in self.objects.fetched(ObjectFetched(key, on_disk)):
                assert self.needed([lease.number]) <= self.stored.keys()
            self.obey()
            return
        starved = [lease.number for lease in self.objects.failed(ObjectFailed(key, "no"))]
        assert starved == ([] if was_cancelled else waiting)
        for number in starved:
            self.finish(number)
        self.obey()

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        self.objects.forget([data.draw(st.sampled_from([900, 901, 902, *range(1, self.next + 1)]))])
        self.made = {number: size for number, size in self.made.items() if ObjectKey(number, 0) in self.stored}
        self.obey()
        self.made = {number: size for number, size in self.made.items() if ObjectKey(number, 0) in self.stored}

    @precondition(lambda self: set(self.made) - {key.lease for key in self.needed()})
    @rule(data=st.data())
    def adopt(self, data: st.DataObject) -> None:
        """An attempt that the head gave up goes on under another name: nobody can need its objects by then."""
        unneeded = set(self.made) - {key.lease for key in self.needed()}
        old = data.draw(st.sampled_from(sorted(unneeded)))
        new, self.next = self.next, self.next + 1
        self.objects.rename(old, new)
        self.obey()
        size = self.made.pop(old)
        if ObjectKey(new, 0) in self.stored:
            self.made[new] = size

    @rule()
    def settle(self) -> None:
        self.objects.settle(self.mono)
        self.obey()

    @precondition(lambda self: self.spilling)
    @rule(data=st.data(), done=st.booleans())
    def written(self, data: st.DataObject, done: bool) -> None:
        ordered = data.draw(st.sampled_from(sorted(self.spilling)))
        called = self.spilling.pop(ordered)
        if done and called in self.stored:
            self.on_disk.add(called)
        self.objects.spilled(ObjectSpilled(ordered, done), self.now)
        self.obey()

    @rule(seconds=st.sampled_from([1.0, UPLOAD_SECONDS]))
    def pass_time(self, seconds: float) -> None:
        self.mono += seconds
        self.objects.tick(self.now)
        self.obey()

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "objects"):
            assert len(self.objects) == len(self.stored)
            memory = {key: size for key, size in self.stored.items() if key not in self.on_disk}
            assert self.objects.used == sum(memory.values())

    def teardown(self) -> None:
        if not hasattr(self, "objects"):
            return
        for number in sorted(self.leases):
            self.finish(number)
        while self.fetching:
            self.arrive(min(self.fetching), comes=True, on_disk=False)
        self.objects.forget([*range(1, self.next + 1), *(ref.lease for ref in REMOTE)])
        self.mono += UPLOAD_SECONDS
        self.objects.tick(self.now)
        self.obey()
        assert self.stored == {}
        assert self.objects.used == 0


TestObjects = ObjectsMachine.TestCase
TestObjects.settings = settings(settings.default, max_examples=100, stateful_step_count=40)

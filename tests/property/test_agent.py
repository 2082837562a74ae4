"""The agent against a model: any order of messages, deaths, lost links and restarts of the head.

The oracle keeps its own books of what was assigned, what each worker was given and how far it is with its queue, and
what the node has said. After each step: no worker runs two tasks, no grant runs twice, nothing is over-committed,
nothing is started behind the fence or without what it follows, however the capacity changes, nothing that was ended is
over before its worker is dead, no signal can hit another than the one it is meant for, no CPU is two attempts' own,
nothing starts before all its inputs are here or loses them before it is over, and no lease is unaccounted for. At the
end, once everything has ended and been acknowledged: every lease got exactly one fate, and nothing is left in the
agent.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maze_node.core.effects import (
    CancelFetch,
    Dismiss,
    Effect,
    Enqueue,
    FetchObject,
    ForgetObjects,
    Fork,
    Signal,
    Start,
    TakeBack,
)
from maze_node.core.events import LinkLost, ObjectFailed, ObjectFetched, Surveyed, WorkerExited, WorkerForked
from maze_node.core.offer import Survey
from maze_node.frames import TaskFrame
from maze_protocol.messages import (
    FAILED,
    HELD_DONE,
    HELD_LEASED,
    HELD_RUNNING,
    OK,
    AckItem,
    Assignment,
    Cancel,
    Forget,
    Recall,
    Release,
    Result,
    ResultAck,
    Started,
    Starved,
)
from maze_protocol.resources import Capacity, Claim, DeviceClaim
from maze_protocol.values import Input, ObjectKey, ObjectRef, Value, key_of
from support.node_core import CAPACITY, Rig, make_assignment, of, whole

CPUS = (0, 1, 2, 3)
CLAIMS = (Claim(1000, 0), Claim(2500, 0), Claim(2000, 0), Claim(500, 4000), Claim(1000, 0, (DeviceClaim(0, 600, 400),)))
GPU = CLAIMS[4]
OBJECTS = tuple(ObjectRef(9000 + number, 0, 100, 0) for number in range(4))
CAPACITIES = (CAPACITY, Capacity(2000, 8000, CAPACITY.devices, 8), Capacity(4000, 100, CAPACITY.devices[1:], 2))


class AgentMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        # No memory for results: each goes over the disk, which takes it or not.
        self.rig = Rig(auto_fork=False, result_memory=0, cpus=CPUS)
        self.rig.welcome(minor=2)
        self.live = True
        self.session = 1
        self.heard = self.rig.mono
        self.next = 1
        self.claims: dict[int, Claim] = {}
        self.grants: dict[int, int] = {}
        self.fate: dict[int, str] = {}
        self.forking: list[int] = []
        self.alive: list[int] = []
        self.tasks: dict[int, int] = {}
        """What each worker runs, as far as the agent can know."""
        self.ahead: dict[int, list[int]] = {}
        self.told: dict[int, TaskFrame] = {}
        """What each worker is to run next, without being told."""
        self.progress: dict[int, int] = {}
        """How many of its tasks each worker has finished whose reports nobody has read."""
        self.until: dict[int, float] = {}
        self.late: set[int] = set()
        self.ended: dict[int, int] = {}
        """What the signal to a worker was meant for."""
        self.cpus: dict[int, tuple[int, ...]] = {}
        self.signalled: set[int] = set()
        self.reported: set[int] = set()
        self.held_back: dict[int, int] = {}
        self.unacked: dict[int, int] = {}
        self.delivered: set[int] = set()
        self.after: dict[int, int] = {}
        """Of early leases: which one makes what they lack."""
        self.made: set[int] = set()
        """Those that made something."""
        self.needs: dict[int, tuple[ObjectRef, ...]] = {}
        self.fetching: set[ObjectKey] = set()
        self.stored: set[ObjectKey] = set()

    # -- the world obeys and keeps its books

    def obey(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Fork):
                self.forking.append(effect.worker)
            elif isinstance(effect, Start):
                self.check_start(effect)
                self.tasks[effect.worker] = effect.frame.lease
            elif isinstance(effect, Enqueue):
                self.check_enqueue(effect)
            elif isinstance(effect, TakeBack):
                self.take_from_queue(effect)
            elif isinstance(effect, (Signal, Dismiss)):
                self.check_signal(effect.worker)
                self.signalled.add(effect.worker)
            else:
                self.obey_of_objects(effect)
        self.listen(effects)

    def obey_of_objects(self, effect: Effect) -> None:
        if isinstance(effect, FetchObject):
            key = key_of(effect.ref)
            assert key not in self.fetching | self.stored, "fetched once"
            self.fetching.add(key)
        elif isinstance(effect, CancelFetch):
            assert effect.key in self.fetching
        elif isinstance(effect, ForgetObjects):
            self.stored.difference_update(effect.keys)
            running = [self.needs.get(lease, ()) for lease in self.tasks.values()]
            assert all(key_of(ref) in self.stored for refs in running for ref in refs), "what runs keeps its inputs"

    def listen(self, effects: list[Effect]) -> None:
        for release in of(effects, Release):
            for lease in release.leases:
                assert self.fate[lease] == "held", "released once, and only what never started"
                assert lease not in self.rig.begun, "nor unseen"
                self.fate[lease] = "released"
        for starved in of(effects, Starved):
            assert self.fate[starved.lease] == "held"
            self.fate[starved.lease] = "released"
        for result in of(effects, Result):
            for outcome in result.items:
                assert self.fate[outcome.lease] in ("over", "told")
                before = self.fate.get(self.after.get(outcome.lease, 0), "gone")
                assert before in ("told", "acknowledged", "gone"), "told before what it followed"
                self.fate[outcome.lease] = "told"
                assert all(each.value.body == b"\x01" for each in outcome.outputs), "on disk nothing changes"
                self.unacked[outcome.lease] = outcome.status
        for started in of(effects, Started):
            assert all(item.lease in self.tasks.values() for item in started.items), "only what still runs"

    def queue(self, worker: int) -> list[int]:
        return [self.tasks[worker], *self.ahead.get(worker, [])] if worker in self.tasks else []

    def go_on(self, worker: int) -> None:
        """Let a worker begin what is next, if it runs nothing; what is too late is told so at once."""
        queue = self.queue(worker)
        while (done := self.progress.get(worker, 0)) < len(queue) and queue[done] not in self.rig.begun:
            self.rig.begun.add(queue[done])
            if self.rig.mono <= self.until.get(queue[done], self.rig.mono):
                return
            self.late.add(queue[done])
            self.progress[worker] = done + 1

    def take_from_queue(self, effect: TakeBack) -> None:
        assert list(effect.leases) == self.ahead[effect.worker], "the whole queue, in order"
        self.ahead[effect.worker] = [lease for lease in effect.leases if lease in self.rig.begun]

    def check_enqueue(self, effect: Enqueue) -> None:
        assert effect.worker in self.alive
        assert effect.worker not in self.signalled, "a signalled worker gets nothing more"
        for frame in whole(effect.frames, self.told[effect.worker]):
            assert not self.needs[frame.lease], "its inputs could go before it begins"
            self.check_early(frame)
            assert self.fate[frame.lease] == "held"
            assert self.grants[frame.lease] == self.grants[self.tasks[effect.worker]], "behind its own grant"
            assert self.rig.mono <= frame.until <= self.heard + 10.0, "not to begin behind the fence"
            self.until[frame.lease] = frame.until
            self.cpus[frame.lease] = frame.cpus
            self.told[effect.worker] = frame
        self.ahead.setdefault(effect.worker, []).extend(frame.lease for frame in effect.frames)
        self.go_on(effect.worker)

    def check_signal(self, worker: int) -> None:
        assert worker in self.alive, "signals go to the living"
        queue = self.queue(worker)
        if queue and worker not in self.signalled:
            assert self.progress.get(worker, 0) >= len(queue) - 1, "a signal can hit the last one only"
            self.ended[worker] = queue[-1]

    def check_start(self, effect: Start) -> None:
        lease = effect.frame.lease
        assert effect.worker in self.alive
        assert effect.worker not in self.tasks, "one task per worker"
        assert effect.worker not in self.signalled, "a signalled worker is not used again"
        assert self.fate[lease] == "held", "a lease starts once"
        assert {key_of(ref) for ref in self.needs[lease]} <= self.stored, "nothing starts without its inputs"
        self.check_early(effect.frame)
        assert effect.frame.objects == len(self.needs[lease])
        assert self.rig.mono - self.heard <= 10.0, "nothing starts behind the fence"
        grant = self.grants[lease]
        busy = [self.grants[other] for other in self.tasks.values()] + list(self.held_back.values())
        assert grant not in busy, "one at a time per grant"
        self.fate[lease] = "running"
        self.told[effect.worker] = effect.frame
        self.rig.begun.add(lease)
        running = [self.claims[other] for other in (*self.tasks.values(), lease)]
        if len(running) > 1:
            assert sum(claim.cpu_milli for claim in running) <= CAPACITY.cpu_milli
            assert sum(claim.mem_mib for claim in running) <= CAPACITY.mem_mib
            assert sum(claim is GPU for claim in running) <= 1
        self.cpus[lease] = effect.frame.cpus
        whole = [other for other in (*self.tasks.values(), lease) if self.claims[other].cpu_milli % 1000 == 0]
        own = [cpu for other in whole for cpu in self.cpus[other]]
        assert len(own) == len(set(own)), "a CPU is one attempt's own"
        assert len(own) == sum(self.claims[other].cpu_milli for other in whole) // 1000
        if lease not in whole:
            assert effect.frame.cpus, "something is left to share"
            assert set(effect.frame.cpus) <= set(CPUS) - set(own)

    def check_early(self, frame: TaskFrame) -> None:
        """An early lease has what the other one made, and only if that ended well."""
        if frame.lease in self.after:
            assert self.after[frame.lease] in self.made, "what it lacks was not made"
            assert frame.inputs == (Input("x", None, (Value(0, 1, b"\x01"),)),)

    def hear(self, message: object) -> None:
        self.heard = self.rig.mono
        self.obey(self.rig.said(message))

    # -- what may happen

    @precondition(lambda self: self.live)
    @rule(
        claim=st.sampled_from(CLAIMS),
        count=st.integers(1, 5),
        objects=st.just(()) | st.sets(st.sampled_from(range(4))).map(sorted),
        early=st.booleans(),
    )
    def assign(self, claim: Claim, count: int, objects: list[int], early: bool) -> None:
        grant = self.next
        leases = list(range(self.next, self.next + count))
        self.next += count
        for lease in leases:
            self.claims[lease], self.grants[lease], self.fate[lease] = claim, grant, "held"
            self.needs[lease] = tuple(OBJECTS[number] for number in objects)
            if early and lease > grant:
                self.needs[lease], self.after[lease] = (), lease - 1
        self.heard = self.rig.mono
        self.obey(self.rig.assign(*map(self.assignment, leases)))

    @precondition(lambda self: self.live and self.fate)
    @rule(data=st.data(), count=st.integers(1, 3))
    def assign_early(self, data: st.DataObject, count: int) -> None:
        """One or several that follow a lease of the last ones, whatever has become of it."""
        before = data.draw(st.sampled_from(sorted(self.fate)[-6:]))
        leases = list(range(self.next, self.next + count))
        self.next += count
        for lease in leases:
            self.claims[lease], self.grants[lease], self.fate[lease] = self.claims[before], self.grants[before], "held"
            self.needs[lease], self.after[lease], before = (), before, lease
        self.heard = self.rig.mono
        self.obey(self.rig.assign(*map(self.assignment, leases)))

    def assignment(self, lease: int) -> Assignment:
        if lease in self.after:
            lacks = {"after": self.after[lease], "awaits": ((0, "out"),), "inputs": (Input("x", None),)}
            return make_assignment(lease, grant=self.grants[lease], claim=self.claims[lease], **lacks)
        inputs = tuple(Input("x", None, (Value(0, ref.size, ref=ref),)) for ref in self.needs[lease])
        return make_assignment(lease, grant=self.grants[lease], claim=self.claims[lease], inputs=inputs)

    @precondition(lambda self: self.fetching)
    @rule(data=st.data(), comes=st.booleans())
    def answer(self, data: st.DataObject, comes: bool) -> None:
        self.arrive(data.draw(st.sampled_from(sorted(self.fetching))), comes=comes)

    def arrive(self, key: ObjectKey, *, comes: bool) -> None:
        self.fetching.remove(key)
        if comes:
            self.stored.add(key)
            self.obey(self.rig.do(ObjectFetched(key)))
            return
        effects = self.rig.do(ObjectFailed(key, "nobody has it"))
        self.obey(effects)
        if not self.live and key not in self.fetching:
            for lease, fate in self.fate.items():
                if fate == "held" and any(key_of(ref) == key for ref in self.needs[lease]):
                    self.fate[lease] = "gone"  # the next inventory tells it

    @precondition(lambda self: self.live)
    @rule(number=st.sampled_from(range(4)))
    def forget(self, number: int) -> None:
        self.hear(Forget((OBJECTS[number].lease,)))

    @precondition(lambda self: self.live and self.fate)
    @rule(data=st.data())
    def assign_again(self, data: st.DataObject) -> None:
        lease = data.draw(
            st.sampled_from([lease for lease in self.fate if self.fate[lease] in ("held", "running", "told")] or [0])
        )
        if lease:
            self.heard = self.rig.mono
            self.obey(self.rig.assign(self.assignment(lease)))

    @precondition(lambda self: self.forking)
    @rule(dies=st.booleans(), data=st.data())
    def fork(self, dies: bool, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.forking))
        self.forking.remove(worker)
        if dies and data.draw(st.booleans()):
            self.obey(self.rig.do(WorkerExited(worker, "SIGKILL", blameless=True)))
            return
        self.alive.append(worker)
        self.obey(self.rig.do(WorkerForked(worker, worker)))

    @precondition(lambda self: self.tasks.keys() - self.signalled)
    @rule(data=st.data(), count=st.integers(1, 3))
    def finish_unseen(self, data: st.DataObject, count: int) -> None:
        """A worker goes on with its queue; its reports wait in its socket."""
        worker = data.draw(st.sampled_from(sorted(self.tasks.keys() - self.signalled)))
        for _ in range(min(count, len(self.queue(worker)) - self.progress.get(worker, 0))):
            self.progress[worker] = self.progress.get(worker, 0) + 1
            self.go_on(worker)

    @precondition(lambda self: self.forking or self.tasks)
    @rule()
    def all_goes_well(self) -> None:
        """Workers that are to come are there, and each hands over what it has: single steps seldom get so far."""
        while self.forking:
            worker = self.forking.pop(0)
            self.alive.append(worker)
            self.obey(self.rig.do(WorkerForked(worker, worker)))
        for worker in sorted(self.tasks.keys() - self.signalled):
            self.deliver(worker)

    @precondition(lambda self: self.tasks.keys() - self.reported)
    @rule(data=st.data(), status=st.sampled_from([OK, FAILED]), unclean=st.sampled_from(["", "", "threads"]))
    def report(self, data: st.DataObject, status: int, unclean: str) -> None:
        worker = data.draw(st.sampled_from(sorted(self.tasks.keys() - self.reported)))
        # Who has left something behind goes on with nothing.
        self.deliver(worker, status, "" if self.progress.get(worker, 0) else unclean)

    def deliver(self, worker: int, status: int = OK, unclean: str = "") -> None:
        """Let the agent read one report."""
        lease = self.tasks[worker]
        late = lease in self.late
        if worker in self.signalled and self.ended[worker] == lease:
            self.reported.add(worker)  # it is over when the worker is dead
        else:
            self.pass_on(worker, late=late, stops=bool(unclean))
            if unclean:
                self.held_back[worker] = self.grants[lease]
        self.progress[worker] = max(0, self.progress.get(worker, 0) - 1)
        if not unclean:
            self.go_on(worker)
        if status == OK and not late:
            self.made.add(lease)
        self.obey(self.rig.report(worker, lease, status, unclean=unclean, late=late))

    def pass_on(self, worker: int, *, late: bool = False, stops: bool = False) -> None:
        """What a worker ran is over, and what follows runs, as far as the agent knows."""
        lease = self.tasks.pop(worker)
        if not late:
            self.end(lease)
        else:
            self.late.discard(lease)
            self.rig.begun.discard(lease)
            self.fate[lease] = "gone" if self.fate[lease] == "dropped" else "held"
        if stops:
            self.ahead.pop(worker, None)
        if self.ahead.get(worker):
            self.tasks[worker] = self.ahead[worker].pop(0)
            if self.fate[self.tasks[worker]] == "held":
                self.fate[self.tasks[worker]] = "running"

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.alive))
        self.bury(worker)

    def bury(self, worker: int) -> None:
        while self.progress.get(worker, 0) and worker not in self.reported:
            self.deliver(worker)  # what it had written is read before its death is told
        self.alive.remove(worker)
        for books in (self.signalled, self.reported):
            books.discard(worker)
        for book in (self.held_back, self.ahead, self.progress, self.ended):
            book.pop(worker, None)
        if worker in self.tasks:
            self.end(self.tasks.pop(worker))
        self.obey(self.rig.do(WorkerExited(worker, "SIGKILL")))

    def end(self, lease: int) -> None:
        self.fate[lease] = "gone" if self.fate[lease] == "dropped" else "over"

    @precondition(lambda self: self.live and self.fate)
    @rule(data=st.data(), kind=st.sampled_from([Cancel, Recall]))
    def take_back(self, data: st.DataObject, kind: type) -> None:
        leases = data.draw(st.lists(st.sampled_from(sorted(self.fate)), min_size=1, max_size=3, unique=True))
        self.hear(kind(tuple(leases)))

    @precondition(lambda self: self.live and self.unacked)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.unacked)))
        del self.unacked[lease]
        assert lease not in self.delivered, "one outcome per lease"
        self.delivered.add(lease)
        self.fate[lease] = "acknowledged"
        self.hear(ResultAck((AckItem(lease, 0),)))

    @precondition(lambda self: self.live)
    @rule()
    def lose_link(self) -> None:
        self.live = False
        # What was on the wire is lost; the node must say it again.
        for lease in self.unacked:
            self.fate[lease] = "over"
        self.unacked.clear()
        self.obey(self.rig.do(LinkLost("disconnected")))

    @precondition(lambda self: not self.live)
    @rule(data=st.data())
    def reconnect(self, data: st.DataObject) -> None:
        held = {each.lease: each.state for each in self.rig.agent.inventory()}
        drop = data.draw(st.lists(st.sampled_from(sorted(held)), max_size=2, unique=True)) if held else []
        for lease in drop:
            self.unacked.pop(lease, None)
            began = held[lease] != HELD_DONE and lease in self.rig.begun
            self.fate[lease] = "dropped" if began else "gone"
        self.live, self.heard = True, self.rig.mono
        self.session += 1
        before = len(self.rig.effects)
        self.rig.agent.introduce(self.rig.now)
        self.rig.welcome(session=self.session, minor=2, drop=tuple(drop))
        self.obey(self.rig.effects[before:])

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        if self.live:
            seconds = min(seconds, 1.0)
            self.heard = self.rig.mono + seconds  # the rig answers heartbeats
        self.obey(self.rig.tick(seconds))

    @rule(capacity=st.sampled_from(CAPACITIES))
    def resize(self, capacity: Capacity) -> None:
        self.obey(self.rig.do(Surveyed(Survey(capacity))))

    @rule()
    def disk_fills_or_empties(self) -> None:
        self.rig.disk_full = not self.rig.disk_full

    def note_orphans(self, inventory: dict[int, int]) -> None:
        """What follows something that is over may be handed back unheard: the next inventory tells it."""
        for lease, before in self.after.items():
            waits = self.fate[before] in ("held", "running")
            if self.fate[lease] == "held" and lease not in inventory and not waits:
                self.fate[lease] = "gone"

    # -- what always holds

    @invariant()
    def every_lease_is_accounted_for(self) -> None:
        if not hasattr(self, "rig"):
            return
        inventory = {each.lease: each.state for each in self.rig.agent.inventory()}
        if not self.live:
            self.note_orphans(inventory)
        states = {"held": HELD_LEASED, "running": HELD_RUNNING, "over": HELD_DONE, "told": HELD_DONE}
        expected = {lease: states[fate] for lease, fate in self.fate.items() if fate in states}
        running = self.tasks.values()
        dropped = {
            lease: HELD_RUNNING if lease in running else HELD_LEASED
            for lease, fate in self.fate.items()
            if fate == "dropped"
        }
        assert inventory == expected | dropped

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        self.rig.disk_full = False
        if not self.live:
            self.live, self.heard = True, self.rig.mono
            before = len(self.rig.effects)
            self.rig.welcome(session=self.session + 1)
            self.obey(self.rig.effects[before:])
        for _ in range(300):
            if not any(fate in ("held", "running", "dropped", "over") for fate in self.fate.values()):
                break
            self.let_workers_finish()
            self.heard = self.rig.mono + 1.0
            self.obey(self.rig.tick(1.0))
        for lease in sorted(self.unacked):
            self.fate[lease] = "acknowledged"
            self.hear(ResultAck((AckItem(lease, 0),)))
        assert set(self.fate.values()) <= {"acknowledged", "released", "gone"}, self.fate
        assert self.rig.agent.inventory() == ()
        assert self.rig.disk == {}
        self.let_workers_finish()
        assert len(self.rig.agent._runner.slots) == 0
        self.hear(Forget(tuple(ref.lease for ref in OBJECTS)))
        assert self.stored == set()
        assert len(self.rig.agent._objects) == 0

    def let_workers_finish(self) -> None:
        for key in sorted(self.fetching):
            self.arrive(key, comes=True)
        while self.forking:
            worker = self.forking.pop(0)
            self.alive.append(worker)
            self.obey(self.rig.do(WorkerForked(worker, worker)))
        for worker in list(self.tasks):
            while worker in self.tasks and worker not in self.signalled:
                self.deliver(worker)
        for worker in sorted(self.signalled):
            self.bury(worker)


TestAgent = AgentMachine.TestCase
TestAgent.settings = settings(settings.default, max_examples=80, stateful_step_count=50)

"""The head's belief about objects against nodes that truly hold them, over random histories with every fault.

The model knows what each node has in its store: what attempts made there and what it fetched; it loses all with its
process, and single objects on FORGET. After each step: the invariants of core/invariants.py; what a node is given to
work on names the objects that stand in the log, and only nodes that are there; nothing is forgotten that a task waits
for or that the head has yet to get, unless the head has it; one accepted result per task, whatever is made anew; the
journal gives the state again. At the end every run is over, what it keeps was kept or told to be lost, and neither the
head nor any node has anything left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.objects import Copies
from maze_head.core.settings import Settings
from maze_head.core.transitions import READY, WAITING
from maze_protocol.events import SEALING, ObjectGone, ObjectLost, ObjectRebuilt, OutputKept, TaskFinished
from maze_protocol.messages import CRASHED, FAILED, HELD_RUNNING, Drain, Forget, Goodbye, Holding, Starved
from maze_protocol.resources import Capacity
from maze_protocol.values import ObjectRef
from support.head_core import Head, add, ended, held, large, ok, raw, same_knowledge

NAMES = ("a", "b", "c")
TTL = 50.0
Id = tuple[int, int]
"""Lease and output."""


@dataclass
class Store:
    """One process of a node."""

    link: bytes
    incarnation: int
    has: dict[Id, None] = field(default_factory=dict)
    leases: dict[int, tuple[int, int]] = field(default_factory=dict)
    """What it works on: run and task, by lease."""
    telling: bool = True
    """It has yet to tell the whole of what it holds."""


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[list[int]], set[int], set[int], set[int]]:
    """Draw what each task needs, and which make objects, are kept, or may be started once only."""
    size = draw(st.integers(2, 6))
    before = [
        sorted(draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=2))) if number else []
        for number in range(size)
    ]
    some = st.sets(st.integers(0, size - 1), max_size=2)
    makes = set(range(size)) - draw(some)
    return before, makes, draw(some), draw(st.just(set()) | some)


class HeadObjectsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        limits = Settings(crash_budget=2, node_loss_budget=2, quarantine=False, reserve_after=1e9, object_ttl=TTL)
        self.head = Head(limits)
        self.stores: dict[str, Store] = {}
        self.makes: dict[int, set[int]] = {}
        self.makers: dict[tuple[int, int], int] = {}
        """The lease whose objects of a task stand in the log."""
        self.accepts: set[tuple[int, int]] = set()
        self.kept: set[tuple[int, int]] = set()
        self.gone: set[tuple[int, int]] = set()
        self.sealed: set[int] = set()
        self.sinks: set[tuple[int, int]] = set()
        """Tasks whose objects the head is to have."""
        self.inputs: dict[int, list[Id]] = {}
        """Objects that are inputs, by lease."""
        self.origins: dict[int, tuple[int, int]] = {}
        """Run and task of each lease."""
        self.orders: list[fx.KeepObject] = []
        self.links = self.incarnations = 0

    # -- runs ------------------------------------------------------------------------------------------------------

    @initialize(graph=graphs())
    def first_run(self, graph: tuple[list[list[int]], set[int], set[int], set[int]]) -> None:
        self.node_starts("a", 3)
        self.submit(graph, False)

    @precondition(lambda self: len(self.makes) < 3)
    @rule(graph=graphs(), fail_fast=st.booleans())
    def submit(self, graph: tuple[list[list[int]], set[int], set[int], set[int]], fail_fast: bool) -> None:
        before, makes, keeps, once = graph
        no = len(self.makes) + 1
        ops = [
            add(number, *sources, keep=number in keeps, at_most_once=number in once)
            for number, sources in enumerate(before)
        ]
        self.makes[no] = makes
        needed = {source for sources in before for source in sources}
        self.sinks |= {(no, number) for number in range(len(before)) if number in keeps or number not in needed}
        self.head.workflow(*ops, workflow_id=raw(1000 + no))
        self.head.run(raw(2000 + no), raw(1000 + no), fail_fast=fail_fast)
        self.look()

    @precondition(lambda self: len(self.accepts) > 3)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(list(self.makes)))
        if raw(2000 + number) in self.head.core.state.run_numbers:
            self.head.ask(ev.CancelRun, raw(2000 + number))
            self.look()

    @precondition(lambda self: self.sealed - set(self.head.core.state.runs))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        over = [no for no in sorted(self.sealed) if raw(2000 + no) in self.head.core.state.run_numbers]
        if over:
            self.head.ask(ev.RemoveRun, raw(2000 + data.draw(st.sampled_from(over))))
            self.look()

    # -- nodes -----------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), cpu=st.integers(1, 3))
    def node_starts(self, name: str, cpu: int) -> None:
        self.incarnations += 1
        self._greet(name, Store(b"", self.incarnations), cpu)

    @precondition(lambda self: any(self._needed(store) for store in self.stores.values()))
    @rule(data=st.data())
    def a_node_dies_with_what_somebody_needs(self, data: st.DataObject) -> None:
        self.node_starts(data.draw(st.sampled_from([n for n, each in self.stores.items() if self._needed(each)])), 3)

    def _needed(self, store: Store) -> bool:
        return any(copies.run_no in self.head.core.state.runs for copies in self._known(store))

    def _known(self, store: Store) -> list[Copies]:
        made = self.head.core.state.objects.made
        return [made[lease] for lease, _ in store.has if lease in made]

    @precondition(lambda self: self.stores)
    @rule(data=st.data())
    def node_returns(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.stores)))
        self._greet(name, self.stores[name], 3)

    def _greet(self, name: str, store: Store, cpu: int) -> None:
        self.links += 1
        store.link, store.telling = b"%d" % self.links, True
        self.stores[name] = store
        known = self.head.core.state.nodes.get(name)
        capacity = known.hello.capacity if known is not None and not known.gone else Capacity(cpu * 1000, 1024, (), 4)
        self.head.greet(
            store.link, name, store.incarnation, capacity=capacity, minor=3, peer_endpoint=f"tcp://{name}",
            inventory=tuple(held(lease, HELD_RUNNING) for lease in sorted(store.leases)),
        )  # fmt: skip
        for admit in self.head.take(fx.Admit):
            names = dict(admit.welcome.keep)
            store.leases = {names[lease]: task for lease, task in store.leases.items() if lease in names}
            for lease, new in names.items():
                self.origins[new], self.inputs[new] = self.origins[lease], self.inputs[lease]
        self.look()

    @precondition(lambda self: any(store.telling for store in self.stores.values()))
    @rule(data=st.data(), in_parts=st.booleans())
    def node_tells_what_it_holds(self, data: st.DataObject, in_parts: bool) -> None:
        name = data.draw(st.sampled_from([name for name, store in self.stores.items() if store.telling]))
        store = self.stores[name]
        store.telling = False
        if in_parts:
            self.head.say(Holding(tuple(store.has)[:1]), store.link)
        self.head.say(Holding(tuple(store.has)[1 if in_parts else 0 :], whole=True), store.link)
        self.look()

    @precondition(lambda self: self.stores)
    @rule(data=st.data())
    def link_breaks(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.stores)))
        self.head.do(ev.LinkLost(self.stores[name].link, "its queue is full"))
        self.look()

    @rule(seconds=st.sampled_from((0.5, 1.0, 2.5, 8.0, 30.0)), hear=st.booleans())
    def time_passes(self, seconds: float, hear: bool) -> None:
        self.head.mono += seconds
        for store in self.stores.values() if hear else ():
            self.head.beat(store.link)
        self.head.do(ev.Ticked())
        self.look()

    @precondition(lambda self: self.stores)
    @rule(data=st.data(), how=st.sampled_from((Drain, Goodbye)))
    def node_leaves(self, data: st.DataObject, how: type[Drain | Goodbye]) -> None:
        name = data.draw(st.sampled_from(list(self.stores)))
        self.head.say(how(), self.stores[name].link)
        if how is Goodbye:
            del self.stores[name]
        self.look()

    @precondition(lambda self: len(self.stores) > 1 and any(store.has for store in self.stores.values()))
    @rule(data=st.data())
    def copy_arrives(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from([name for name, store in self.stores.items() if store.has]))
        target = self.stores[data.draw(st.sampled_from(list(self.stores)))]
        object_ = data.draw(st.sampled_from(list(self.stores[source].has)))
        target.has[object_] = None
        self.head.say(Holding((object_,)), target.link)
        self.look()

    # -- attempts --------------------------------------------------------------------------------------------------

    @precondition(lambda self: any(store.leases for store in self.stores.values()))
    @rule(data=st.data(), how=st.sampled_from(("ok", "ok", "ok", "ok", "fail", "crash", "other", "start", "starve")))
    def attempt_moves(self, data: st.DataObject, how: str) -> None:
        name = data.draw(st.sampled_from([name for name, store in self.stores.items() if store.leases]))
        store = self.stores[name]
        self._move(store, data.draw(st.sampled_from(list(store.leases))), how)

    def _move(self, store: Store, lease: int, how: str) -> None:
        no, task = store.leases[lease]
        if how == "start":
            self.head.started(lease, link=store.link)
        elif how == "starve":
            del store.leases[lease]
            self.head.say(Starved(lease, tuple(self._missing(lease, store)), "nobody answers"), store.link)
        else:
            del store.leases[lease]
            bulky = (task in self.makes[no]) is (how == "ok")
            if how in ("ok", "other"):
                if bulky:
                    store.has[lease, 0] = None
                self.head.result(large(lease) if bulky else ok(lease), link=store.link)
            else:
                status = FAILED if how == "fail" else CRASHED
                self.head.result(ended(lease, status, "user" if how == "fail" else "crash"), link=store.link)
        self.look()

    def _missing(self, lease: int, store: Store) -> list[Id]:
        return [object_ for object_ in self.inputs[lease] if object_ not in store.has]

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def head_gets_an_object_or_not(self, data: st.DataObject) -> None:
        order = self.orders.pop(data.draw(st.integers(0, len(self.orders) - 1)))
        self._answer(order)

    def _answer(self, order: fx.KeepObject) -> None:
        no, task, output, ref = order.run_no, order.task_no, order.output, order.ref
        holders = [self.stores[name] for name, _, _ in ref.holders if name in self.stores]
        if any((ref.lease, output) in store.has for store in holders):
            self.head.do(ev.ObjectKept(no, task, output, ref.size, ref.crc))
        else:
            self.head.do(ev.ObjectUnkept(no, task, output, "nobody has it"))
        self.look()

    # -- the head --------------------------------------------------------------------------------------------------

    @rule()
    def head_dies(self) -> None:
        assert same_knowledge(self.head)
        self.head = self.head.recover()
        self.orders.clear()
        self.look()

    # -- what must hold --------------------------------------------------------------------------------------------

    def look(self) -> None:
        effects = list(self.head.effects)
        for effect in effects:
            if isinstance(effect, fx.Append):
                self._read(effect)
        for effect in effects:
            if isinstance(effect, fx.AssignTask):
                self._assigned(effect)
            elif isinstance(effect, fx.Accept):
                assert (effect.run_no, effect.task_no) not in self.accepts, "two accepted results (I1)"
                self.accepts.add((effect.run_no, effect.task_no))
            elif isinstance(effect, fx.KeepObject):
                self.orders.append(effect)
            elif isinstance(effect, fx.Send) and isinstance(effect.message, Forget):
                self._forgotten(effect.link, effect.message)
        self.head.forget()

    def _read(self, append: fx.Append) -> None:
        no = append.run_no
        for event in append.events:
            assert no not in self.sealed, "something after the seal (I8)"
            if isinstance(event, TaskFinished) and event.node:
                self.makers[no, event.task] = event.lease
            elif isinstance(event, ObjectRebuilt):
                assert (no, event.task) in self.accepts, "made anew before there was anything"
                self.makers[no, event.task] = event.lease
            elif isinstance(event, ObjectLost):
                assert (no, event.task) in self.makers, "lost before it was made"
            elif isinstance(event, OutputKept):
                self.kept.add((no, event.task))
            elif isinstance(event, ObjectGone):
                self.gone |= {(no, event.task) for _ in event.outputs}
            elif isinstance(event, SEALING):
                self.sealed.add(no)

    def _assigned(self, effect: fx.AssignTask) -> None:
        name, store = next((name, store) for name, store in self.stores.items() if store.link == effect.link)
        no = int.from_bytes(effect.assignment.run, "big") - 2000
        task = int.from_bytes(effect.assignment.task, "big")
        lease = effect.assignment.lease
        store.leases[lease] = self.origins[lease] = no, task
        self.inputs[lease] = []
        for _, _, sources in effect.inputs:
            for source in sources:
                if source.ref is not None:
                    self._named(name, no, source.task_no, source.ref)
                    self.inputs[lease].append((source.ref.lease, source.ref.output))

    def _named(self, name: str, no: int, task: int, ref: ObjectRef) -> None:
        assert ref.lease == self.makers[no, task], "an object by a name that stands no more"
        part = self.head.core.state.objects.made[ref.lease].parts[ref.output]
        *holders, (head, _, _) = ref.holders
        assert head == "", "whoever gives nothing: the head is asked last"
        endpoints = {f"tcp://{each}" for each in self.stores}
        assert all(endpoint in endpoints for endpoint, _, _ in holders), "a holder that is not there"
        assert holders or name in part.holders or (no, task) in self.kept, "an object that nobody has"

    def _forgotten(self, link: bytes, message: Forget) -> None:
        store = next((store for store in self.stores.values() if store.link == link), None)
        for lease in message.leases:
            for key, maker in self.makers.items():
                if maker == lease and store is not None and (lease, 0) in store.has:
                    self._check_forgotten(key)
            if store is not None:
                store.has = {object_: None for object_ in store.has if object_[0] != lease}

    def _check_forgotten(self, key: tuple[int, int]) -> None:
        """What goes is kept, or nobody waits for it, or nobody believes any more that it is there."""
        no, task = key
        run = self.head.core.state.runs.get(no)
        if run is None or key in self.kept or key in self.gone or task in run.objects.lost:
            return
        waiting = [there for there in run.graph.after(task) if run.phase[there] in (WAITING, READY)]
        assert not waiting, f"run {no} task {task}: forgotten while {waiting} need it"
        assert task not in run.objects.unkept, f"run {no} task {task}: forgotten before the head has it"

    def teardown(self) -> None:
        """After the faults stop every run ends, and what it leaves behind is kept or told to be gone."""
        for name in NAMES:
            self.node_starts(name, 3)
        for _ in range(400):
            for store in self.stores.values():
                if store.telling:
                    store.telling = False
                    self.head.say(Holding(tuple(store.has), whole=True), store.link)
                    self.look()
            if not self.head.core.state.runs:
                break
            self._work()
            self.time_passes(1.0, True)
        assert not self.head.core.state.runs, "a run does not end (I14)"
        self._check_kept()
        for _ in range(4):
            self.time_passes(TTL / 2, False)
            for name, store in self.stores.items():
                self._greet(name, store, 3)
                self.head.say(Holding(tuple(store.has), whole=True), store.link)
                self.look()
        objects = self.head.core.state.objects
        tables = objects.made, objects.of_task, objects.of_run, objects.of_node, objects.owed
        assert not any(tables), "the head has something left"
        assert not any(store.has for store in self.stores.values()), "a node has something left"

    def _work(self) -> None:
        for store in list(self.stores.values()):
            for lease in list(store.leases):
                if lease in store.leases:
                    missing = [
                        object_ for object_ in self._missing(lease, store) if self.origins[object_[0]] not in self.kept
                    ]
                    sources = [other for other in self.stores.values() if all(each in other.has for each in missing)]
                    self._move(store, lease, "ok" if sources else "starve")
        while self.orders:
            self._answer(self.orders.pop())

    def _check_kept(self) -> None:
        for key in self.sinks & set(self.makers):
            assert key in self.kept | self.gone, f"run {key[0]} task {key[1]}: nobody has kept what it made"


TestHeadObjects = HeadObjectsMachine.TestCase
TestHeadObjects.settings = settings(max_examples=100, stateful_step_count=40)

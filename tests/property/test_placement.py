"""Placement against a brute-force oracle, over random histories of nodes, capacities and tasks.

After each step:
* of no resource, and of no device, more is given than there is; where a capacity shrank under what runs, nothing new is
  given of it (support/grants.py, and again by the oracle's own sums);
* whole devices have one user, a share sits on one device, and every attempt was given exactly what its task asks for;
* a task is left waiting only if it fits on no node that takes work, tried the slow way, or if a stated policy holds it:
  one that failed on a node waits up to 2 s for another node that could take it;
* the ledgers add up, hence show zero use when idle (core/invariants.py); at the end whole nodes are given away again.

Who holds what and which nodes take work is the core's word here: test_head_core.py holds it to those.

Mutants tried by hand, each caught within the 150 histories of the default profile:
* forgotten releases (a claim, the memory of a device), a ledger that forgets who is there when a capacity changes;
* a resource not looked at (memory, workers, a device's memory, Python), a device too many or too few, a whole device
  that others use or that is too small, or whose memory is left to others;
* room gained and not noticed (an attempt's end, a larger capacity), a shape that blocks the others, a node chosen by
  what it had free before;
* an adopted attempt put on a device that vanished, a task that shuns a node for ever.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.state import Settings
from maze_head.core.transitions import READY, RUNNING
from maze_protocol.http import CodeBody, InputBody
from maze_protocol.messages import (
    CRASHED,
    FAILED,
    HELD_LEASED,
    HELD_RUNNING,
    Drain,
    Goodbye,
    Held,
    Measured,
    Release,
)  # fmt: skip
from maze_protocol.resources import Capacity, Device
from support.head_core import Head, add, ended, held, ok, raw, tid
from support.placement_oracle import Given, Place, Want, check_claim, given_of, want_of

NAMES = ("a", "b", "c")
PYTHONS = (11, 12)
SHUN_SECONDS = 2.0
MOST_RUNS = 6
WHOLE = Capacity(64_000, 64_000, tuple(Device(index, 24_000) for index in range(4)), 64)
"""Of a node on which everything fits."""


def _code(kind: str, minor: int) -> CodeBody:
    source = f"a {kind} for 3.{minor}".encode()
    return CodeBody(hashlib.blake2b(source, digest_size=16).hexdigest(), kind, (3, minor), source, "f")


CODES = {(3, 11): _code("pickle", 11), (3, 12): _code("pickle", 12), None: _code("source", 11)}

capacities = st.builds(
    lambda cpu, mem, devices, workers: Capacity(
        cpu, mem, tuple(Device(index, memory) for index, memory in devices.items()), workers
    ),
    st.sampled_from((1000, 1500, 2000, 4000)),
    st.sampled_from((0, 500, 1000, 2000)),
    st.dictionaries(st.integers(0, 3), st.sampled_from((0, 8000, 16000, 24000)), max_size=3),
    st.sampled_from((1, 2, 3, 8)),
)
requests = st.fixed_dictionaries(
    {
        "cpu": st.sampled_from((0.25, 0.5, 1, 1, 1.5, 2)),
        "cpu_mem": st.sampled_from((0, 0, 0, 100, 400, 1000)),
    }
).flatmap(lambda amounts: st.sampled_from(GPU_PARTS).map(lambda part: amounts | part))
GPU_PARTS: tuple[dict[str, float], ...] = (
    {},
    {},
    {},
    {"gpu": 0.25},
    {"gpu": 0.5},
    {"gpu": 0.7},
    {"gpu": 0.5, "gpu_mem": 6000},
    {"gpu_mem": 4000},
    {"gpu_mem": 8000},
    {"gpu_mem": 12000},
    {"gpu": 1},
    {"gpu": 1, "gpu_mem": 16000},
    {"gpu": 2},
    {"gpu": 2, "gpu_mem": 8000},
)
pythons = st.sampled_from((None, None, (3, 11), (3, 12)))


pythons = st.sampled_from((None, None, (3, 11), (3, 12)))
kinds = st.tuples(requests, pythons)
Kind = tuple[dict[str, float], tuple[int, int] | None]


@st.composite
def tasks(draw: st.DrawFn) -> list[tuple[int, list[int]]]:
    """Draw the tasks of a run: the number of its kind, and the tasks before it."""
    made = []
    for number in range(draw(st.integers(1, 7))):
        before = draw(st.sets(st.integers(0, number - 1), max_size=1)) if number else set()
        made.append((draw(st.integers(0, 11)), sorted(before)))
    return made


class PlacementMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.head = Head(Settings(crash_budget=3, node_loss_budget=3, quarantine=False))
        self.links = 0
        self.incarnations = 0
        self.runs = 0
        self.kinds: list[Kind] = []
        """Few in one history, so that tasks of one shape meet."""
        self.wants: dict[tuple[int, int], Want] = {}
        self.capacities: dict[str, Capacity] = {}
        """What each node has told last."""
        self.pythons: dict[str, int] = {}
        self.lives: dict[str, int] = {}
        """The newest incarnation of each node."""
        self.given: dict[int, Given] = {}
        """By lease in force, as the nodes were told."""
        self.ever_given: dict[int, Given] = {}
        self.shunning: dict[tuple[int, int], float] = {}
        """Since when a task could start on a node that it failed on, and waits for another one."""

    @property
    def state(self) -> Any:
        return self.head.core.state

    # -- runs ------------------------------------------------------------------------------------------------------

    @initialize(capacity=capacities, kinds=st.lists(kinds, min_size=2, max_size=5), tasks=tasks())
    def begin(self, capacity: Capacity, kinds: list[Kind], tasks: Any) -> None:
        self.kinds = kinds
        self.node_starts("a", capacity, 11)
        self.submit(tasks)

    @precondition(lambda self: self.runs < MOST_RUNS)
    @rule(tasks=tasks())
    def submit(self, tasks: Any) -> None:
        self._submit([(*self.kinds[kind % len(self.kinds)], before) for kind, before in tasks])

    def _submit(self, tasks: list[tuple[dict[str, float], tuple[int, int] | None, list[int]]]) -> None:
        self.runs += 1
        ops = []
        for number, (resources, python, before) in enumerate(tasks):
            inputs = {f"x{source}": InputBody(source=f"{tid(source)}.output.y") for source in before}
            ops.append(add(number, inputs=inputs, resources=resources, code=CODES[python].hash))
            self.wants[self.runs, number] = want_of(resources, python)
        workflow_id = raw(1000 + self.runs)
        self.head.workflow(*ops, workflow_id=workflow_id, codes=list(CODES.values()))
        self.head.run(raw(2000 + self.runs), workflow_id)
        self.look()

    @precondition(lambda self: self.state.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        no = data.draw(st.sampled_from(list(self.state.runs)))
        self.head.ask(ev.CancelRun, raw(2000 + no))
        self.look()

    # -- nodes -----------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), capacity=capacities, minor=st.sampled_from(PYTHONS))
    def node_starts(self, name: str, capacity: Capacity, minor: int) -> None:
        self.incarnations += 1
        self.pythons[name] = minor
        self._greet(name, capacity, self.incarnations)

    @precondition(lambda self: self.members())
    @rule(data=st.data(), capacity=st.none() | capacities)
    def node_returns(self, data: st.DataObject, capacity: Capacity | None) -> None:
        """The same process: it knows of some of its leases, and may have become larger or smaller meanwhile."""
        name = data.draw(st.sampled_from(self.members()))
        mine = list(self.state.nodes[name].leases)
        kept = data.draw(st.lists(st.sampled_from(mine), unique=True)) if mine else []
        inventory = [held(lease, self._held_state(lease)) for lease in kept]
        self._greet(name, capacity or self.capacities[name], self.lives[name], inventory)

    @precondition(lambda self: self.lost())
    @rule(data=st.data(), capacity=st.none() | capacities)
    def lost_node_returns(self, data: st.DataObject, capacity: Capacity | None) -> None:
        """It still runs what was given up: adopted if nobody has begun it again and there is room."""
        name = data.draw(st.sampled_from(self.lost()))
        mine = [token for token, lost in self.state.lost.items() if lost.holder == (name, self.lives[name])]
        again = data.draw(st.lists(st.sampled_from(mine), unique=True)) if mine else []
        inventory = [held(lease, HELD_RUNNING) for lease in again]
        self._greet(name, capacity or self.capacities[name], self.lives[name], inventory)

    @precondition(lambda self: self.reachable())
    @rule(data=st.data(), capacity=capacities, restart=st.booleans())
    def all_fall_silent_and_one_returns(self, data: st.DataObject, capacity: Capacity, restart: bool) -> None:
        """Rarely the outcome of the single steps: work that was given up, and that nobody has begun again."""
        for token in self.reachable():
            self._report(token, "start")
        self.time_passes(12.0, set())
        if restart:
            self.head_dies()
        self.lost_node_returns(data, capacity)

    @precondition(lambda self: self.reachable() and self.runs < MOST_RUNS)
    @rule(data=st.data(), seconds=st.sampled_from((1.0, 2.0)))
    def a_task_shuns_its_node(self, data: st.DataObject, seconds: float) -> None:
        """As rarely: it crashes, and the other node that could take it is busy."""
        token = data.draw(st.sampled_from(self.reachable()))
        lease = self.state.leases.current[token]
        want = self.wants[lease.run.no, lease.task]
        other = next(name for name in NAMES if name != lease.node.id)
        python = want.python or (3, 11)
        self.node_starts(other, msgspec.structs.replace(WHOLE, workers=1), python[1])
        self._submit([({"cpu": 8}, python, [])])
        if token in self.state.leases.current:
            self._report(token, "crash")
        self.time_passes(seconds, set(NAMES))

    def _greet(self, name: str, capacity: Capacity, incarnation: int, inventory: list[Held] | None = None) -> None:
        self.links += 1
        self.capacities[name], self.lives[name] = capacity, incarnation
        python = 3, self.pythons[name], 1
        facts = {"capacity": capacity, "python": python, "inventory": tuple(inventory or ())}
        self.head.greet(b"%d" % self.links, name, incarnation, **facts)
        (admit,) = self.head.take(fx.Admit)
        for old, new in admit.welcome.keep:
            self.ever_given[new] = self.ever_given[old]
        self.look()

    @precondition(lambda self: self.bound())
    @rule(data=st.data(), capacity=capacities)
    def capacity_changes(self, data: st.DataObject, capacity: Capacity) -> None:
        name = data.draw(st.sampled_from(self.bound()))
        self._resize(name, capacity)

    @precondition(lambda self: self.bound())
    @rule(data=st.data())
    def a_device_vanishes(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.bound()))
        had = self.capacities[name]
        self._resize(name, Capacity(had.cpu_milli, had.mem_mib, had.devices[1:], had.workers))

    def _resize(self, name: str, capacity: Capacity) -> None:
        self.capacities[name] = capacity
        self.head.say(Measured(capacity, "measured anew"), self.state.nodes[name].link)
        self.look()

    @precondition(lambda self: self.bound())
    @rule(data=st.data(), how=st.sampled_from(("drain", "leave", "break", "stall")))
    def node_stops(self, data: st.DataObject, how: str) -> None:
        link = self.state.nodes[data.draw(st.sampled_from(self.bound()))].link
        if how == "drain":
            self.head.say(Drain(), link)
        elif how == "leave":
            self.head.say(Goodbye(), link)
        else:
            self.head.do(ev.LinkLost(link, "disconnected" if how == "break" else "its queue is full"))
        self.look()

    @rule(
        seconds=st.sampled_from((0.5, 1.0, 1.5, 3.5, 12.0)),
        beating=st.just(set(NAMES)) | st.sets(st.sampled_from(NAMES)),
    )
    def time_passes(self, seconds: float, beating: set[str]) -> None:
        self.head.wait(seconds)
        self.look()
        for name in sorted(beating & set(self.bound())):
            self.head.beat(self.state.nodes[name].link)
            self.look()

    @rule()
    def head_dies(self) -> None:
        self.head = self.head.recover()
        self.look()

    def members(self) -> list[str]:
        return [node.id for node in self.state.nodes.values() if not node.gone]

    def lost(self) -> list[str]:
        return [name for name in self.capacities if name not in self.members()]

    def bound(self) -> list[str]:
        return [node.id for node in self.state.nodes.values() if node.link is not None]

    def _held_state(self, token: int) -> int:
        lease = self.state.leases.current[token]
        return HELD_RUNNING if lease.run.phase[lease.task] == RUNNING else HELD_LEASED

    # -- attempts --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.reachable())
    @rule(data=st.data(), how=st.sampled_from(("start", "ok", "ok", "ok", "fail", "crash", "crash", "release")))
    def attempt_moves(self, data: st.DataObject, how: str) -> None:
        self._report(data.draw(st.sampled_from(self.reachable())), how)

    def _report(self, token: int, how: str) -> None:
        link = self.state.leases.current[token].node.link
        if how == "start":
            self.head.started(token, link=link)
        elif how == "ok":
            self.head.result(ok(token), link=link)
        elif how == "fail":
            self.head.result(ended(token, FAILED, "user"), link=link)
        elif how == "crash":
            self.head.result(ended(token, CRASHED, "crash"), link=link)
        else:
            self.head.say(Release((token,)), link)
        self.look()

    def reachable(self) -> list[int]:
        return [token for token, lease in self.state.leases.current.items() if lease.node.link is not None]

    # -- what must hold --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take in the effects of a step, and judge."""
        told = [(effect.assignment, self.state.links[effect.link].id) for effect in self.head.take(fx.AssignTask)]
        self.head.forget()
        for assignment, name in told:
            self.ever_given[assignment.lease] = given_of(name, assignment.claim)
        current = self.state.leases.current
        self.given = {token: self.ever_given[token] for token in current}
        places = self._places()
        for assignment, name in told:
            lease = current[assignment.lease]
            new, want = self.given[lease.token], self.wants[lease.run.no, lease.task]
            assert lease.node.id == name, "another node was told than the one that holds it"
            assert want.python in (None, places[name].python), "given to another Python"
            assert not places[name].too_much(new), f"{new}: {name} has not got that much: {places[name].too_much(new)}"
            check_claim(want, new, places[name])
        for place in places.values():
            assert not place.shared_wholes(), f"{place} shares {place.shared_wholes()}"
        self._check_waiting(places)

    def _places(self) -> dict[str, Place]:
        places = {
            name: Place(name, self.capacities[name], (3, self.pythons[name]))
            for name, node in self.state.nodes.items()
            if not node.gone
        }
        for each in self.given.values():
            places[each.node].given.append(each)
        return places

    def _check_waiting(self, places: dict[str, Place]) -> None:
        working = [place for name, place in places.items() if self.state.nodes[name].takes_work]
        waiting = [(no, task) for no, run in self.state.runs.items() for task in self._ready(run)]
        for key in self.shunning.keys() - set(waiting):
            del self.shunning[key]
        for key in waiting:
            taking = [place.name for place in working if place.takes(self.wants[key])]
            assert not taking or self._is_held(key, taking, working), f"{self.wants[key]} waits, {taking} could take it"

    def _ready(self, run: Any) -> list[int]:
        return [task for task, phase in enumerate(run.phase) if phase == READY]

    def _is_held(self, key: tuple[int, int], taking: list[str], working: list[Place]) -> bool:
        """Tell whether a task that could start may wait: for another node than those it failed on, and not for long."""
        shunned = self.state.runs[key[0]].avoid.get(key[1], ())
        others = [place for place in working if place.name not in shunned and place.could_ever(self.wants[key])]
        if not others or not set(taking) <= set(shunned):
            return False
        return self.head.mono - self.shunning.setdefault(key, self.head.mono) < SHUN_SECONDS

    # -- the end ---------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Once there is a node for everything, everything ends; then all that there is can be given again."""
        for minor in PYTHONS:
            self.node_starts(f"z{minor}", WHOLE, minor)
        self.time_passes(SHUN_SECONDS, {"z11", "z12"})
        while self.state.runs:
            reachable = self.reachable()
            if reachable:
                self._report(reachable[0], "ok")
            else:
                self.time_passes(12.0, set())
                for minor in PYTHONS:
                    self.node_starts(f"z{minor}", WHOLE, minor)
        assert not self.given
        everything = [
            ({"cpu": 64, "cpu_mem": 64_000, "gpu": 4, "gpu_mem": 24_000}, (3, minor), []) for minor in PYTHONS
        ]
        self._submit(everything)
        assert sorted(each.node for each in self.given.values()) == ["z11", "z12"]


TestPlacement = PlacementMachine.TestCase
TestPlacement.settings = settings(max_examples=150, stateful_step_count=50)

"""Placement against a brute-force oracle, over random histories of nodes, capacities and tasks.

After each step:
* of no resource, and of no device, more is given than there is; where a capacity shrank under what runs, nothing new is
  given of it (support/grants.py, and again by the oracle's own sums);
* whole devices have one user, a share sits on one device, and every attempt was given exactly what its task asks for;
* labels, Python, the end of a node's time; tasks that keep apart; all nodes of a task, or none; no limit and no cap is
  crossed by what is given;
* a task is left waiting only if it fits on no nodes that take work, tried the slow way, or if a stated policy holds it:
  one that failed on a node waits up to 2 s for another node that could take it, one that follows another waits for its
  node, and none is put where room is kept for a task that has waited longer (which is kept for no other);
* explain has a reason for what waits, and never that there is room;
* the ledgers add up, hence show zero use when idle (core/invariants.py); at the end whole nodes are given away again.

Mutants tried by hand, each caught within the 150 histories of the default profile:
* forgotten releases (a claim, the memory of a device), a ledger that forgets who is there when a capacity changes;
* a resource not looked at (memory, workers, a device's memory, Python), a device too many or too few, a whole device
  that others use or that is too small, or whose memory is left to others;
* room gained and not noticed (an attempt's end, a larger capacity), a shape that blocks the others, a node chosen by
  what it had free before;
* an adopted attempt put on a device that vanished, a task that shuns a node for ever;
* a task of several nodes that gets one too few, or one twice, or whose other nodes are not given back; labels or
  company not looked at, tasks kept apart that need not be; a task that follows another and runs elsewhere, or waits for
  a node that is gone; limits and caps off by one, either way, a task of several nodes that counts once against a cap;
* room kept at once, or kept for ever.
"""

from __future__ import annotations

from math import inf
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from maze_head.core import events as ev
from maze_head.core.explain import explain
from maze_head.core.settings import Settings
from maze_head.core.transitions import READY, RUNNING
from maze_protocol.cluster import CapBody, LimitRequest, ProjectRequest
from maze_protocol.http import InputBody
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
from maze_protocol.resources import Capacity
from maze_protocol.waiting import Reason
from support.head_core import Head, add, ended, held, ok, raw, tid
from support.placement_draws import CODES, WHOLE, Kind, Task, capacities, kinds, labels, tasks
from support.placement_judge import RESERVE_AFTER, SHUN_SECONDS, Judge
from support.placement_oracle import want_of

NAMES = ("a", "b", "c")
PYTHONS = (11, 12)
ALL = tuple(f"z{minor}{number}" for minor in PYTHONS for number in range(6))
"""Nodes for everything."""
MOST_RUNS = 6
REASONS = {reason.value for reason in Reason} - {"over", "held", "run_cancelling", "waiting_inputs", "next"}
"""What may be said of a ready task that a pass has left where it is."""


class PlacementMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.head = Head(Settings(crash_budget=3, node_loss_budget=3, quarantine=False, reserve_after=RESERVE_AFTER))
        self.judge = Judge()
        self.links = 0
        self.incarnations = 0
        self.runs = 0
        self.kinds: list[Kind] = []
        """Few in one history, so that tasks of one shape meet."""
        self.lives: dict[str, int] = {}
        """The newest incarnation of each node."""

    @property
    def state(self) -> Any:
        return self.head.core.state

    # -- runs ------------------------------------------------------------------------------------------------------

    @initialize(
        capacity=capacities,
        kinds=st.lists(kinds, min_size=2, max_size=5),
        tasks=tasks(),
        caps=st.dictionaries(st.sampled_from(("", "p")), st.integers(1, 4)),
    )
    def begin(self, capacity: Capacity, kinds: list[Kind], tasks: Any, caps: dict[str, int]) -> None:
        self.kinds = kinds
        for project, most in caps.items():
            self.cap_is_set(project, most)
        self.node_starts("a", capacity, 11, {"disk": "ssd"}, 0.0)
        self.submit(tasks, "")

    @precondition(lambda self: self.runs < MOST_RUNS)
    @rule(tasks=tasks(), project=st.sampled_from(("", "", "p")))
    def submit(self, tasks: Any, project: str) -> None:
        self._submit([Task(self.kinds[kind % len(self.kinds)], *rest) for kind, *rest in tasks], project)

    def _submit(self, tasks: list[Task], project: str = "") -> None:
        self.runs += 1
        self.judge.projects[self.runs] = project
        ops = []
        for number, (kind, before, wishes_to_follow) in enumerate(tasks):
            follows = wishes_to_follow and kind.nodes == 1 and not kind.apart
            inputs = {f"x{source}": InputBody(source=f"{tid(source)}.output.y") for source in before}
            terms = {"require": kind.require, "apart": kind.apart, "nodes": kind.nodes, "limits": kind.limits}
            follow = {"same_node_as": tid(before[0])} if follows else {}
            code, timeout = CODES[kind.python].hash, kind.seconds
            given = {"resources": kind.resources, "code": code, "timeout": timeout, **terms, **follow}
            ops.append(add(number, inputs=inputs, **given))
            self.judge.wants[self.runs, number] = want_of(
                kind.resources, python=kind.python, require=tuple(kind.require.items()), apart=kind.apart,
                nodes=kind.nodes, limits=tuple(kind.limits.items()), seconds=kind.seconds,
                follows=before[0] if follows else None, run=self.runs,
            )  # fmt: skip
        workflow_id = raw(1000 + self.runs)
        self.head.workflow(*ops, workflow_id=workflow_id, codes=list(CODES.values()))
        self.head.run(raw(2000 + self.runs), workflow_id, project=project)
        self.look()

    @rule(name=st.sampled_from(("api", "db")), most=st.sampled_from((1, 2, 3)))
    def limit_is_set(self, name: str, most: int) -> None:
        self.judge.limits[name] = most
        self.head.ask(ev.SetLimit, name, LimitRequest(concurrency=most))
        self.look()

    @rule(project=st.sampled_from(("", "p")), most=st.sampled_from((1, 2, 4)))
    def cap_is_set(self, project: str, most: int) -> None:
        self.judge.caps[project] = most
        self.head.ask(ev.SetProject, project or "default", ProjectRequest(cap=CapBody(tasks=most)))
        self.look()

    @precondition(lambda self: self.state.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        no = data.draw(st.sampled_from(list(self.state.runs)))
        self.head.ask(ev.CancelRun, raw(2000 + no))
        self.look()

    # -- nodes -----------------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES),
        capacity=capacities,
        minor=st.sampled_from(PYTHONS),
        labels=labels,
        remaining=st.sampled_from((0.0, 0.0, 0.0, 15.0, 30.0)),
    )
    def node_starts(self, name: str, capacity: Capacity, minor: int, labels: dict[str, str], remaining: float) -> None:
        self.incarnations += 1
        self.judge.pythons[name], self.judge.labels[name] = minor, labels
        self.judge.leaves_at[name] = self.head.mono + remaining if remaining else inf
        self._greet(name, capacity, self.incarnations)

    @precondition(lambda self: self.members())
    @rule(data=st.data(), capacity=st.none() | capacities)
    def node_returns(self, data: st.DataObject, capacity: Capacity | None) -> None:
        """The same process: it knows of some of its leases, and may have become larger or smaller meanwhile."""
        name = data.draw(st.sampled_from(self.members()))
        mine = list(self.state.nodes[name].leases)
        kept = data.draw(st.lists(st.sampled_from(mine), unique=True)) if mine else []
        inventory = [held(lease, self._held_state(lease)) for lease in kept]
        self._greet(name, capacity or self.judge.capacities[name], self.lives[name], inventory)

    @precondition(lambda self: self.lost())
    @rule(data=st.data(), capacity=st.none() | capacities)
    def lost_node_returns(self, data: st.DataObject, capacity: Capacity | None) -> None:
        """It still runs what was given up: adopted if nobody has begun it again and there is room."""
        name = data.draw(st.sampled_from(self.lost()))
        mine = [token for token, lost in self.state.lost.items() if lost.holder == (name, self.lives[name])]
        again = data.draw(st.lists(st.sampled_from(mine), unique=True)) if mine else []
        inventory = [held(lease, HELD_RUNNING) for lease in again]
        self._greet(name, capacity or self.judge.capacities[name], self.lives[name], inventory)

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
        want = self.judge.wants[lease.run.no, lease.task]
        other = next(name for name in NAMES if name != lease.node.id)
        python = want.python or (3, 11)
        self.node_starts(other, msgspec.structs.replace(WHOLE, workers=1), python[1], {"disk": "ssd"}, 0.0)
        self._submit([Task(Kind({"cpu": 8}, python))])
        if token in self.state.leases.current:
            self._report(token, "crash")
        self.time_passes(seconds, set(NAMES))

    def _greet(self, name: str, capacity: Capacity, incarnation: int, inventory: list[Held] | None = None) -> None:
        self.links += 1
        self.judge.capacities[name], self.lives[name] = capacity, incarnation
        python = 3, self.judge.pythons[name], 1
        if self.judge.leaves_at[name] <= self.head.mono:
            self.judge.leaves_at[name] = inf  # it was given more time
        remaining = 0.0 if self.judge.leaves_at[name] == inf else self.judge.leaves_at[name] - self.head.mono
        facts = {"capacity": capacity, "python": python, "labels": self.judge.labels[name], "remaining": remaining}
        self.head.greet(b"%d" % self.links, name, incarnation, inventory=tuple(inventory or ()), **facts)
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
        had = self.judge.capacities[name]
        self._resize(name, Capacity(had.cpu_milli, had.mem_mib, had.devices[1:], had.workers))

    def _resize(self, name: str, capacity: Capacity) -> None:
        self.judge.capacities[name] = capacity
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
        self.judge.head_died()
        self.look()

    def members(self) -> list[str]:
        return [node.id for node in self.state.nodes.values() if not node.gone]

    def lost(self) -> list[str]:
        return [name for name in self.judge.capacities if name not in self.members()]

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
        """Have the step judged, and one task that was left waiting explained."""
        self.judge.look(self.head)
        for run in self.state.runs.values():
            task = run.phase.find(READY)
            if task >= 0:
                answer = explain(self.state, run, task)
                assert answer.code in REASONS, (answer, run.story(task))

    # -- the end ---------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Once there are nodes for everything, everything ends; then all that there is can be given again."""
        for name in self.judge.limits:
            self.limit_is_set(name, 100)
        for project in self.judge.caps:
            self.cap_is_set(project, 100)
        self._start_all()
        self.time_passes(SHUN_SECONDS, set(ALL))
        rounds = 0
        while self.state.runs:
            reachable = self.reachable()
            if reachable:
                self._report(reachable[0], "ok")
            else:
                rounds += 1
                assert rounds < 100, f"never over: {list(self.judge.waiting)} wait"
                self.time_passes(12.0, set())
                self._start_all()
        assert not self.judge.given
        self._start_all()
        everything = {"cpu": 64, "cpu_mem": 64_000, "gpu": 4, "gpu_mem": 24_000}
        self._submit([Task(Kind(everything, (3, minor), nodes=3)) for minor in PYTHONS])
        assert [len(parts) for parts in self.judge.given.values()] == [3, 3]

    def _start_all(self) -> None:
        for name in ALL:
            self.node_starts(name, WHOLE, int(name[1:3]), {"disk": "hdd" if name[3:] in "012" else "ssd"}, 0.0)


TestPlacement = PlacementMachine.TestCase
TestPlacement.settings = settings(max_examples=150, stateful_step_count=50)

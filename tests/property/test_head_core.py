"""The head's core against a plain-dict oracle, over random histories with every fault that reaches a core.

After each step: the invariants of core/invariants.py; every task's state as the oracle has it; verdicts as the oracle
says; logs gapless, start before finish, sealed last; at most one accepted result per task, under the lease in force
(I1, I2); no start after a cancel (I17); replaying the journal gives the state again (I19).

Mutants tried by hand, each caught within the 150 histories of the default profile:
* no fence (a result under a token out of force counts for a task's newer attempt): verdict differs from the oracle's;
* forgotten release (a lease ends without giving its claim back): `_check_room`, I6;
* a result accepted from another node (looked up among all leases, not the speaker's): verdict differs;
* also: room gained but not noticed, a budget off by one, a start after a cancel, work for a suspect node, a seal while
  a node still holds a task.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.critical import CriticalPath
from maze_head.core.discipline import Fcfs, MakeDiscipline
from maze_head.core.errors import Conflict
from maze_head.core.fold import fold
from maze_head.core.graph import load_graph
from maze_head.core.hacs import Hacs
from maze_head.core.settings import Settings
from maze_head.core.transitions import PHASE_NAMES
from maze_protocol.events import SEALING, Segment, TaskFinished, TaskStarted
from maze_protocol.http import InputBody
from maze_protocol.messages import (
    ACCEPTED,
    CRASHED,
    FAILED,
    HELD_DONE,
    HELD_LEASED,
    HELD_RUNNING,
    Drain,
    Goodbye,
    Release,
    ResultAck,
)  # fmt: skip
from maze_protocol.resources import Capacity
from support.head_core import Head, add, ended, held, ok, raw, same_knowledge, tid
from support.head_oracle import HELD, OPEN, Oracle

NAMES = ("a", "b", "c")
ENDS = {"fail": (FAILED, "user"), "crash": (CRASHED, "crash"), "lack": (FAILED, "memory")}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    size = draw(st.integers(1, 6))
    before = [sorted(draw(st.sets(st.integers(0, number - 1), max_size=2))) if number else [] for number in range(size)]
    return before, [draw(st.sampled_from((1, 1, 2))) for _ in range(size)]


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    """Draw tasks of which most wait for the one before them: short ones go early to its node."""
    size = draw(st.integers(3, 7))
    before = [[number - 1] if number and draw(st.integers(0, 5)) else [] for number in range(size)]
    return before, [1] * size


class HeadCoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # Small budgets, or few histories would ever spend one. Nobody waits so long that room is kept for it: then
        # others may wait although there is some (test_placement.py).
        self.head = Head(Settings(crash_budget=2, node_loss_budget=2, quarantine=False, reserve_after=1e9))
        self.oracle = Oracle(now=self.head.mono, crash_budget=2, loss_budget=2)
        self.links = 0
        self.incarnations = 0
        self.accepts: dict[tuple[int, int], int] = {}
        self.seq: dict[int, int] = {}
        self.begun: dict[int, set[tuple[int, int]]] = {}
        self.flows: dict[int, bytes] = {}
        """The workflow of each run."""
        self.wall_ms = 250.0
        """How long attempts take: if it is little, others queue behind them."""
        self.minor = 0
        """What nodes speak: from 5 on tasks may be leased to them early."""

    # -- runs ------------------------------------------------------------------------------------------------------

    @initialize(
        graph=graphs() | chains(),
        order=st.sampled_from((Fcfs, Hacs, CriticalPath)),
        wall_ms=st.sampled_from((1.0, 250.0)),
        minor=st.sampled_from((4, 5, 5)),
        cpu=st.integers(0, 2),
    )
    def first_run(
        self, graph: tuple[list[list[int]], list[int]], order: MakeDiscipline, wall_ms: float, minor: int, cpu: int
    ) -> None:
        self.head = Head(replace(self.head.settings, order=order))
        self.wall_ms, self.minor = wall_ms, minor
        if cpu:
            self.node_starts("a", cpu, 3)
        self.submit(graph, False)

    @precondition(lambda self: len(self.oracle.runs) < 4)
    @rule(graph=graphs() | chains(), fail_fast=st.booleans())
    def submit(self, graph: tuple[list[list[int]], list[int]], fail_fast: bool) -> None:
        before, cpus = graph
        no = len(self.oracle.runs) + 1
        ops = []
        for number, (sources, cpu) in enumerate(zip(before, cpus, strict=True)):
            inputs = {f"x{source}": InputBody(source=f"{tid(source)}.output.y") for source in sources}
            ops.append(add(number, inputs=inputs, resources={"cpu": cpu}))
        workflow_id = raw(1000 + no)
        self.head.workflow(*ops, workflow_id=workflow_id)
        self.oracle.submit(no, before, cpus, fail_fast=fail_fast)
        self.flows[no] = workflow_id
        self.head.run(raw(2000 + no), workflow_id, fail_fast=fail_fast)
        self.look()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        no = data.draw(st.sampled_from(list(self.oracle.runs)))
        self.oracle.cancel(no)
        self.head.ask(ev.CancelRun, raw(2000 + no))
        self.look()

    @precondition(lambda self: len(self.oracle.runs) < 6 and any(run.over for run in self.oracle.runs.values()))
    @rule(data=st.data(), reuse=st.booleans())
    def retry(self, data: st.DataObject, reuse: bool) -> None:
        earlier = data.draw(st.sampled_from([no for no, run in self.oracle.runs.items() if run.over]))
        no, view = len(self.oracle.runs) + 1, self._view(earlier)
        saved = self._saved(earlier)
        graph = load_graph(saved.workflow_id, saved.version, saved.body)
        told = view.run.submitted, view.run.next_seq - 1, graph, view.results() if reuse else ()
        made = view.made() if reuse else ()
        if reuse and set(self.oracle.states(earlier)) == {"finished"}:
            with pytest.raises(Conflict, match="every task"):
                self.head.ask(ev.RetryRun, raw(2000 + no), *told, from_failed=True)
            return
        self.flows[no] = self.flows[earlier]
        reused = self.oracle.retry(no, earlier, reuse=reuse)
        self.head.ask(ev.RetryRun, raw(2000 + no), *told, from_failed=reuse, made=made)
        copies = self.head.take(fx.CopyAccepted)
        assert [(copy.from_run_no, copy.run_no, sorted(copy.tasks)) for copy in copies] == (
            [(earlier, no, reused)] if reused else []
        )
        self.accepts |= {(no, task): self.accepts[earlier, task] for task in reused}
        self.look()

    # -- nodes -----------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), cpu=st.integers(1, 4), workers=st.integers(1, 3))
    def node_starts(self, name: str, cpu: int, workers: int) -> None:
        self.incarnations += 1
        self._greet(name, cpu, workers, self.incarnations, set())

    @precondition(lambda self: self.oracle.nodes)
    @rule(data=st.data())
    def node_returns(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.oracle.nodes)))
        node = self.oracle.nodes[name]
        mine = self.oracle.of(name)
        kept = set(data.draw(st.lists(st.sampled_from(mine), unique=True))) if mine else set()
        for lease in sorted(kept):  # a node hands back what it holds early together with what that follows
            if self.oracle.source_of(lease) not in (None, *kept):
                kept.remove(lease)
        self._greet(name, node.cpu, node.workers, node.incarnation, kept)

    @precondition(lambda self: self.oracle.parted)
    @rule(data=st.data())
    def lost_node_returns(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.oracle.parted)))
        mine = [lease for lease, loss in self.oracle.lost.items() if loss.node == name]
        again = set(data.draw(st.lists(st.sampled_from(mine), unique=True))) if mine else set()
        self._greet(name, *self.oracle.parted[name], set(), again)

    @precondition(lambda self: self.oracle.leases)
    @rule(data=st.data(), begin=st.booleans(), restart=st.booleans())
    def all_fall_silent_and_one_returns(self, data: st.DataObject, begin: bool, restart: bool) -> None:
        """Rarely the outcome of the single steps: work that was given up, and that nobody has begun again."""
        if begin:
            self.attempt_starts(data)
        self.time_passes(30.0)
        if restart:
            self.head_dies()
        self.lost_node_returns(data)

    def _greet(
        self, name: str, cpu: int, workers: int, incarnation: int, kept: set[int], again: Collection[int] = ()
    ) -> None:
        self.links += 1
        link = b"%d" % self.links
        claimed = [*self.oracle.all_leases[-3:], *again]
        strangers = [lease for lease in dict.fromkeys(claimed) if lease not in self.oracle.of(name)]
        inventory = tuple(
            held(lease, HELD_RUNNING if self._state_of(lease) == "running" else HELD_LEASED) for lease in sorted(kept)
        ) + tuple(held(lease, HELD_DONE) for lease in strangers)
        unheard = {lease: self.oracle.renamed(lease, name, incarnation, kept) for lease in strangers}
        later = {lease: new for lease, new in unheard.items() if new is not None}
        self.oracle.join(name, cpu, workers, incarnation, link, kept | set(later.values()))
        capacity = Capacity(cpu * 1000, 1024, (), workers)
        self.head.greet(link, name, incarnation, capacity=capacity, inventory=inventory, minor=self.minor)
        (admit,) = self.head.take(fx.Admit)
        renamed = dict(admit.welcome.keep)
        assert {old for old, new in renamed.items() if old == new} == kept
        for lease in strangers:
            if lease in later:
                assert renamed.pop(lease) == later[lease]
            elif self.oracle.adoptable(lease, name, incarnation):
                self.oracle.adopted(lease, renamed.pop(lease))
            else:
                assert lease in admit.welcome.drop
        assert renamed.keys() == kept
        self.look()

    def _state_of(self, lease: int) -> str:
        no, number = self.oracle.leases[lease]
        return self.oracle.runs[no].tasks[number].state

    @rule(data=st.data(), quick=st.booleans())
    def link_breaks(self, data: st.DataObject, quick: bool) -> None:
        link = self._link(data)
        self.oracle.cut(link, quick=quick)
        self.head.do(ev.LinkLost(link, "disconnected" if quick else "its queue is full"))
        self.look()

    @rule(seconds=st.sampled_from((0.25, 1.0, 2.5, 8.0, 30.0)))
    def time_passes(self, seconds: float) -> None:
        self.oracle.now += seconds
        self.oracle.tick()
        self.head.wait(seconds)
        self.look()

    @rule(data=st.data())
    def node_beats(self, data: st.DataObject) -> None:
        link = self._link(data)
        self.oracle.heard(link)
        self.head.beat(link)
        self.look()

    @rule(data=st.data())
    def node_drains(self, data: st.DataObject) -> None:
        link = self._link(data)
        self.oracle.heard(link)
        if (name := self.oracle.at(link)) is not None:
            self.oracle.nodes[name].draining = True
        self.head.say(Drain(), link)
        self.look()

    @rule(data=st.data())
    def node_leaves(self, data: st.DataObject) -> None:
        link = self._link(data)
        if (name := self.oracle.at(link)) is not None:
            self.oracle.leave(name)
        self.head.say(Goodbye(), link)
        self.look()

    # -- attempts --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.oracle.leases)
    @rule(data=st.data())
    def attempt_starts(self, data: st.DataObject) -> None:
        link, lease = self._held(data)
        self.oracle.heard(link)
        self.oracle.started(link, lease)
        self.head.started(lease, link=link)
        self.look()

    @precondition(lambda self: self.oracle.leases)
    @rule(data=st.data(), how=st.sampled_from(("ok", "ok", "ok", "fail", "crash", "crash", "lack", "lack")))
    def attempt_ends(self, data: st.DataObject, how: str) -> None:
        self._report(*self._held(data), how)

    @precondition(lambda self: self.oracle.leases)
    @rule(count=st.integers(1, 3))
    def attempts_end_well(self, count: int) -> None:
        """Several in a row, the oldest first: chains get nowhere by single steps."""
        for lease in list(self.oracle.leases)[:count]:
            no, number = self.oracle.leases[lease]
            link = self.oracle.nodes[self.oracle.runs[no].tasks[number].node].link
            self._report(link or b"?", lease, "ok")

    @precondition(lambda self: self.oracle.all_leases)
    @rule(data=st.data(), how=st.sampled_from(("ok", "fail", "crash", "lack")))
    def result_comes_late_or_twice(self, data: st.DataObject, how: str) -> None:
        self._report(self._link(data), data.draw(st.sampled_from(self.oracle.all_leases[-12:])), how)

    @precondition(lambda self: self.oracle.leases and len(self.oracle.nodes) > 1)
    @rule(data=st.data())
    def result_from_another_node(self, data: st.DataObject) -> None:
        _, lease = self._held(data)
        self._report(self._link(data), lease, "ok")

    @precondition(lambda self: self.oracle.leases)
    @rule(data=st.data())
    def attempt_is_released(self, data: st.DataObject) -> None:
        link, lease = self._held(data)
        self.oracle.heard(link)
        if self.oracle.at(link) is not None:
            self.oracle.release(lease)
        self.head.say(Release((lease,)), link)
        self.look()

    def _report(self, link: bytes, lease: int, how: str) -> None:
        self.oracle.heard(link)
        known = self.oracle.at(link) is not None
        expected = self.oracle.result(link, lease, how)
        outcome = ok(lease, wall_ms=self.wall_ms) if how == "ok" else ended(lease, *ENDS[how], peak_mib=100)
        self.head.result(outcome, link=link)
        acks = [send.message for send in self.head.take(fx.Send) if isinstance(send.message, ResultAck)]
        verdicts = [(item.lease, item.verdict == ACCEPTED) for ack in acks for item in ack.items]
        assert verdicts == ([(lease, expected)] if known else [])
        self.look()

    def _held(self, data: st.DataObject) -> tuple[bytes, int]:
        lease = data.draw(st.sampled_from(list(self.oracle.leases)))
        no, number = self.oracle.leases[lease]
        return self.oracle.nodes[self.oracle.runs[no].tasks[number].node].link or b"?", lease

    def _link(self, data: st.DataObject) -> bytes:
        links = [node.link for node in self.oracle.nodes.values() if node.link is not None]
        return data.draw(st.sampled_from([*links, b"0"]))

    # -- the head --------------------------------------------------------------------------------------------------

    @rule()
    def head_dies(self) -> None:
        assert same_knowledge(self.head)
        self.head = self.head.recover()
        self.oracle.now = self.head.mono
        self.oracle.restart()
        self.look()

    # -- what must hold --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take in the effects of a step."""
        for effect in self.head.effects:
            if isinstance(effect, fx.AssignTask):
                no = int.from_bytes(effect.assignment.run, "big") - 2000
                number = int.from_bytes(effect.assignment.task, "big")
                self._check_inputs(effect, self._before(no, number), no)
                self.oracle.assigned(no, number, effect.assignment.lease, effect.assignment.grant, effect.link)
            elif isinstance(effect, fx.Accept):
                assert (effect.run_no, effect.task_no) not in self.accepts, "two accepted results (I1)"
                self.accepts[effect.run_no, effect.task_no] = effect.lease
            elif isinstance(effect, fx.Append):
                self._read_log(effect)
        self.head.forget()
        self.oracle.check_no_room_unused()

    def _check_inputs(self, effect: fx.AssignTask, before: list[int], no: int) -> None:
        """What is there comes along, by reference; of what an early lease lacks it is told who makes it."""
        names, order = [f"x{source}" for source in before], effect.assignment
        if not order.after:
            assert [name for name, _, _ in effect.inputs] == names
            return
        assert self.minor >= 5, "early, to a node that knows nothing of it"
        (source,) = before
        assert order.after == self.oracle.runs[no].tasks[source].lease
        assert ([each.name for each in order.inputs], order.awaits) == (names, ((0, "y"),))

    def _before(self, no: int, number: int) -> list[int]:
        return self.oracle.runs[no].tasks[number].before

    def _read_log(self, append: fx.Append) -> None:
        no = append.run_no
        assert append.first_seq == self.seq.get(no, 0) + 1, "a gap in the log (I9)"
        self.seq[no] = append.first_seq + len(append.events) - 1
        for event in append.events:
            if isinstance(event, TaskStarted):
                self.begun.setdefault(no, set()).add((event.task, event.attempt))
            if isinstance(event, TaskFinished):
                assert (event.task, event.attempt) in self.begun.get(no, ()), "finished before it started (I9)"
                assert self.oracle.runs[no].tasks[event.task].lease == event.lease, "not the last lease (I2)"
        sealing = [event for event in append.events if isinstance(event, SEALING)]
        assert not sealing or append.events[-1] is sealing[0], "something after the seal (I8)"
        assert bool(sealing) == self.oracle.runs[no].over, "sealed when and only when all is over (I8)"

    @invariant()
    def tasks_are_as_the_oracle_says(self) -> None:
        state = self.head.core.state
        for no, run in self.oracle.runs.items():
            live = state.runs.get(no)
            assert (live is None) == run.over
            if live is not None:
                assert [PHASE_NAMES[phase] for phase in live.phase] == self.oracle.states(no)

    def teardown(self) -> None:
        """Readers see what the oracle says; after the faults stop, every run ends (I14)."""
        for no in self.oracle.runs:
            assert [task.status for task in self._view(no).tasks()] == self.oracle.states(no)
        self.node_starts("a", 4, 3)
        while self.oracle.leases:
            lease = next(iter(self.oracle.leases))
            no, number = self.oracle.leases[lease]
            node = self.oracle.nodes[self.oracle.runs[no].tasks[number].node]
            if node.link is None:
                self.time_passes(30.0)
                self.node_starts("a", 4, 3)
            else:
                self._report(node.link, lease, "ok")
        assert all(run.over for run in self.oracle.runs.values())
        assert not any(state in (*OPEN, *HELD) for no in self.oracle.runs for state in self.oracle.states(no))

    def _view(self, no: int):
        rows = self.head.journal
        segments = [row[1] for row in rows if isinstance(row, tuple) and row[0] == no and isinstance(row[1], Segment)]
        saved = self._saved(no)
        return fold(segments, load_graph(saved.workflow_id, saved.version, saved.body))

    def _saved(self, no: int) -> fx.SaveGraph:
        (saved,) = [
            row for row in self.head.journal if isinstance(row, fx.SaveGraph) and row.workflow_id == self.flows[no]
        ]
        return saved


TestHeadCore = HeadCoreMachine.TestCase
TestHeadCore.settings = settings(max_examples=150, stateful_step_count=50)

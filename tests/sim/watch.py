"""Who sees everything and says when a rule is broken. Every process of the world reports here.

Where each invariant of the plan is checked:
* I1-I5, I8, I9, I13, I17: at each durable batch, in history.py; I17 also at a node (nothing starts that was cancelled
  or dropped before).
* I6: after each turn of the head (core/invariants.py, support/grants.py), and at each start on a node, each device by
  itself; 0 when idle: `quiet`.
* I7: core/invariants.py; at each HELLO nothing that a node answers for is missing (`node_greets`); `quiet`.
* I10: `published`: only committed segments, word for word. I11: `acked` and `head_replayed`.
* I12: `head_scheduled`: no lease for a node that has been silent, drains, is quarantined or has no link; nor for one
  without the labels that a task requires, nor for other than as many nodes as it takes.
* I14, I15, I16: `quiet`, when faults have stopped: everything is over, nothing is left anywhere.
* I18: `head_began`, and `node_did` for what nodes obey. I19: `head_replayed`, and replay.py.
* I20: whatever else escapes ends the world.
* Gates (commit, then tell): `head_says` for ACK, ASSIGN, CANCEL and WELCOME.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maze_head.batch import Batch
from maze_head.core.effects import Admit, AssignTask
from maze_head.core.events import Event, Instant, LinkLost, NodeGreeted, NodeSaid, Ticked
from maze_head.core.invariants import check
from maze_head.core.leases import Lease
from maze_head.core.transitions import PHASE_NAMES
from maze_node.core.effects import Start
from maze_node.core.events import Event as NodeEvent
from maze_node.core.events import Instant as NodeInstant
from maze_node.core.events import Said, Welcomed
from maze_node.frames import TaskFrame
from maze_protocol.events import Segment
from maze_protocol.limits import HELLO_RETRY
from maze_protocol.messages import (
    ACCEPTED,
    OK,
    TYPE_OF,
    Assign,
    Cancel,
    Disconnect,
    Drain,
    Hello,
    Message,
    Rehello,
    Reject,
    Release,
    Result,
    ResultAck,
    RetryAfter,
    Welcome,
)  # fmt: skip
from maze_protocol.resources import Capacity, Claim
from maze_protocol.session import SessionState
from sim.history import BUDGETS, OPEN, OVER, History
from support.grants import Grants

HELLO = TYPE_OF[Hello].to_bytes(2, "big")
SLACK = 0.3
"""Ticks of the head come every quarter of a second."""


class Ledger:
    """What one agent process answers for, as its messages say."""

    def __init__(self) -> None:
        self.epoch = 0
        self.heard_at = 0.0
        self.told: dict[int, int] = {}
        """Outcomes that were told and not acknowledged: lease -> status."""
        self.started: set[int] = set()
        self.unwanted: set[int] = set()
        """Dropped or cancelled before they started."""


class Watch:
    """The judge."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.told_ok: set[int] = set()
        self.executions: dict[tuple[int, int], int] = {}
        self.epochs: list[int] = []
        self.acks: list[tuple[str, Any]] = []
        self.ledgers: dict[Any, Ledger] = {}
        self.history = self._new_history()
        self._changed = False
        """The head's core has done something in this turn."""
        self._heard: dict[bytes, float] = {}
        self._draining: set[bytes] = set()
        self._farewells: dict[bytes, float] = {}
        """When each link was told that it has no session."""
        self._official: Any = None
        self._grants: dict[Any, Grants] = {}

    def _new_history(self) -> History:
        steady = "clock_jump" not in self.world.knobs.faults
        return History(self.told_ok.__contains__, self.world.expected_output, steady=steady)

    # -- the disk

    def committed(self, batch: Batch) -> None:
        """Take in a batch that is durable now."""
        self.history.feed(batch)

    def recover(self, batches: list[Batch]) -> None:
        """Make the account agree with what is left on the disk after a crash."""
        if self.history.fed > len(batches):
            self.history = self._new_history()
        for batch in batches[self.history.fed :]:
            self.history.feed(batch)
        self.acks = [ack for ack in self.acks if self._holds(*ack)] if self.world.amnesia else self.acks

    # -- the head

    def head_began(self, epoch: int) -> None:
        """A head has come up."""
        assert not self.epochs or epoch > self.epochs[-1], f"I18: epoch {epoch} after {self.epochs[-1]}"
        self.epochs.append(epoch)
        self._heard.clear()
        self._draining.clear()

    def head_replayed(self, head: Any) -> None:
        """A head has read its journal: it must know exactly what the account knows (I19), and every promise (I11)."""
        self._official = head
        self._grants[head] = Grants()
        state = head.core.state
        self._grants[head].accept(state)
        for key in self.acks:
            assert self._holds(*key), f"I11: {key} was acknowledged and is gone"
        assert set(state.workflows) == self.history.workflows, "I19: other workflows than committed"
        assert state.run_numbers == self.history.numbers, "I19: other runs than committed"
        for no, run in self.history.runs.items():
            assert (no in state.sealed) == (run.sealed is not None), f"I19: run {no}, sealed {run.sealed}"
            if run.sealed is None:
                phases = [PHASE_NAMES[phase] for phase in state.runs[no].phase]
                assert [_plain(phase) for phase in phases] == [task.state for task in run.tasks], f"I19: run {no}"
                assert state.runs[no].next_seq == run.last_seq + 1, f"I19: run {no}"

    def head_hears(self, head: Any, event: Event, now: Instant) -> None:
        """Something comes to the core."""
        if isinstance(event, NodeSaid):
            self._heard[event.link] = now.mono
            if isinstance(event.message, Drain):
                self._draining.add(event.link)
        elif isinstance(event, NodeGreeted):
            self._heard[event.link] = now.mono
        elif isinstance(event, LinkLost):
            self._heard.pop(event.link, None)
        elif isinstance(event, Ticked) and event.stall > 0:
            self._heard = {link: at + event.stall for link, at in self._heard.items()}

    def head_did(self, head: Any, event: Event | None, effects: list[Any]) -> None:
        """The core has answered an event."""
        self._changed = self._changed or bool(effects)
        if event is None:  # it has put in force again what an earlier head gave, whatever its nodes have by now
            self._grants[head].accept(head.core.state)
        if isinstance(event, NodeGreeted):
            for effect in effects:
                if isinstance(effect, Admit):
                    self._check_welcome(head, event.hello, effect.welcome)

    def head_scheduled(self, head: Any, effects: list[Any], now: Instant) -> None:
        """The core has placed what it could."""
        if not effects and not self._changed:
            return
        self._changed = False
        check(head.core.state)
        self._grants[head].look(head.core.state)
        for effect in effects:
            if isinstance(effect, AssignTask):
                assert not head.core.state.read_only, "work is given out though the disk is full"
                heard_at = self._heard.get(effect.link)
                assert heard_at is not None, f"I12: work for a link without a node: {effect.link!r}"
                silence = now.mono - heard_at
                assert silence <= self.world.knobs.suspect_after + SLACK, f"I12: work for a node silent for {silence}"
                assert effect.link not in self._draining, "I12: work for a node that drains"
                node = head.core.state.links[effect.link]
                assert not node.quarantined, f"I12: work for {node.id}, which is to be left alone"
                _check_place(head.core.state.leases.current[effect.assignment.lease])

    def head_says(self, head: Any, link: bytes, message: Message) -> None:
        """Something leaves the head: all it tells must be committed (decisions, 1)."""
        history = self.history
        if isinstance(message, (Rehello, Disconnect, Reject, RetryAfter)):
            self._farewells[link] = head.mono()
        elif isinstance(message, ResultAck):
            for item in message.items:
                assert item.verdict != ACCEPTED or item.lease in history.ended, f"an ACK before its commit: {item}"
        elif isinstance(message, Assign):
            for assignment in message.items:
                assert assignment.lease in history.leased, f"an ASSIGN before its commit: {assignment.lease}"
        elif isinstance(message, Cancel):
            for lease in message.leases:
                run_no, _ = history.leased[lease]
                # An attempt is also stopped once it is given up because another one of its nodes was lost.
                stops = history.runs[run_no].halting or lease in history.ended
                assert stops, f"a CANCEL before its commit: {lease}"
        elif isinstance(message, Welcome):
            for _, lease in message.keep:
                assert lease in history.leased, f"a WELCOME keeps {lease} before its commit"

    def _check_welcome(self, head: Any, hello: Hello, welcome: Welcome) -> None:
        """Every lease of the inventory is kept or dropped, and kept only if it is in force and this node's."""
        kept = dict(welcome.keep)
        for held in hello.inventory:
            assert (held.lease in kept) != (held.lease in welcome.drop), f"neither kept nor dropped: {held}"
        for token in kept.values():
            lease = head.core.state.leases.current.get(token)
            assert lease is not None, f"a WELCOME keeps {token}, which is not in force"
            assert lease.node.id == hello.node_id, f"a WELCOME keeps {token}, which is another node's"

    def head_heard(self, head: Any, link: Any, frames: list[bytes]) -> None:
        """Frames came on a link: one that the head does not know must be told so, at most once per second."""
        now = head.mono()
        if link.session.state is SessionState.NEW and frames[0][4:6] != HELLO:
            silence = now - self._farewells.get(link.id, 0.0)
            assert silence <= HELLO_RETRY, f"a stranger is not told to say HELLO: {link.id!r}"

    def published(self, run_id: bytes, segment: Segment) -> None:
        """A segment is shown to readers."""
        run = self.history.runs.get(self.history.numbers.get(run_id, 0))
        assert run is not None, "I10: published before the run was committed"
        assert segment in run.segments[-3:], f"I10: published what is not committed: {segment}"
        self.world.reader.push(self.history.numbers[run_id], segment)

    def acked(self, kind: str, key: Any) -> None:
        """A client was told that something is done."""
        assert self._holds(kind, key), f"I11: acknowledged and not committed: {kind} {key}"
        self.acks.append((kind, key))

    def _holds(self, kind: str, key: Any) -> bool:
        history = self.history
        if kind == "workflow":
            return key in history.workflows
        if kind == "edit":
            return key in history.edits
        no = history.numbers.get(key)
        if kind == "run" or no is None:
            return no is not None
        return history.runs[no].cancelled or history.runs[no].sealed is not None

    def read(self, run_id: bytes, last_seq: int) -> None:
        """A client was told how far a run's log goes."""
        run = self.history.runs.get(self.history.numbers.get(run_id, 0))
        assert run is not None, "a read of a run that is not committed"
        assert last_seq <= run.last_seq, f"a dirty read: told {last_seq}, committed {run.last_seq}"

    # -- the nodes

    def node_began(self, node: Any) -> None:
        """An agent process starts."""
        self.ledgers[node] = Ledger()

    def node_died(self, node: Any) -> None:
        """An agent process is gone, and all it knew."""
        self.ledgers.pop(node, None)

    def node_hears(self, node: Any, event: NodeEvent, now: NodeInstant) -> None:
        """Something comes to an agent."""
        ledger = self.ledgers[node]
        if isinstance(event, Welcomed):
            if event.welcome.epoch >= ledger.epoch:
                ledger.heard_at = now.mono
                self._renew(ledger, event.welcome)
        elif isinstance(event, Said):
            ledger.heard_at = now.mono
            if isinstance(event.message, ResultAck):
                for item in event.message.items:
                    ledger.told.pop(item.lease, None)
            elif isinstance(event.message, Cancel):
                ledger.unwanted.update(lease for lease in event.message.leases if lease not in ledger.started)

    def _renew(self, ledger: Ledger, welcome: Welcome) -> None:
        """A session begins: some leases are dropped, others go on, perhaps under other tokens."""
        for lease in welcome.drop:
            ledger.told.pop(lease, None)
            ledger.unwanted.add(lease)
        for old, new in welcome.keep:
            if old != new and old in ledger.told:
                status = ledger.told[new] = ledger.told.pop(old)
                if status == OK:
                    self.told_ok.add(new)

    def node_says(self, node: Any, message: Message) -> None:
        """An agent speaks."""
        ledger = self.ledgers[node]
        if isinstance(message, Result):
            for outcome in message.items:
                ledger.told[outcome.lease] = outcome.status
                if outcome.status == OK:
                    self.told_ok.add(outcome.lease)
        elif isinstance(message, Release):
            for lease in message.leases:
                assert lease not in ledger.started, f"handed back as un-started though it ran: {lease}"
                ledger.unwanted.add(lease)

    def node_starts(self, node: Any, effect: Start, now: NodeInstant) -> None:
        """An agent has an attempt begun."""
        claims = [each.assignment.claim for each in node.agent._runner.leases.running()]
        used = sum(claim.cpu_milli for claim in claims)
        assert len(claims) == 1 or used <= node.capacity.cpu_milli, f"I6: {used} of {node.capacity.cpu_milli} in use"
        _check_devices(node.capacity, claims)

    def worker_begins(self, node: Any, frame: TaskFrame) -> None:
        """A worker of an agent begins an attempt, at once or by itself from its queue."""
        ledger, lease = self.ledgers[node], frame.lease
        silence = node.now.mono - ledger.heard_at
        assert silence <= self.world.knobs.lost_after, f"started behind the fence, after {silence} s without the head"
        assert lease not in ledger.started, f"started twice: {lease}"
        assert lease not in ledger.unwanted, f"I17: started though it was taken back: {lease}"
        ledger.started.add(lease)

    def task_began(self, node: Any, worker: int, frame: TaskFrame) -> int:
        """User code begins; return how often it has begun now."""
        place = self.history.leased.get(frame.lease)
        if place is None:
            return 1  # leased by a head that is not in office
        run_no, task = place
        run = self.history.runs[run_no]
        for source in run.before[task]:
            accepted = run.tasks[source].state == "finished" or run.tasks[source].rebuilding
            # What an early lease lacked was made here, under whatever lease, and is not told or not committed yet; or a
            # head took it whose word was nobody's truth, or refused it since the run stops.
            made_here = node.agent._runner.leases.get(frame.lease).assignment.after in node.agent._outbox
            excused = run.halting or self.world.forgetful
            assert accepted or made_here or excused, f"I4: {place} runs before {source} is accepted"
        count = self.executions[place] = self.executions.get(place, 0) + 1
        if run.once(task) and not self.world.forgetful:
            assert count == 1, f"{place} was begun {count} times though it may begin once only"
        return count

    def node_greets(self, node: Any, hello: Hello) -> None:
        """An agent introduces itself: it must still have every outcome that nobody has acknowledged."""
        held = {each.lease for each in hello.inventory}
        missing = [lease for lease in self.ledgers[node].told if lease not in held]
        assert not missing, f"I7: {node.name} forgot the outcomes of {missing}"

    def node_did(self, node: Any) -> None:
        """An agent has made a turn."""
        ledger, epoch = self.ledgers.get(node), node.agent.cluster[1]
        if ledger is not None:
            assert epoch >= ledger.epoch, f"I18: {node.name} obeys epoch {epoch} after {ledger.epoch}"
            ledger.epoch = epoch

    # -- the end

    def unfinished(self) -> list[str]:
        """Tell what is not over yet (I14, I15)."""
        left = [f"run {no} is open" for no, run in self.history.runs.items() if run.sealed is None]
        left += [
            f"run {key.hex()} is not there" for kind, key in self.acks if kind == "run" and not self._holds(kind, key)
        ]
        if self._official.core.state.objects.made:
            left.append("the head still knows objects")
        for node in self.world.nodes.values():
            if not node.process.alive:
                left.append(f"{node.name} is down")
                continue
            inventory = node.agent.inventory()
            if node.agent._objects:
                left.append(f"{node.name} still holds {len(node.agent._objects)} objects")
            left += [f"{node.name} still holds {held.lease}" for held in inventory]
        return left

    def quiet(self) -> None:
        """Judge the state in which everything came to rest."""
        state = self._official.core.state
        check(state)
        assert not state.leases.current, "I7: leases in force though everything is over"
        assert not state.runs, "I16: live runs though everything is over"
        for node in state.nodes.values():
            assert node.gone or node.ledger.attempts == 0, f"I6: {node.id} has claims though it is idle"
        for no, run in self.history.runs.items():
            for number, task in enumerate(run.tasks):
                assert task.state in OVER, f"I14: run {no} task {number} is {task.state}"
        if self.world.knobs.gentle:
            self._check_nothing_was_done_twice()

    def _check_nothing_was_done_twice(self) -> None:
        """While only the head fails, nodes go on with what they have, and nobody starts it again."""
        for (no, task), count in self.executions.items():
            run = self.history.runs[no]
            crashes = self.world.plan(run.name(task)).crashes
            allowed = min(crashes + 1, BUDGETS["crash"]) + run.graph.spec(task).retries
            assert count <= allowed, f"run {no} task {task} was begun {count} times though its node never failed"


def _check_place(lease: Lease) -> None:
    """A task is where it asked to be, with as many nodes as it asked for, each with its labels."""
    spec, places = lease.run.graph.spec(lease.task), [node for node, _ in lease.parts()]
    assert len({node.id for node in places}) == len(places) == spec.terms.nodes, f"given to {places}: {spec}"
    for node in places:
        assert node.takes_work, f"I12: {node.id} is a part of what is given, and takes no work"
        missing = [pair for pair in spec.terms.require if pair not in node.hello.labels.items()]
        assert not missing, f"{node.id} lacks {missing}: {spec}"


def _check_devices(capacity: Capacity, claims: Sequence[Claim]) -> None:
    """I6, at a node: no device has more users than it has room for."""
    for device in capacity.devices:
        parts = [part for claim in claims for part in claim.devices if part.index == device.index]
        milli, mem = sum(part.milli for part in parts), sum(part.mem_mib for part in parts)
        assert milli <= 1000, f"I6: {milli} thousandths of device {device.index} in use"
        assert mem <= device.mem_mib, f"I6: {mem} of {device.mem_mib} MiB of device {device.index} in use"
        assert len(parts) < 2 or all(part.milli < 1000 for part in parts), f"I6: whole device {device.index} is shared"


def _plain(phase: str) -> str:
    return OPEN if phase in ("waiting", "ready") else phase

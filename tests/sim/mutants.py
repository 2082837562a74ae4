"""Deliberate bugs, each of a kind that was made in some system before: the test of the simulator itself.

A mutant is a function that breaks the real modules in this process by a `Patch`, which puts everything back. Each must
be caught by the seeds of SEEDS; a simulator that lets one of them live proves nothing about the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Final

import msgspec

from maze_head import assign, driver
from maze_head.core import (
    backlog,
    dispatch,
    ends,
    fetching,
    fitness,
    inventory,
    losses,
    membership,
    objects,
    placement,
    recovery,
    results,
    scheduler,
)
from maze_head.core.allowances import Allowances
from maze_head.core.candidates import Rooms
from maze_head.core.effects import Reply
from maze_head.core.leases import Lease, Leases
from maze_head.core.ledger import Ledger
from maze_head.core.ledger import _DeviceState as type_of_device
from maze_head.core.made import RunObjects
from maze_head.core.nodes import Node
from maze_head.core.state import State
from maze_node.core.agent import Agent
from maze_node.core.ahead import Ahead
from maze_node.core.fence import Fence
from maze_node.core.outbox import Outbox
from maze_protocol.events import TaskFinished
from maze_protocol.ordering import Ordering, Verdict
from maze_protocol.resources import DeviceClaim
from maze_protocol.session import HeadSession
from sim.world import Report, run

SEEDS: Final = 200
FIRST: Final = {"no_recovery_grace": (430, 519)}
"""Seeds to begin with, for mutants that few worlds notice: one in three hundred for that one."""


class Patch:
    """Attributes replaced for a while."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace an attribute and return what was there."""
        before = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
        self._before.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        """Put everything back."""
        for owner, name, before in reversed(self._before):
            setattr(owner, name, before)
        self._before.clear()


Mutant = Callable[[Patch], None]
MUTANTS: Final[dict[str, Mutant]] = {}


def mutant(break_it: Mutant) -> Mutant:
    """List a mutant."""
    MUTANTS[break_it.__name__] = break_it
    return break_it


def hunt(name: str, seeds: int = SEEDS) -> Report | None:
    """Run seeds with a mutant until one catches it; None if none does."""
    patch = Patch()
    try:
        MUTANTS[name](patch)
        for seed in chain(FIRST.get(name, ()), range(seeds)):
            report = run(seed)
            if not report.ok:
                assert not report.confused, f"the mutant itself is broken: {report.problem}"
                return report
        return None
    finally:
        patch.undo()


# -- the fence


@mutant
def no_fence(patch: Patch) -> None:
    """A result under a token out of force counts for the task's newer attempt."""
    tokens: dict[int, tuple[Any, int]] = {}

    def granted(self: Leases, lease: Any, now: float) -> None:
        grant(self, lease, now)
        tokens[lease.token] = lease.run, lease.task

    def judged(state: State, node: Node, outcome: Any, payloads: Any) -> int:
        if outcome.lease not in node.leases and outcome.lease in tokens:
            place = tokens[outcome.lease]
            for lease in state.leases.current.values():
                if (lease.run, lease.task) == place:
                    newer = msgspec.structs.replace(outcome, lease=lease.token)
                    return int(judge(state, lease.node, newer, payloads))
        return int(judge(state, node, outcome, payloads))

    grant = patch.set(Leases, "grant", granted)
    judge = patch.set(results, "_judge", judged)


@mutant
def accept_from_another_node(patch: Patch) -> None:
    """Whoever names a lease in force may report its end."""

    def judged(state: State, node: Node, outcome: Any, payloads: Any) -> int:
        lease = state.leases.current.get(outcome.lease)
        return int(judge(state, node if lease is None else lease.node, outcome, payloads))

    judge = patch.set(results, "_judge", judged)


@mutant
def tokens_begin_anew(patch: Patch) -> None:
    """Leases of every life of the head are counted from the same epoch."""

    def made(self: Leases, epoch: int, *shared: Any) -> None:
        make(self, 1, *shared)

    make = patch.set(Leases, "__init__", made)


@mutant
def no_epoch_check(patch: Patch) -> None:
    """A node obeys a head that was replaced."""

    def welcomed(self: Agent, event: Any, now: Any) -> None:
        known = self._welcome
        if known is not None and known.epoch > event.welcome.epoch:
            self._welcome = msgspec.structs.replace(known, epoch=event.welcome.epoch)
        welcome(self, event, now)

    welcome = patch.set(Agent, "_on_welcome", welcomed)


@mutant
def start_behind_the_fence(patch: Patch) -> None:
    """A node starts tasks however long it has heard nothing of the head."""
    patch.set(Fence, "is_open", lambda self, mono: self._until is not None)


@mutant
def unknown_leases_are_kept(patch: Patch) -> None:
    """A returning node goes on with attempts that the head gave up."""

    def reconciled(state: State, node: Node, hello: Any) -> Any:
        return reconcile(state, node, hello)._replace(drop=())

    reconcile = patch.set(membership, "reconcile", reconciled)


# -- commit, then tell


@mutant
def ack_before_commit(patch: Patch) -> None:
    """RESULT_ACK does not wait for the accepted row."""
    make = results.Send
    patch.set(results, "Send", lambda link, message, free=True: make(link, message, free))


@mutant
def assign_before_commit(patch: Patch) -> None:
    """An assignment leaves before its lease is in the journal."""

    def closed(self: Any, effects: list[Any], now: Any) -> None:
        early = [effect for effect in effects if isinstance(effect, (dispatch.AssignTask, dispatch.SendCode))]
        if early:
            self._ports.release(early)
        close(self, [effect for effect in effects if effect not in early], now)

    close = patch.set(driver.Driver, "_close_turn", closed)


@mutant
def reply_before_commit(patch: Patch) -> None:
    """A client is answered while the batch is being written."""

    def closed(self: Any, effects: list[Any], now: Any) -> None:
        for effect in effects:
            if isinstance(effect, Reply):
                self._answer(effect)
        close(self, [effect for effect in effects if not isinstance(effect, Reply)], now)

    close = patch.set(driver.Driver, "_close_turn", closed)


@mutant
def publish_before_commit(patch: Patch) -> None:
    """Readers see events that a crash can undo."""

    def started(self: Any, ports: Any, effects: Any = ()) -> None:
        def submit(batch: Any, done: Any) -> None:
            ports.commit(batch)
            ports.submit(batch, done)

        early = driver.Ports(submit, lambda batch: None, ports.release, ports.tick)
        start(self, early, effects)

    start = patch.set(driver.Driver, "start", started)


# -- what must not be forgotten, or counted twice


@mutant
def fetch_once(patch: Patch) -> None:
    """Whoever needs a workflow that was put away again waits for the reading of the first time."""

    def brought(state: Any, event: Any) -> Any:
        waiting = bring(state, event)
        state.shelf.awaited[event.workflow_id] = list(waiting)
        return waiting

    bring = patch.set(fetching, "bring", brought)


@mutant
def forget_outbox(patch: Patch) -> None:
    """A node drops its unacknowledged results with the connection."""

    def lost(self: Agent, event: Any, now: Any) -> None:
        self._outbox._kept.clear()
        self._outbox.unsent.clear()
        lose(self, event, now)

    def made(self: Agent, *args: Any, **given: Any) -> None:
        make(self, *args, **given)
        self._on[type_of_loss] = lambda event, now: lost(self, event, now)

    from maze_node.core.events import LinkLost as type_of_loss

    lose = Agent._on_link_lost
    make = patch.set(Agent, "__init__", made)


@mutant
def send_results_once(patch: Patch) -> None:
    """A new session does not repeat what was never acknowledged."""
    patch.set(Outbox, "restart", lambda self: None)


@mutant
def keep_acknowledged_results(patch: Patch) -> None:
    """A node never lets go of a result."""
    patch.set(Outbox, "forget", lambda self, lease: None)


@mutant
def double_release(patch: Patch) -> None:
    """The end of a lease gives its claim back twice."""

    def ended(self: Leases, lease: Any, now: float) -> bool:
        last = end(self, lease, now)
        if last:
            lease.node.ledger.give_back(lease.claim)
        return last

    end = patch.set(Leases, "end", ended)


@mutant
def recovery_forgets_faults(patch: Patch) -> None:
    """Crashes are counted from zero again after a restart of the head."""

    def finished(state: State, *rest: Any) -> None:
        for each in state.runs.values():
            each.faults.clear()
        finish(state, *rest)

    finish = patch.set(recovery, "finish", finished)


@mutant
def no_crash_budget(patch: Patch) -> None:
    """A poison task is tried for ever."""
    patch.set(membership, "spent", lambda faults, error, budget: None)


@mutant
def recovery_forgets_leases(patch: Patch) -> None:
    """What an earlier head had leased is neither awaited nor tried again."""

    def finished(state: State, *rest: Any) -> None:
        for each in list(state.runs.values()):
            backlog.enqueue(state, each)

    patch.set(recovery, "finish", finished)


@mutant
def no_recovery_grace(patch: Patch) -> None:
    """A restarted head gives the nodes of the earlier one no time to come back."""

    def unheard(state: State, *rest: Any) -> Any:
        node = wait_for(state, *rest)
        node.liveness.doubt(state.now.mono)
        return node

    wait_for = patch.set(recovery, "_unheard", unheard)


@mutant
def recovery_interrupts(patch: Patch) -> None:
    """What runs while the head restarts is begun again."""

    def settled(state: State) -> None:
        state.nodes.clear()
        settle(state)

    settle = patch.set(recovery, "_settle_attempts", settled)


@mutant
def adopt_what_was_given_away(patch: Patch) -> None:
    """An attempt that was lost is adopted although its task has been leased anew."""
    patch.set(inventory, "_waits", lambda run, task, token: not run.halting)


@mutant
def begin_twice(patch: Patch) -> None:
    """A task that may begin once only is tried again as any other."""

    def granted(self: Leases, lease: Any, now: float) -> None:
        lease.once = False
        grant(self, lease, now)

    grant = patch.set(Leases, "grant", granted)


@mutant
def lost_cancel(patch: Patch) -> None:
    """A cancel is answered and not written down."""
    patch.set(scheduler.commands, "halt", lambda state, run, reason: None)


@mutant
def cancel_starts_anyway(patch: Patch) -> None:
    """A node that is told to stop an attempt still begins it."""

    def cancelled(self: Agent, message: Any, now: Any) -> None:
        running = [token for token in message.leases if (lease := self._runner.leases.get(token)) and lease.worker]
        cancel(self, msgspec.structs.replace(message, leases=tuple(running)), now)

    def made(self: Agent, *args: Any, **given: Any) -> None:
        make(self, *args, **given)
        self._on_message[membership.Cancel] = lambda message, now: cancelled(self, message, now)

    cancel = Agent._on_cancel
    make = patch.set(Agent, "__init__", made)


@mutant
def what_was_taken_back_is_not_missed(patch: Patch) -> None:
    """A node takes tasks back from a worker's queue and goes on waiting for their reports."""
    settle = patch.set(Ahead, "settle", lambda self, worker, tokens, now: settle(self, worker, (), now))


@mutant
def run_made_twice(patch: Patch) -> None:
    """A repeated submission makes another run."""

    def submitted(state: State, command: Any) -> Any:
        if command.run_id in state.run_numbers:
            number = state.run_numbers.pop(command.run_id)
            state.run_numbers[b"%016d" % number] = number
        return submit(state, command)

    submit = scheduler._COMMANDS[scheduler.events.SubmitRun]
    changed = {**scheduler._COMMANDS, scheduler.events.SubmitRun: submitted}
    patch.set(scheduler, "_COMMANDS", changed)


# -- who gets work, and what it is made of


def _overlook(patch: Patch, flag: str) -> None:
    """Let one reason not to give work to a node be overlooked."""

    def takes_work(self: Node) -> bool:
        before = getattr(self, flag)
        setattr(self, flag, False)
        try:
            return bool(rule.fget(self))
        finally:
            setattr(self, flag, before)

    rule = patch.set(Node, "takes_work", property(takes_work))


@mutant
def work_for_suspects(patch: Patch) -> None:
    """A silent node gets new work."""
    _overlook(patch, "suspected")


@mutant
def work_for_draining_nodes(patch: Patch) -> None:
    """A node that asked for no further work gets some."""
    _overlook(patch, "draining")


@mutant
def inputs_mixed_up(patch: Patch) -> None:
    """Every input gets the output that was looked up first."""

    def value(self: Any, source: Any) -> Any:
        first = next(iter(self._packed_first), source) if hasattr(self, "_packed_first") else source
        self._packed_first = [first]
        return look(self, first)

    look = patch.set(assign._Message, "_value", value)


@mutant
def failed_sources_do_not_skip(patch: Patch) -> None:
    """What waits for a failed task waits for ever."""
    patch.set(ends, "_downstream", lambda run, failed: [])


@mutant
def quarantine_is_ignored(patch: Patch) -> None:
    """Nodes that cannot work get work all the same."""
    takes_work = property(lambda node: node.link is not None and not (node.gone or node.suspected or node.draining))
    patch.set(Node, "takes_work", takes_work)


# -- placement


@mutant
def device_memory_is_not_looked_at(patch: Patch) -> None:
    """A share goes to a device, whatever others have of its memory."""

    def shared(self: Ledger, request: Any) -> Any:
        free = [device for device in self.devices.values() if device.free_milli >= max(1, request.gpu_milli)]
        return [DeviceClaim(free[0].index, request.gpu_milli, request.gpu_mem_mib)] if free else None

    patch.set(Ledger, "_share", shared)


@mutant
def whole_devices_need_not_be_free(patch: Patch) -> None:
    """Who asks for a whole device gets one that others use."""

    def untouched(self: Any) -> bool:
        return bool(self.free_milli > 0)

    patch.set(type_of_device, "untouched", property(untouched))


@mutant
def other_nodes_of_a_task_are_not_given_back(patch: Patch) -> None:
    """The end of an attempt frees only the node that ran its code."""

    def ended(self: Leases, lease: Any, now: float) -> bool:
        parts = lease.gang
        last = end(self, lease, now)
        for node, claim in parts:
            node.ledger.take(claim)
        return last

    end = patch.set(Leases, "end", ended)


@mutant
def a_task_of_several_nodes_outlives_one_of_them(patch: Patch) -> None:
    """A member that is lost is not missed."""
    patch.set(membership, "_lose_member", lambda state, lease, node, reason: None)


@mutant
def a_new_capacity_is_not_taken_in(patch: Patch) -> None:
    """Room is counted as if the node still had what it once said."""
    patch.set(membership, "_refit", lambda state, node: state.gain(node))


@mutant
def labels_are_ignored(patch: Patch) -> None:
    """Any node will do."""
    patch.set(fitness, "_has", lambda labels, key, value: True)


@mutant
def limits_are_not_looked_at(patch: Patch) -> None:
    """Named limits hold nobody back."""
    patch.set(Allowances, "admits", lambda self, limits, now: True)


@mutant
def units_of_limits_are_not_given_back(patch: Patch) -> None:
    """What an attempt held of a limit stays held."""
    patch.set(Allowances, "give_back", lambda self, limits: None)


@mutant
def company_is_not_noted(patch: Patch) -> None:
    """Tasks that keep apart meet."""
    patch.set(placement, "bar", lambda state, node, queue, run, task: None)


@mutant
def room_that_grew_is_not_noticed(patch: Patch) -> None:
    """Who waits for room is not asked again when some is given back."""
    patch.set(Rooms, "gain", lambda self, node: None)


# -- objects


@mutant
def copies_outlive_their_node(patch: Patch) -> None:
    """What a lost node held is believed to be there still."""
    patch.set(membership, "drop_node", lambda state, node: [])


@mutant
def a_run_is_over_before_the_head_has_what_it_leaves(patch: Patch) -> None:
    """The objects of the last tasks stay on their nodes."""

    def finished(self: RunObjects, event: TaskFinished, *, keeps: bool) -> None:
        finish(self, event, keeps=False)

    finish = patch.set(RunObjects, "finished", finished)


@mutant
def nothing_is_forgotten(patch: Patch) -> None:
    """Nodes are not told what nobody needs any more."""
    patch.set(objects, "_tell", lambda state, by_node: None)


@mutant
def lost_objects_are_not_made_anew(patch: Patch) -> None:
    """Tasks wait for ever for what is on no node any more."""
    patch.set(losses, "_mend", lambda state, run, copies, needed_by: None)


# -- early leases


@mutant
def nobody_knows_what_follows_what(patch: Patch) -> None:
    """The results of early leases count whenever they come."""
    patch.set(Lease, "follow", lambda self, before: None)


# -- the wire


@mutant
def gaps_are_ignored(patch: Patch) -> None:
    """A lost message of the reliable class is not noticed."""

    def judged(self: Ordering, seq: int) -> Verdict:
        if seq > self._got + 1:
            self._got = seq
            return Verdict.NEW
        return Verdict(judge(self, seq))

    judge = patch.set(Ordering, "_judge_reliable", judged)


@mutant
def duplicates_are_delivered(patch: Patch) -> None:
    """A message that came twice is heard twice."""

    def judged(self: Ordering, seq: int) -> Verdict:
        verdict = judge(self, seq)
        return Verdict.NEW if verdict is Verdict.DUPLICATE else Verdict(verdict)

    judge = patch.set(Ordering, "_judge_reliable", judged)


@mutant
def no_rehello(patch: Patch) -> None:
    """A connection that the head does not know is not told so."""
    patch.set(HeadSession, "_answer_stranger", lambda self, now: [])

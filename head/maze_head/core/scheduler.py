"""The head's core: events in, effects out. No clock, no I/O, no randomness; the same events give the same effects.

`handle` is total: a refused command is answered, a report that makes no sense is ignored and counted. What escapes is
a bug of ours, never of a peer. `schedule` runs one placement pass and is called once per turn, after all events.
Restoring (recovery.py) happens before the first event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from maze_head.core import (
    commands,
    enrolment,
    events,
    fetching,
    keeping,
    losses,
    membership,
    objects,
    queries,
    readonly,
    recovery,
    repeats,
    results,
    retention,
    sharing,
)
from maze_head.core.effects import Effect, Reply, SaveSealed
from maze_head.core.ends import retire, seal_if_over
from maze_head.core.errors import Rejected
from maze_head.core.events import (
    DiskTurned,
    Event,
    GraphRead,
    Instant,
    JournalSized,
    LinkLost,
    NodeGreeted,
    NodeSaid,
    ObjectKept,
    ObjectUnkept,
    Ticked,
)
from maze_head.core.infeasible import give_up
from maze_head.core.nodes import Node
from maze_head.core.patience import patience
from maze_head.core.placement import place
from maze_head.core.quarantine import judge_forks
from maze_head.core.queueing import recall_stuck
from maze_head.core.sealed import pack_sealed
from maze_head.core.settings import Settings
from maze_head.core.state import State
from maze_protocol.events import Segment
from maze_protocol.http import RunBody
from maze_protocol.messages import (
    Drain,
    Goodbye,
    Heartbeat,
    Holding,
    Measured,
    Message,
    Release,
    Result,
    Started,
    Starved,
)

__all__ = ["HeadCore"]


class HeadCore:
    """One head's decisions."""

    def __init__(
        self,
        settings: Settings,
        epoch: int,
        cluster_id: bytes,
        secret: bytes = b"",
        blob_endpoint: str = "",
        local_key: str = "",
    ) -> None:
        self.state = State(settings, epoch, cluster_id, secret, blob_endpoint)
        self.state.keys.local = local_key

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """Take in one event and return what to do about it."""
        state = self.state
        state.now = now
        answer = _COMMANDS.get(type(event))
        if answer is not None:
            self._answer(event, answer)
        elif isinstance(event, GraphRead):
            for command in fetching.bring(state, event):
                self._answer(command, _COMMANDS[type(command)])
        else:
            _HAPPENED[type(event)](state, event)
        return self._flush()

    def patience(self, event: NodeSaid) -> float:
        """Return for how many seconds what a node says may wait, to be handled with what nodes say next."""
        return patience(self.state, event)

    def schedule(self, now: Instant) -> list[Effect]:
        """Place what is ready where there is room, and fail what shall not wait for nodes that are not there."""
        self.state.now = now
        if not self.state.read_only:
            give_up(self.state)
            place(self.state)
        return self._flush()

    def _answer(self, event: Any, answer: Callable[[State, Any], Any]) -> None:
        try:
            if self.state.read_only and type(event) not in _ALLOWED:
                raise readonly.refusal()
            value = answer(self.state, event)
        except fetching.Away as away:
            fetching.wait_for(self.state, away.workflow, event)
            return
        except Rejected as refusal:
            self.state.counters.rejected += 1
            value = refusal
        self.state.emit(Reply(event.ticket, value))

    def _flush(self) -> list[Effect]:
        """Seal what is over and hand out the effects of this call."""
        state = self.state
        if not (state.touched or state.unsaved_sealed):
            return state.take_effects()
        touched = [state.runs[no] for no in state.touched]
        for run in touched:
            seal_if_over(state, run)
        effects = state.take_effects()
        for run in touched:
            if run.sealed_by is not None:
                retire(state, run)
        unsaved, state.unsaved_sealed = state.unsaved_sealed, []
        effects += [SaveSealed(no, pack_sealed(state.sealed[no])) for no in unsaved if no in state.sealed]
        return effects

    def restore_graph(self, workflow_id: bytes, version: int, body: bytes | None) -> None:
        """Take in a saved graph, with its body if a live run is of it; before the segments that run it."""
        recovery.restore_graph(self.state, workflow_id, version, body)

    def restore_sealed(self, run_no: int, body: bytes) -> RunBody:
        """Take in the summary of a run that is over, instead of its log, and return what it says."""
        return recovery.restore_sealed(self.state, run_no, body)

    def restore_cluster(self, kind: str, body: dict[str, Any], time: float) -> None:
        """Take in an event of the cluster's log, in commit order."""
        recovery.restore_cluster(self.state, kind, body, time)

    def restore_segment(self, run_no: int, segment: Segment) -> None:
        """Take in a segment of a run's log, in commit order."""
        recovery.restore_segment(self.state, run_no, segment)

    def restored(self, now: Instant) -> list[Effect]:
        """End the recovery: attempts of the head's earlier life are interrupted and their tasks queued again."""
        self.state.now = now
        recovery.finish(self.state)
        # Events of the journal were applied without counting.
        self.state.pending = sum(run.open for run in self.state.runs.values())
        return self._flush()


def _hear(state: State, event: NodeSaid) -> None:
    node = state.links.get(event.link)
    if node is None:
        state.counters.messages_ignored += 1
        return
    membership.hear(state, node)
    if not readonly.waits(state, event):
        _take(state, node, event)


def _take(state: State, node: Node, event: NodeSaid) -> None:
    message = event.message
    if isinstance(message, Result):
        results.on_result(state, node, message, event.payloads)
    else:
        _SAID.get(type(message), _ignore)(state, node, message)


def _tick(state: State, event: Ticked) -> None:
    membership.tick(state, event)
    recall_stuck(state)
    retention.expire(state)
    losses.settle(state)
    objects.expire(state)
    keeping.keep_owed(state)
    keeping.hand_off(state)


def _lack(state: State, event: ObjectUnkept) -> None:
    losses.judge(state, keeping.on_unkept(state, event))


def _turn_disk(state: State, event: DiskTurned) -> None:
    state.read_only = event.full
    if event.full:
        return
    unheard, state.unheard = state.unheard, []
    for said in unheard:
        node = state.links.get(said.link)
        # Who said it on a link that is gone says it again on the next one.
        if node is not None:
            _take(state, node, said)


def _heartbeat(state: State, node: Node, message: Heartbeat) -> None:
    node.load = message.load
    judge_forks(state, node, message.load.fork_failures)


def _holding(state: State, node: Node, message: Holding) -> None:
    losses.judge(state, objects.on_holding(state, node, message))


def _drain(state: State, node: Node, message: Drain) -> None:
    node.draining = True
    state.roster += 1


def _ignore(state: State, node: Node, message: Message) -> None:
    state.counters.messages_ignored += 1


_HAPPENED: Final[dict[type, Callable[[State, Any], None]]] = {
    NodeSaid: _hear,
    NodeGreeted: membership.greet,
    LinkLost: membership.lose_link,
    Ticked: _tick,
    DiskTurned: _turn_disk,
    JournalSized: retention.shrink,
    ObjectKept: keeping.on_kept,
    ObjectUnkept: _lack,
}

_SAID: Final[dict[type, Callable[[State, Node, Any], None]]] = {
    Heartbeat: _heartbeat,
    Started: results.on_started,
    Release: results.on_release,
    Drain: _drain,
    Holding: _holding,
    Starved: losses.on_starved,
    Measured: membership.resize,
    Goodbye: membership.leave,
}

_COMMANDS: Final[dict[type, Callable[[State, Any], Any]]] = {
    events.CreateWorkflow: commands.create_workflow,
    events.EditWorkflow: commands.edit_workflow,
    events.SubmitRun: commands.submit_run,
    events.RetryRun: repeats.retry_run,
    events.CancelRun: commands.cancel_run,
    events.RemoveRun: retention.remove_run,
    events.RemoveWorkflow: retention.remove_workflow,
    events.SetLimit: sharing.set_limit,
    events.RemoveLimit: sharing.remove_limit,
    events.SetProject: sharing.set_project,
    events.RemoveProject: sharing.remove_project,
    events.AuthoriseNode: enrolment.authorise_node,
    events.RevokeNode: enrolment.revoke_node,
    events.ListKeys: enrolment.list_keys,
    events.DescribeWorkflow: queries.show_workflow,
    events.ListWorkflows: queries.list_workflows,
    events.DescribeRun: queries.show_run,
    events.ListRuns: queries.list_runs,
    events.DescribeNodes: queries.show_nodes,
    events.LocateLog: queries.locate_log,
    events.LocateObject: queries.locate_object,
    events.FindObject: queries.find_object,
    events.ListLimits: queries.list_limits,
    events.ListUploads: queries.list_uploads,
    events.CountersAsked: queries.count,
    events.ExplainTask: queries.explain_task,
    events.ExplainRun: queries.explain_run,
    events.DemandAsked: queries.show_demand,
}

_ALLOWED: Final = frozenset(
    kind for kind, answer in _COMMANDS.items() if answer.__module__ in (queries.__name__, retention.__name__)
) | {events.RevokeNode, events.ListKeys}
"""Commands that need no disk, or free some, or cannot wait; any other is refused while it is full."""

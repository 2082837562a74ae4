"""The node as a pure machine: what the head said, what workers did and what time it is, into what to do next.

Rules
* `handle` is total: any event in any state. A late, repeated or unknown message is normal input.
* The shell calls `start` at the end of each turn and `flush` when it is quiet: what is to be said goes in batches.
  STARTED is said only of attempts that have run for a moment and still do; the others' outcomes carry their start.
* What a lost connection forgets: STARTED and RELEASE (the inventory of the next HELLO tells the same). What it never
  forgets: leases and outcomes.
* Silence: after the lease time the node starts nothing more (the head may have given its leases to others), and goes
  on running; after the orphan time it ends everything; after the head time, if there is one, it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from maze_node.core.departure import Departure
from maze_node.core.effects import AnswerLog, DropLogs, Effect, Note, Reconnect, Send, Vouch
from maze_node.core.events import (
    DrainAsked,
    Event,
    Instant,
    LinkLost,
    Loaded,
    MemoryRead,
    ObjectFailed,
    ObjectFetched,
    ObjectSpilled,
    Said,
    Spilled,
    StopAsked,
    Surveyed,
    TakenBack,
    Ticked,
    Welcomed,
    WorkerExited,
    WorkerForked,
    WorkerReported,
    WorkersDoomed,
)
from maze_node.core.fence import Fence
from maze_node.core.intake import Intake
from maze_node.core.leases import Ending, Lease, Wish
from maze_node.core.objects import Objects, Room
from maze_node.core.offer import Offer, Survey, Use
from maze_node.core.outbox import Outbox
from maze_node.core.patience import patience
from maze_node.core.reunion import Reunion
from maze_node.core.runner import Runner
from maze_node.core.shelf import RESULT_MEMORY
from maze_node.core.stay import Stay
from maze_node.errors import EXIT_CRASHED, EXIT_UNREACHABLE
from maze_protocol.limits import ORPHAN_TIMEOUT
from maze_protocol.messages import (
    STALE,
    Assign,
    Cancel,
    Code,
    Forget,
    Heartbeat,
    HeartbeatAck,
    Held,
    LogPull,
    Measured,
    NodeConfig,
    NodeLoad,
    Recall,
    Release,
    ResultAck,
    Shutdown,
    Started,
    Starved,
    Welcome,
)
from maze_protocol.resources import Capacity

__all__ = ["STARTED_AFTER", "Agent"]

HEARTBEAT_SLACK: Final = 0.1
MEASURED_SINCE: Final = 2
"""The minor version of the protocol from which on heads know MEASURED; others learn a new capacity by HELLO."""
NO_ROOM: Final = "the node has less than that now"
NOT_MADE: Final = "what it waits for is not to be had here"
GRACE: Final = 5.0
STARTED_AFTER: Final = 0.01
"""Attempts shorter than this are told by their outcomes alone."""


class Agent:
    """Everything a node decides."""

    def __init__(
        self,
        capacity: Capacity,
        orphan_timeout: float = ORPHAN_TIMEOUT,
        head_timeout: float = 0.0,
        result_memory: int = RESULT_MEMORY,
        uses: tuple[Use, ...] = (),
        stay: Stay | None = None,
        cpus: tuple[int, ...] = (),
    ) -> None:
        self._effects: list[Effect] = []
        self._outbox = Outbox(self._effects.append, result_memory)
        self._offer = Offer(Survey(capacity, uses))
        self._stay = stay or Stay()
        self._objects = Objects(self._effects.append)
        self._runner = Runner(self._offer.now, self._outbox, self._objects, self._effects.append, cpus)
        self.watched = self._runner.watched
        self._intake = Intake(self._runner, self._outbox)
        self._reunion = Reunion(self._runner, self._outbox, self._effects.append)
        self._fence = Fence()
        self._welcome: Welcome | None = None
        self._live = False
        self._heard_at = 0.0
        self._beat_at = 0.0
        self._orphan_timeout = orphan_timeout
        self._head_timeout = head_timeout
        self._alone_since: float | None = None
        self._released: dict[str, list[int]] = {}
        self._departure = Departure(self._effects.append)
        self._load = NodeLoad()
        self._unsettled = False
        """Whether something came since the last flush after which memory may be full, or the node may leave."""
        self._on: dict[type, Callable[[Any, Instant], None]] = {
            Welcomed: self._on_welcome,
            LinkLost: self._on_link_lost,
            Said: self._on_said,
            WorkerForked: self._runner.forked,
            WorkerReported: self._runner.reported,
            TakenBack: self._runner.taken_back,
            WorkerExited: self._runner.exited,
            WorkersDoomed: self._runner.doomed,
            Spilled: self._outbox.spilled,
            Loaded: self._outbox.loaded,
            ObjectFetched: self._runner.fetched,
            ObjectFailed: self._on_object_failed,
            ObjectSpilled: self._objects.spilled,
            MemoryRead: self._runner.measured,
            Ticked: self._on_tick,
            Surveyed: self._on_survey,
            DrainAsked: self._on_drain,
            StopAsked: self._on_stop,
        }
        self._on_message: dict[type, Callable[[Any, Instant], None]] = {
            Code: lambda message, now: None,  # needs its payloads: see _on_said
            HeartbeatAck: self._on_answer,
            Cancel: self._on_cancel,
            Recall: self._on_recall,
            ResultAck: self._on_ack,
            Forget: self._on_forget,
            LogPull: self._on_pull,
            NodeConfig: lambda message, now: self._effects.append(Vouch(message.peer_keys)),
            Shutdown: lambda message, now: self._on_drain(DrainAsked(message.reason, message.drain_timeout), now),
        }

    def shut_in(self, *, cuts_network: bool) -> None:
        """Note what this node can do for sandboxed attempts; said once, before anything runs."""
        self._runner.cuts_network = cuts_network

    def provide(self, room: Room) -> None:
        """Let objects be kept on this node, within that room; before the first event."""
        self._objects.room = room

    @property
    def last_session(self) -> int:
        """Return the number of the newest session, 0 before the first."""
        return self._welcome.session if self._welcome is not None else 0

    @property
    def cluster(self) -> tuple[bytes, int]:
        """Return (cluster id, epoch) of the newest session."""
        return (self._welcome.cluster_id, self._welcome.epoch) if self._welcome is not None else (b"", 0)

    @property
    def patience(self) -> float:
        """Return for how many seconds what there is to say may wait for more."""
        leases = self._runner.leases
        return patience(leases.running_count, len(leases) - leases.running_count, len(self._outbox.unsent))

    @property
    def unsaid(self) -> bool:
        """Tell whether a later flush will have more to say."""
        return self._live and bool(self._runner.started)

    def introduce(self, now: Instant) -> tuple[Capacity, float]:
        """Return what HELLO tells about the node: its capacity, and for how many seconds it stays; 0: for ever."""
        self._runner.resize(self._offer.tell())
        return self._offer.told, self._stay.remaining(now.mono)

    def inventory(self) -> tuple[Held, ...]:
        """Return what HELLO tells: every lease that this node still answers for."""
        return self._reunion.inventory()

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """Take one event."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Sequence[Event], now: Instant) -> list[Effect]:
        """Take the events of a turn, in order."""
        for event in events:
            self._on[type(event)](event, now)
            # New leases fill no memory and end nothing: between them and their outcomes nothing is to be settled.
            if type(event) is not Said or type(event.message) is not Assign:
                self._unsettled = True
        return self._take_effects()

    def start(self, now: Instant) -> list[Effect]:
        """End a turn: start what may start."""
        self._settle_wishes(now)
        for lease in self._runner.early.take_orphans():
            self._give_back(lease, NOT_MADE, now)
        # Do leases still hold? Asked before any start, in every turn, after SIGCONT too.
        if self._outbox.overfull:
            self._runner.ahead.call_back_all()
        elif not self._departure.left and self._fence.is_open(now.mono):
            self._runner.start_ready(now, self._fence.until)
        self._runner.ahead.order(now)
        return self._take_effects()

    def _settle_wishes(self, now: Instant) -> None:
        """Do what is wished of leases that turned out not to have begun."""
        for lease in self._runner.ahead.take_returned():
            wish, lease.wish = lease.wish, None
            if wish is not None and wish.release:
                self._give_back(lease, wish.reason if wish.ending is None else wish.ending.value, now)
            elif wish is not None:
                self._runner.forget_waiting(lease, now)

    def flush(self, now: Instant) -> list[Effect]:
        """Say what there is to say; after one turn or after several, as the shell likes."""
        if not self._departure.left:
            self._speak(now)
            if self._unsettled or self._effects:
                self._unsettled = False
                self._outbox.settle(now.mono, live=self._live)
                self._objects.settle(now.mono)
                self._leave_if_done(now)
        return self._take_effects()

    def _take_effects(self) -> list[Effect]:
        if not self._effects:
            return []
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    # -- session

    def _on_welcome(self, event: Welcomed, now: Instant) -> None:
        welcome, before = event.welcome, self._welcome
        if before is not None and before.cluster_id == welcome.cluster_id and welcome.epoch < before.epoch:
            self._live = False
            self._effects.append(Reconnect(f"epoch {welcome.epoch} is older than {before.epoch}: an old head"))
            return
        if before is not None and before.cluster_id != welcome.cluster_id:
            self._reunion.drop_everything(now)
            self._objects.drop_everything()
        self._welcome, self._live, self._heard_at = welcome, True, now.mono
        self._alone_since = None
        self._stay.welcomed(now.mono)
        self._fence.welcome(welcome.lease_ttl, now.mono if event.asked_at is None else event.asked_at)
        for old, new in welcome.keep:
            if not self._reunion.keep(old, new):
                # Let go of since HELLO told of it, by a drain or for the head's long absence.
                self._release(new, "let go while the head was away")
        for token in welcome.drop:
            self._reunion.drop(token, now)
        self._effects += [Send(holding) for holding in self._objects.welcome(welcome)]
        self._outbox.restart()
        self._departure.tell(now.mono)
        self._beat(now)
        self._give_back_oversized(now)
        self._tell_news(now)

    def _on_link_lost(self, event: LinkLost, now: Instant) -> None:
        self._live = False
        self._released.clear()
        self._runner.started.clear()

    # -- messages

    def _on_said(self, event: Said, now: Instant) -> None:
        if not self._live:
            return  # of a connection that is over, or of an old head
        self._heard_at = now.mono
        message = event.message
        if isinstance(message, Assign):
            self._take_in(message, event.payloads, now)
        elif isinstance(message, Code):
            self._intake.learn(message, event.payloads)
        elif type(message) in self._on_message:
            self._on_message[type(message)](message, now)

    def _take_in(self, message: Assign, payloads: tuple[bytes, ...], now: Instant) -> None:
        intake, runner, leaving = self._intake, self._runner, self._departure.begun
        for assignment in message.items:
            token, after = assignment.lease, assignment.after
            if intake.knows(token):
                continue
            if leaving:
                self._release(token, "draining")
            elif not runner.can_hold(assignment):
                self._release(token, NO_ROOM)
            elif after and not runner.early.can_follow(after):
                self._release(token, NOT_MADE)
            else:
                intake.accept(assignment, payloads, now)

    def _on_answer(self, message: HeartbeatAck, now: Instant) -> None:
        self._fence.answer(message.echo)

    def _on_cancel(self, message: Cancel, now: Instant) -> None:
        for token in message.leases:
            lease = self._runner.leases.get(token)
            if lease is None:
                continue  # its outcome is on its way, or was acknowledged
            if lease.worker:
                self._runner.end(lease, Ending.CANCELLED, message.reason, message.grace, now)
            else:
                self._give_back(lease, "cancelled", now)

    def _on_recall(self, message: Recall, now: Instant) -> None:
        for token in message.leases:
            lease = self._runner.leases.get(token)
            if lease is not None and not lease.runs:
                self._want_back(lease, "recalled", now)

    def _on_ack(self, message: ResultAck, now: Instant) -> None:
        for item in message.items:
            self._outbox.forget(item.lease)
            if item.verdict == STALE:
                self._objects.forget((item.lease,))

    def _on_forget(self, message: Forget, now: Instant) -> None:
        self._effects.append(DropLogs(message.leases))
        self._objects.forget(message.leases)

    def _on_pull(self, message: LogPull, now: Instant) -> None:
        if self._live:
            self._effects.append(AnswerLog(message, message.lease not in self._runner.leases))

    def _on_object_failed(self, event: ObjectFailed, now: Instant) -> None:
        key = event.key
        for token in self._runner.starved(event, now):
            if self._live:
                self._effects.append(Send(Starved(token, ((key.lease, key.output),), event.reason)))

    # -- time

    def _on_tick(self, event: Ticked, now: Instant) -> None:
        self._load = event.load
        self._runner.spoke(event.spoke, now)
        self._runner.tick(now)
        self._objects.tick(now)
        self._offer.tick()
        self._tell_news(now)
        if not self._departure.left and not self._departure.begun:
            self._runner.keep_warm(now)
            self._look_at_the_clock(now)
        if self._live and self._welcome is not None:
            if now.mono - self._beat_at >= self._welcome.heartbeat - HEARTBEAT_SLACK:
                self._beat(now)
        else:
            self._endure(now)
        if self._departure.is_due(now.mono):
            self._cut_short(now)

    def _endure(self, now: Instant) -> None:
        """Go on without a head, up to the limits."""
        if self._welcome is not None and now.mono - self._heard_at > self._orphan_limit():
            self._abandon(now)
        if self._alone_since is None:
            self._alone_since = now.mono
        elif 0 < self._head_timeout <= now.mono - self._alone_since:
            self._runner.stop_all(now)
            self._departure.leave(f"no head for {self._head_timeout:g} s", EXIT_UNREACHABLE)

    def _orphan_limit(self) -> float:
        told = self._welcome.orphan_timeout if self._welcome is not None else 0.0
        return min(told, self._orphan_timeout) if told > 0 else self._orphan_timeout

    def _abandon(self, now: Instant) -> None:
        """The head has been away for the orphan time: end what runs, forget what waits; keep what is done.

        The outcome of what is ended is kept, too: a head that comes back in that moment waits for it.
        """
        for lease in self._runner.leases.waiting():
            self._runner.forget_waiting(lease, now)
        for lease in (*self._runner.leases.all_ahead(), *self._runner.leases.running()):
            self._runner.end(lease, Ending.ABANDONED, "the head is gone", GRACE, now)

    def _beat(self, now: Instant) -> None:
        self._beat_at = now.mono
        self._fence.ask(now.wall, now.mono)
        self._effects.append(Send(Heartbeat(now.wall, self._runner.load(self._load))))

    # -- capacity

    def _on_survey(self, event: Surveyed, now: Instant) -> None:
        self._offer.take(event.survey, self._runner.slots.holds_device)
        self._tell_news(now)

    def _tell_news(self, now: Instant) -> None:
        """Tell what is worth telling of a changed capacity; what runs keeps what it has, what waits may have to go."""
        news = self._offer.news()
        if not news or not self._live or self._welcome is None or self._welcome.minor < MEASURED_SINCE:
            return
        self._effects += [Note(f"capacity changed: {news}"), Send(Measured(self._offer.tell(), news))]
        self._runner.resize(self._offer.told)
        self._give_back_oversized(now)

    def _give_back_oversized(self, now: Instant) -> None:
        for lease in self._runner.leases.waiting():
            if not self._runner.can_hold(lease.assignment):
                self._give_back(lease, NO_ROOM, now)

    # -- leaving

    def _look_at_the_clock(self, now: Instant) -> None:
        due = self._stay.look(now.mono, busy=bool(len(self._runner.leases) or len(self._outbox)))
        if due is not None:
            self._effects.append(Note(f"draining: {due.reason}"))
            self._on_drain(due, now)

    def _on_drain(self, event: DrainAsked, now: Instant) -> None:
        if self._departure.begun:
            return
        timeout = min(event.timeout, self._stay.remaining(now.mono) or event.timeout)
        self._departure.begin(event.reason, now.mono + timeout)
        for lease in (*self._runner.leases.waiting(), *self._runner.leases.all_ahead()):
            self._want_back(lease, "draining", now)
        if self._live:
            self._departure.tell(now.mono)

    def _cut_short(self, now: Instant) -> None:
        """The drain's time is over: end what runs; leave without acknowledgements some time later."""
        for lease in self._runner.leases.running():
            self._runner.end(lease, Ending.DRAINED, "the node leaves; its drain timeout is over", GRACE, now)
        self._departure.give_up(now.mono, live=self._live)

    def _on_stop(self, event: StopAsked, now: Instant) -> None:
        busy = len(self._runner.leases)
        self._runner.stop_all(now)
        self._departure.leave(event.reason, EXIT_CRASHED if busy else 0)

    def _leave_if_done(self, now: Instant) -> None:
        if not self._departure.begun or len(self._runner.leases) or len(self._outbox):
            return
        # The head first gets what only this node has, and then says FORGET of all of it.
        if not self._objects.held_for_head or not self._live or self._departure.is_due(now.mono):
            self._departure.finish(live=self._live)

    # -- saying

    def _want_back(self, lease: Lease, reason: str, now: Instant) -> None:
        """Give a lease back if it has not begun, as soon as that is known."""
        if lease.ahead:
            self._runner.ahead.wish(lease, Wish(reason))
        else:
            self._give_back(lease, reason, now)

    def _give_back(self, lease: Lease, reason: str, now: Instant) -> None:
        self._runner.forget_waiting(lease, now)
        self._release(lease.token, reason)

    def _release(self, token: int, reason: str) -> None:
        if self._live:
            self._released.setdefault(reason, []).append(token)

    def _speak(self, now: Instant) -> None:
        if not self._live:
            return
        if self._released:
            for reason, tokens in self._released.items():
                self._effects.append(Send(Release(tuple(tokens), reason)))
            self._released.clear()
        if self._objects.unsaid:
            self._effects += [Send(holding) for holding in self._objects.news()]
        if self._outbox.unsent:
            for result, payloads in self._outbox.messages():
                self._effects.append(Send(result, payloads))
        if self._runner.started:
            started = self._runner.take_started(now.wall - STARTED_AFTER)
            if started:
                self._effects.append(Send(Started(started)))

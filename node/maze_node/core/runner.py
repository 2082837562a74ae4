"""Runs leases on workers: start, finish, kill, fork. Knows nothing of sessions or messages to the head.

Rules
* One running lease per grant at a time, and one worker; those that are tiny follow it there by themselves (ahead.py).
* Who dies is to blame for its first lease without a report; the others wait again.
* Resources of a grant are free again only when nothing of it can run any more: after a clean report, else after
  the confirmed exit of the worker and all of its process group.
* An attempt that is being ended has its outcome at that exit too, whatever its worker reports before: who is told
  "cancelled" may rely on nothing of it being left.
* An attempt that has more memory than it may (allowance.py) is killed without grace: it would go on taking more.
* A worker that has seen a device, was signalled, or left threads or children behind is not used again; one that was
  shut in ran one attempt, and is told to go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from maze_node.core import outcomes
from maze_node.core.ahead import Ahead
from maze_node.core.allowance import Watched, excess_of, watched
from maze_node.core.confine import confine
from maze_node.core.early import Early
from maze_node.core.effects import Dismiss, Effect, Enqueue, Fork, NoteMemory, Signal, Start
from maze_node.core.events import (
    Instant,
    MemoryRead,
    ObjectFailed,
    ObjectFetched,
    TakenBack,
    WorkerExited,
    WorkerForked,
    WorkerReported,
    WorkersDoomed,
)
from maze_node.core.forking import ForkHealth
from maze_node.core.leases import Ending, Lease, Leases, Wish
from maze_node.core.objects import Objects
from maze_node.core.outbox import Outbox
from maze_node.core.roster import Roster, Stage, Worker
from maze_node.core.slots import Binding, Slots, bind
from maze_node.frames import CodeBody, LikeFrame, TaskFrame
from maze_protocol.messages import OK, SANDBOX, Assignment, NodeLoad, Outcome, StartedItem
from maze_protocol.resources import Capacity

__all__ = ["Runner"]

IDLE_SECONDS: Final = 30.0
KILL_GRACE: Final = 5.0


class Runner:
    """Leases, slots and workers of one node."""

    def __init__(
        self,
        capacity: Capacity,
        outbox: Outbox,
        objects: Objects,
        emit: Callable[[Effect], None],
        cpus: tuple[int, ...] = (),
    ) -> None:
        self.cuts_network = False
        """Whether sandboxed attempts lose the network here."""
        self.leases = Leases()
        self.objects = objects
        self.slots = Slots(capacity, cpus)
        self.roster = Roster(capacity.workers)
        self.codes: dict[bytes, CodeBody] = {}
        self.started: dict[int, Lease] = {}
        """Attempts that run, and of which the head has not been told that."""
        self._outbox = outbox
        self._emit = emit
        self.ahead = Ahead(self.leases, self.roster, emit, self._end_as_wished)
        self._blocked: dict[int, int] = {}
        """Grants whose resources a leaving worker may still use, with that worker."""
        self.early = Early(self.leases, outbox, self._fetch)
        self._warm = 1
        self._resized = False
        self.resize(capacity)
        self.health = ForkHealth()

    def resize(self, capacity: Capacity) -> None:
        """Go by another capacity from now on; what has its resources keeps them."""
        self._resized = self._resized or capacity != self.slots.capacity
        self.slots.capacity = capacity
        self.roster.limit = capacity.workers
        self._warm = max(1, min(capacity.workers, capacity.cpu_milli // 1000))

    def can_hold(self, assignment: Assignment) -> bool:
        """Tell whether a lease may wait here: not if it is too large for what a changed capacity has left.

        A claim too large for a node that never changed is a head's mistake, and runs alone: see slots.py.
        """
        if not self._resized:
            return True
        return self.slots.holds(assignment.grant or assignment.lease) or self.slots.could_fit(assignment.claim)

    def admit(self, lease: Lease) -> None:
        """Let a new lease wait for its turn, or for its inputs before that."""
        if lease.assignment.after:
            self.early.hold(lease)
        elif not lease.objects:
            self.leases.add(lease)
        else:
            self.leases.hold(lease)
            self._fetch(lease)

    def _fetch(self, lease: Lease) -> None:
        if self.objects.take_in(lease):
            self.leases.line_up(lease)

    def fetched(self, event: ObjectFetched, now: Instant) -> None:
        """Let those wait for their turn that have all their inputs now."""
        for lease in self.objects.fetched(event):
            self.leases.line_up(lease)

    def starved(self, event: ObjectFailed, now: Instant) -> list[int]:
        """Drop those that waited for what cannot be had; return their tokens."""
        leases = self.objects.failed(event)
        for lease in leases:
            self.forget_waiting(lease, now)
        return [lease.token for lease in leases]

    def load(self, measured: NodeLoad) -> NodeLoad:
        """Return what a heartbeat tells: what the shell measured, and our own counts."""
        return msgspec.structs.replace(
            measured,
            running=self.leases.running_count,
            workers=len(self.roster),
            fork_failures=self.health.failures,
        )

    def keep_warm(self, now: Instant) -> None:
        """Fork workers ahead of need, up to one per CPU."""
        missing = self._warm - len(self.roster)
        trial = self.health.failures > 0 and not self.roster.in_stage(Stage.FORKING)
        self._fork(max(missing, 1 if trial else 0), now)

    def start_ready(self, now: Instant, until: float) -> None:
        """Start what may start; what is only sent ahead must begin until then."""
        lacking = 0
        for lease in self.leases.next_of_each_grant():
            running = self.leases.running_of(lease.grant)
            if running is not None:
                self._send_ahead(running, until)
                continue
            if lease.grant in self._blocked or not self.slots.fits(lease.grant, lease.assignment.claim):
                continue
            # The claim counts also while it waits for a process, so that the ones behind it do not overtake it.
            self.slots.take(lease.grant, lease.assignment.claim)
            own_cpus = self.slots.own_cpus(lease.grant)
            binding = bind(lease.assignment.claim, lease.grant, self.slots.capacity, own_cpus)
            if lease.assignment.flags & SANDBOX:
                binding = binding._replace(sandbox=lease.token)
            worker = self.roster.pick(binding)
            if worker is not None:
                self._start(lease, worker, binding, now)
                self._send_ahead(lease, until)
                continue
            lacking += 1
            if lacking >= self.roster.limit:
                break
        if lacking:
            self._make_room(lacking, now)

    def _start(self, lease: Lease, worker: Worker, binding: Binding, now: Instant) -> None:
        self.leases.start(lease, worker.number)
        # The first task binds the worker.
        environ = {} if worker.binding is not None else binding.environ
        worker.stage, worker.binding = Stage.BUSY, binding
        worker.closed = False
        if lease.objects:
            self.objects.begins(lease)
        self._begin(lease, worker, now)
        if lease.assignment.claim.mem_mib:
            self._emit(NoteMemory(worker.pid))
        self._emit(Start(worker.number, self._frame(lease, worker, binding, environ)))

    def _begin(self, lease: Lease, worker: Worker, now: Instant) -> None:
        worker.lease = lease
        lease.started_wall, lease.started_mono, lease.spoke_mono = now.wall, now.mono, now.mono
        self.started[lease.token] = lease

    def _frame(
        self, lease: Lease, worker: Worker, binding: Binding, environ: dict[str, str], until: float = 0.0
    ) -> TaskFrame:
        assignment = lease.assignment
        new, forget = worker.learn(assignment.code)
        worker.told = frame = TaskFrame(
            lease.token,
            assignment.name,
            assignment.code,
            self.codes[assignment.code] if new else None,
            forget,
            lease.inputs,
            assignment.outputs,
            assignment.strict_outputs,
            environ,
            assignment.run,
            assignment.task,
            assignment.attempt,
            assignment.gang,
            binding.cpus or self.slots.shared_cpus() if self.slots.gives_cpus else (),
            until,
            len(lease.objects),
            self.objects.spool,
            self.objects.full,
            confine(assignment, cut_network=self.cuts_network) if assignment.flags & SANDBOX else None,
        )
        return frame

    def _send_ahead(self, running: Lease, until: float) -> None:
        """Let what is like a running lease follow it."""
        worker = self.roster.get(running.worker)
        if worker is None or worker.binding is None or not worker.takes_ahead or running.ending is not None:
            return
        if self.slots.gives_cpus and not worker.binding.cpus:
            return  # which CPUs are left to share is known only when it begins
        sent = self.ahead.send(running)
        if not sent:
            return
        frames: list[TaskFrame | LikeFrame] = []
        told = worker.told if self._still_tells(worker.told) else None
        for lease in sent:
            its = lease.assignment
            if told is not None and _tells(told, its):
                frames.append(LikeFrame(lease.token, lease.inputs, its.task, its.attempt, until))
            else:
                told = self._frame(lease, worker, worker.binding, {}, until)
                frames.append(told)
        self._emit(Enqueue(worker.number, tuple(frames)))

    def _still_tells(self, told: TaskFrame | None) -> bool:
        """Tell whether what a frame says of this node still holds."""
        return told is not None and told.on_disk == self.objects.full and told.spool == self.objects.spool

    def _make_room(self, lacking: int, now: Instant) -> None:
        short = lacking - len(self.roster.in_stage(Stage.FORKING))
        self._fork(short, now)
        leaving = len(self.roster.in_stage(Stage.LEAVING))
        if short > 0 and len(self.roster) >= self.roster.limit and not leaving:
            spare = self.roster.spare()
            if spare is not None:
                self._dismiss(spare, now)

    def _fork(self, count: int, now: Instant) -> None:
        if not self.health.may_fork(now.mono):
            return
        for _ in range(count):
            worker = self.roster.hire()
            if worker is None:
                return
            self._emit(Fork(worker.number))

    def forked(self, event: WorkerForked, now: Instant) -> None:
        """Take a new worker into service."""
        worker = self.roster.get(event.worker)
        if worker is not None and worker.stage is Stage.FORKING:
            worker.stage, worker.pid, worker.idle_since = Stage.IDLE, event.pid, now.mono

    def reported(self, event: WorkerReported, now: Instant) -> None:
        """Finish an attempt that its worker reported; what is ahead of the worker follows."""
        worker = self.roster.get(event.worker)
        if worker is None or worker.lease is None:
            return
        lease, report = worker.lease, event.report
        if self.health.failures:
            self.health.succeeded()
        if report.objects:
            self.objects.made(lease, report)
        if lease.ending is not None:
            lease.report, lease.kill_at = None if report.late else event, now.mono
            self._emit(Signal(worker.number, "SIGKILL"))
            return
        worker.lease, worker.closed = None, False
        if report.late:
            self._return(lease)
        else:
            self._finish(lease, outcomes.of_report(lease, worker.pid, event), now)
        if report.unclean:
            self.ahead.put_back(self.leases.ahead_of(lease.grant))
        following = self.leases.follow(lease.grant)
        if following is not None:
            self._begin(following, worker, now)
        else:
            self._rest(worker, lease, clean=not (report.unclean or worker.doomed), now=now)

    def _return(self, lease: Lease) -> None:
        """Let an attempt wait again that did not begin."""
        self.started.pop(lease.token, None)
        self.ahead.put_back((lease,))

    def _rest(self, worker: Worker, lease: Lease, *, clean: bool, now: Instant) -> None:
        """Let a worker wait for another task, or go."""
        more = self.leases.has_more(lease.grant)
        if not clean:
            self._block(worker, lease.grant)
            self._signal(worker, "SIGKILL", now)
        elif lease.assignment.flags & SANDBOX or (lease.assignment.claim.devices and not more):
            self._block(worker, lease.grant)
            self._dismiss(worker, now)
        else:
            worker.stage, worker.idle_since = Stage.IDLE, now.mono
            if not more:
                self.slots.free(lease.grant)

    def taken_back(self, event: TakenBack, now: Instant) -> None:
        """Go on with what a worker has not begun, and do what was wished of what it has."""
        worker = self.roster.get(event.worker)
        if worker is not None:
            self.ahead.settle(worker, event.leases, now)

    def doomed(self, event: WorkersDoomed, now: Instant) -> None:
        """Give workers of a dead spawner nothing more."""
        for worker in filter(None, map(self.roster.get, event.workers)):
            worker.doomed = True
            if worker.stage is Stage.IDLE:
                worker.stage, worker.kill_at = Stage.LEAVING, now.mono + KILL_GRACE
            self.ahead.ask(worker.number)

    def exited(self, event: WorkerExited, now: Instant) -> None:
        """Account for a dead worker; its attempt, if it had one, has crashed or was ended by us."""
        worker = self.roster.remove(event.worker)
        if worker is None:
            return
        if worker.lease is not None:
            lease = worker.lease
            self.ahead.put_back(self.leases.ahead_of(lease.grant))
            if lease.ending is None and lease.wish is not None:
                lease.ending, lease.reason = lease.wish.ending, lease.wish.reason
            if lease.report is not None:
                self._finish(lease, outcomes.of_report(lease, worker.pid, lease.report), now)
            else:
                self._finish(lease, outcomes.of_exit(lease, worker.pid, event, now), now)
            self._release(lease.grant)
        elif worker.stage is not Stage.LEAVING and worker.binding is None:
            self.health.failed(now.mono, blameless=event.blameless)
        if worker.holds:
            self._blocked.pop(worker.holds, None)
            self._release(worker.holds)

    def end(self, lease: Lease, ending: Ending, reason: str, grace: float, now: Instant) -> None:
        """End what a worker has: SIGTERM, SIGKILL after `grace` seconds; or give it back, if it has not begun."""
        wish = Wish(reason, ending, grace, release=ending is Ending.CANCELLED)
        if lease.ending is None and self.leases.ahead_of(lease.grant):
            self.ahead.wish(lease, wish)
        else:
            self._end_as_wished(lease, wish, now)

    def _end_as_wished(self, lease: Lease, wish: Wish, now: Instant) -> None:
        worker = self.roster.get(lease.worker)
        if worker is None or wish.ending is None:
            return
        if lease.ending is None:
            lease.ending, lease.reason = wish.ending, wish.reason
            lease.kill_at = now.mono + wish.grace
            self._emit(Signal(worker.number, "SIGTERM" if wish.grace > 0 else "SIGKILL"))
        elif wish.ending is Ending.DROPPED:
            lease.ending = wish.ending
        lease.kill_at = min(lease.kill_at, now.mono + wish.grace)

    def take_started(self, before: float) -> tuple[StartedItem, ...]:
        """Return the attempts that began before that wall-clock time and have not been told; they are told now."""
        ripe = [lease for lease in self.started.values() if lease.started_wall <= before]
        for lease in ripe:
            del self.started[lease.token]
        return tuple(StartedItem(lease.token, lease.started_wall, self._pid_of(lease)) for lease in ripe)

    def _pid_of(self, lease: Lease) -> int:
        worker = self.roster.get(lease.worker)
        return worker.pid if worker is not None else 0

    def spoke(self, tokens: tuple[int, ...], now: Instant) -> None:
        """Note which attempts have written something."""
        for token in tokens:
            lease = self.leases.get(token)
            if lease is not None:
                lease.spoke_mono = now.mono

    def watched(self) -> tuple[Watched, ...]:
        """Return the running attempts whose memory is to be read."""
        found: list[Watched] = []
        for lease in self.leases.running():
            worker = self.roster.get(lease.worker)
            if lease.ending is None and worker is not None:
                each = watched(lease, worker.pid, self.slots.capacity)
                if each is not None:
                    found.append(each)
        return tuple(found)

    def measured(self, event: MemoryRead, now: Instant) -> None:
        """Note what attempts have, and end those that have too much."""
        for use in event.uses:
            lease = self.leases.get(use.lease)
            if lease is None or lease.ending is not None:
                continue
            lease.peak_kib = max(lease.peak_kib, use.mem_kib)
            excess = excess_of(lease, use)
            if excess is not None:
                lease.excess_mib = excess.peak_mib
                self.end(lease, excess.ending, excess.reason, 0.0, now)

    def tick(self, now: Instant) -> None:
        """Enforce time limits, and let go of workers that have been idle for long."""
        for lease in self.leases.running():
            if lease.ending is None:
                exceeded = lease.exceeded(now.mono)
                if exceeded:
                    self.end(lease, Ending.TIMED_OUT, exceeded, KILL_GRACE, now)
            elif now.mono >= lease.kill_at:
                self._emit(Signal(lease.worker, "SIGKILL"))
        for worker in self.roster.in_stage(Stage.LEAVING):
            if now.mono >= worker.kill_at:
                self._emit(Signal(worker.number, "SIGKILL"))
        self.health.look_at(self.roster.in_stage(Stage.IDLE), now.mono)
        surplus = len(self.roster) - self._warm
        for worker in self.roster.in_stage(Stage.IDLE)[: max(0, surplus)]:
            if now.mono - worker.idle_since > IDLE_SECONDS:
                self._dismiss(worker, now)

    def stop_all(self, now: Instant) -> None:
        """Kill everything that runs, without grace."""
        for lease in self.leases.running():
            self._end_as_wished(lease, Wish("the node was stopped", Ending.DRAINED), now)

    def _finish(self, lease: Lease, outcome: Outcome, now: Instant) -> None:
        self.leases.over(lease)
        if lease.objects:
            self.objects.is_over(lease, now)
        token = lease.token
        unwanted = (lease.ending is not None or lease.wish is not None) and lease.unwanted
        self.started.pop(token, None)
        if not unwanted:
            self._outbox.keep(outcome, lease.assignment.after)
        if unwanted or outcome.status != OK:
            self.objects.forget((token,))
        self.early.is_over(token, None if unwanted else outcome)

    def _release(self, grant: int) -> None:
        if not self.leases.uses(grant) and grant not in self._blocked:
            self.slots.free(grant)

    def forget_waiting(self, lease: Lease, now: Instant) -> None:
        """Drop a lease that has not started."""
        self.leases.remove(lease)
        if lease.objects:
            self.objects.is_over(lease, now)
        self.early.is_over(lease.token, None)
        self._release(lease.grant)

    def rename(self, lease: Lease, token: int) -> None:
        """Go on under another token."""
        if self.started.pop(lease.token, None) is not None:
            self.started[token] = lease
        self.objects.rename(lease.token, token)
        self.early.is_over(lease.token, None)  # the head has given up both, and adopts this one only
        self.leases.rename(lease, token)

    def _block(self, worker: Worker, grant: int) -> None:
        worker.holds = grant
        self._blocked[grant] = worker.number

    def _dismiss(self, worker: Worker, now: Instant) -> None:
        worker.stage, worker.kill_at = Stage.LEAVING, now.mono + KILL_GRACE
        self._emit(Dismiss(worker.number))

    def _signal(self, worker: Worker, name: str, now: Instant) -> None:
        worker.stage, worker.kill_at = Stage.LEAVING, now.mono + KILL_GRACE
        self._emit(Signal(worker.number, name))


def _tells(told: TaskFrame, its: Assignment) -> bool:
    """Tell whether a frame says of its task what is to be said of another one, but for what is each one's own."""
    return (
        told.run == its.run
        and told.code == its.code
        and told.outputs == its.outputs
        and told.name == its.name
        and told.strict == its.strict_outputs
        and not told.gang
    )

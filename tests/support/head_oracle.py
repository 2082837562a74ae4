"""What the head ought to know, in plain dicts: written from the rules (reliability.md, 3.5 and 3.6), not from the code.

The oracle is told what happened and which leases the core made (placement is the core's choice; the oracle checks
that each choice was allowed and that no room was left unused). It answers what each task's state and each verdict
must be. Nothing is shared with the core but the numbers of the phases' names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OPEN = ("waiting", "ready", "leased", "running")
HELD = ("leased", "running")


@dataclass
class Task:
    before: list[int]
    cpu: int
    state: str = "waiting"
    lease: int = 0
    node: str = ""
    grant: int = 0
    """Leases of one grant share its room."""
    crashes: int = 0
    losses: int = 0
    lacks: int = 0
    """Attempts that ended for lack of memory; the one after it is alone on its node."""


@dataclass
class Node:
    cpu: int
    workers: int
    incarnation: int
    link: bytes | None
    heard: float
    doubted: bool = False
    suspect: bool = False
    draining: bool = False
    lost_at: float = 0.0


@dataclass
class Run:
    tasks: list[Task]
    fail_fast: bool
    halting: bool = False
    cancelled: bool = False

    @property
    def over(self) -> bool:
        return all(task.state not in OPEN for task in self.tasks)


@dataclass
class Loss:
    run: int
    task: int
    node: str
    incarnation: int
    charged: bool


@dataclass
class Oracle:
    runs: dict[int, Run] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    leases: dict[int, tuple[int, int]] = field(default_factory=dict)
    """In force: token -> (run, task)."""
    lost: dict[int, Loss] = field(default_factory=dict)
    """Given up, and perhaps still going on."""
    parted: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Lost nodes: (cpu, workers, incarnation)."""
    all_leases: list[int] = field(default_factory=list)
    formerly: dict[int, int] = field(default_factory=dict)
    """Of adopted attempts: the lease that was given up, by the one in force."""
    accepted: set[int] = field(default_factory=set)
    now: float = 0.0
    crash_budget: int = 3
    loss_budget: int = 5

    # -- what happens ----------------------------------------------------------------------------------------------

    def submit(self, no: int, before: list[list[int]], cpus: list[int], *, fail_fast: bool) -> None:
        tasks = [Task(sources, cpu) for sources, cpu in zip(before, cpus, strict=True)]
        self.runs[no] = Run(tasks, fail_fast)
        self._wake(self.runs[no])

    def retry(self, no: int, earlier: int, *, reuse: bool) -> list[int]:
        """Return the tasks whose results are reused."""
        before = self.runs[earlier]
        self.runs[no] = Run([Task(task.before, task.cpu) for task in before.tasks], before.fail_fast)
        reused = [number for number, task in enumerate(before.tasks) if reuse and task.state == "finished"]
        for number in reused:
            self.runs[no].tasks[number].state = "finished"
        self._wake(self.runs[no])
        return reused

    def assigned(self, no: int, number: int, lease: int, grant: int, link: bytes) -> None:
        run = self.runs[no]
        task = run.tasks[number]
        name = self.at(link)
        if task.state == "waiting":
            self._check_early(run, task, lease, grant, name)
        else:
            assert task.state == "ready", f"assigned while {task.state}"
        assert not run.halting, "assigned though the run stops (I17)"
        assert name is not None, "assigned to an unknown link"
        assert self.takes_work(name), f"assigned to {self.nodes[name]} (I12)"
        if grant == lease:
            assert self.free(name) >= task.cpu, "over-committed (I6)"
            assert self.count(name) < self.nodes[name].workers, "more attempts than workers"
        else:
            assert self._grants(name).get(grant) == task.cpu, "queues behind a grant that is not there"
        assert not self._is_taken_alone(name), "beside one that must be alone"
        assert not (task.lacks and self.of(name)), "alone, but not on an empty node"
        assert lease not in self.all_leases, "a token was used twice"
        assert not self.all_leases or lease > max(self.all_leases), "tokens must grow"
        task.state, task.lease, task.node, task.grant = "leased", lease, name, grant
        self.leases[lease] = no, number
        self.all_leases.append(lease)

    def _check_early(self, run: Run, task: Task, lease: int, grant: int, name: str | None) -> None:
        """A task that waits for one that is held may go there, too, behind it."""
        (source,) = task.before
        before = run.tasks[source]
        assert before.state in HELD, f"early, though what it waits for is {before.state}"
        assert (grant, name, task.cpu) == (before.grant, before.node, before.cpu), "early, and not behind it"
        assert lease != grant, "early, with room of its own"

    def source_of(self, lease: int) -> int | None:
        """Return the lease that makes what an early one lacks, if that is what it is."""
        no, number = self.leases[lease]
        run = self.runs[no]
        lacking = [source for source in run.tasks[number].before if run.tasks[source].state != "finished"]
        return run.tasks[lacking[0]].lease if lacking else None

    def _take_back_early(self, no: int, number: int) -> None:
        """What follows a task that did not end well waits again, unless its run stops."""
        for lease, (other, there) in list(self.leases.items()):
            if other == no and number in self.runs[no].tasks[there].before and lease in self.leases:
                self.release(lease)

    def started(self, link: bytes, lease: int) -> None:
        task = self._mine(link, lease)
        if task is not None and self.source_of(lease) is None:
            task.state = "running"

    def result(self, link: bytes, lease: int, how: str) -> bool:
        """Return whether the answer must be ACCEPTED."""
        task = self._mine(link, lease)
        if task is None:
            return lease in self.accepted
        no, number = self.leases[lease]
        run = self.runs[no]
        if not run.halting and self.source_of(lease) is not None:
            self.release(lease)
            return False
        del self.leases[lease]
        if run.halting:
            task.state = "cancelled"
            return False
        self.accepted.add(lease)
        if how != "ok":
            self._take_back_early(no, number)
        if how == "ok":
            task.state = "finished"
            self._wake(run)
        elif how == "crash":
            task.crashes += 1
            self._again(run, number, spent=task.crashes >= self.crash_budget)
        elif how == "lack":
            task.lacks += 1
            spent = task.lacks > 1 or all(node.cpu < task.cpu for node in self.nodes.values())
            self._again(run, number, spent=spent)
        else:
            self._fail(run, number)
        return True

    def release(self, lease: int) -> None:
        no, number = self.leases.pop(lease)
        if not self.runs[no].halting:
            self._take_back_early(no, number)
        self._again(self.runs[no], number, spent=False)

    def cancel(self, no: int) -> None:
        run = self.runs[no]
        if run.over or run.cancelled:
            return
        run.cancelled = run.halting = True
        for task in run.tasks:
            if task.state in ("waiting", "ready"):
                task.state = "cancelled"

    def join(self, name: str, cpu: int, workers: int, incarnation: int, link: bytes, kept: set[int]) -> None:
        old = self.nodes.get(name)
        if old is not None and old.incarnation != incarnation:
            self.lose(name)
            old = None
        if old is not None:
            for lease in [lease for lease in self.of(name) if lease not in kept]:
                if lease in self.leases:
                    self.release(lease)
        self.parted.pop(name, None)
        self.nodes[name] = Node(cpu, workers, incarnation, link, self.now, lost_at=self.now + 10)

    def lose(self, name: str) -> None:
        node = self.nodes[name]
        for lease in reversed(self.of(name)):  # the oldest comes to stand at the front
            no, number = self.leases.pop(lease)
            task = self.runs[no].tasks[number]
            ran = task.state == "running"
            task.losses += ran and not self.runs[no].halting
            self._again(self.runs[no], number, spent=ran and task.losses >= self.loss_budget)
            if task.state == "ready":
                self.lost[lease] = Loss(no, number, name, node.incarnation, ran)
        self.parted[name] = node.cpu, node.workers, node.incarnation
        del self.nodes[name]

    def adoptable(self, lease: int, name: str, incarnation: int) -> bool:
        """Tell whether a node that comes back with a lost attempt may go on with it."""
        loss = self.lost.get(lease)
        if loss is None or (loss.node, loss.incarnation) != (name, incarnation):
            return False
        task = self.runs[loss.run].tasks[loss.task]
        wanted = task.state == "ready" and task.lease == lease and not self.runs[loss.run].halting
        return wanted and self.free(name) >= task.cpu and self.count(name) < self.nodes[name].workers

    def adopted(self, old: int, new: int) -> None:
        loss = self.lost.pop(old)
        task = self.runs[loss.run].tasks[loss.task]
        assert new > max(self.all_leases), "tokens must grow"
        task.state, task.lease, task.node, task.grant = "leased", new, loss.node, new
        task.losses -= loss.charged
        self.leases[new] = loss.run, loss.task
        self.all_leases.append(new)
        self.formerly[new] = old

    def renamed(self, lease: int, name: str, incarnation: int, kept: set[int]) -> int | None:
        """Return the lease in force of an attempt that its node still calls by an earlier name, if it is one."""
        node = self.nodes.get(name)
        if node is None or node.incarnation != incarnation:
            return None
        return next((new for new in self.of(name) if self.formerly.get(new) == lease and new not in kept), None)

    def leave(self, name: str) -> None:
        for lease in self.of(name):
            if lease in self.leases:
                self.release(lease)
        del self.nodes[name]

    def cut(self, link: bytes, *, quick: bool) -> None:
        name = self.at(link)
        if name is not None:
            node = self.nodes[name]
            node.link, node.doubted, node.suspect = None, True, True
            if quick and self.now - node.heard < 2:
                node.lost_at = min(node.lost_at, self.now + 1)

    def heard(self, link: bytes) -> None:
        name = self.at(link)
        if name is not None:
            node = self.nodes[name]
            node.heard, node.doubted, node.suspect, node.lost_at = self.now, False, False, self.now + 10

    def tick(self) -> None:
        for name, node in list(self.nodes.items()):
            if self.now >= node.lost_at:
                self.lose(name)
            else:
                node.suspect = node.doubted or self.now >= node.heard + 3

    def restart(self) -> None:
        """Nodes and leases are as they were, but nobody has been heard yet."""
        for node in self.nodes.values():
            node.link, node.draining = None, False
            node.heard, node.doubted, node.suspect, node.lost_at = self.now, True, True, self.now + 10
        # What was never told to have begun was given up without a charge, of which the journal says nothing.
        self.lost = {lease: loss for lease, loss in self.lost.items() if loss.charged}

    # -- what must be ----------------------------------------------------------------------------------------------

    def at(self, link: bytes) -> str | None:
        return next((name for name, node in self.nodes.items() if node.link == link), None)

    def of(self, name: str) -> list[int]:
        return [lease for lease, (no, task) in self.leases.items() if self.runs[no].tasks[task].node == name]

    def _grants(self, name: str) -> dict[int, int]:
        """Return what each grant on a node holds."""
        tasks = [self.runs[no].tasks[number] for no, number in (self.leases[lease] for lease in self.of(name))]
        return {task.grant: task.cpu for task in tasks}

    def count(self, name: str) -> int:
        return len(self._grants(name))

    def free(self, name: str) -> int:
        return self.nodes[name].cpu - sum(self._grants(name).values())

    def takes_work(self, name: str) -> bool:
        node = self.nodes[name]
        return node.link is not None and not node.suspect and not node.draining

    def states(self, no: int) -> list[str]:
        return [task.state for task in self.runs[no].tasks]

    def check_no_room_unused(self) -> None:
        """A ready task waits only if no node could take it now: nobody blocks anybody.

        Save those that failed on some node: they may wait for another one; and one that must be alone may have room
        kept for it.
        """
        tasks = [task for run in self.runs.values() for task in run.tasks if task.state == "ready"]
        ready = [task.cpu for task in tasks if not task.crashes + task.losses]
        if any(task.lacks for task in tasks):
            return
        for name in self.nodes:
            if (
                ready
                and not self._is_taken_alone(name)
                and self.takes_work(name)
                and self.count(name) < self.nodes[name].workers
            ):
                assert self.free(name) < min(ready), f"{name} has {self.free(name)} free, {ready} wait"

    def _is_taken_alone(self, name: str) -> bool:
        held = [self.leases[lease] for lease in self.of(name)]
        return any(self.runs[no].tasks[number].lacks for no, number in held)

    def _mine(self, link: bytes, lease: int) -> Task | None:
        name = self.at(link)
        if name is None or lease not in self.leases:
            return None
        no, number = self.leases[lease]
        task = self.runs[no].tasks[number]
        return task if task.node == name else None

    def _wake(self, run: Run) -> None:
        for task in run.tasks:
            if task.state == "waiting" and all(run.tasks[source].state == "finished" for source in task.before):
                task.state = "ready"

    def _again(self, run: Run, number: int, *, spent: bool) -> None:
        task = run.tasks[number]
        if run.halting:
            task.state = "cancelled"
        elif spent:
            self._fail(run, number)
        else:
            task.state = "waiting"
            self._wake(run)

    def _fail(self, run: Run, number: int) -> None:
        run.tasks[number].state = "failed"
        doomed = {number}
        for index, task in enumerate(run.tasks):  # sources come first
            if doomed & set(task.before):
                doomed.add(index)
                task.state = "skipped"
        if run.fail_fast:
            run.halting = True
            for task in run.tasks:
                if task.state in ("waiting", "ready"):
                    task.state = "skipped"

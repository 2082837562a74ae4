"""Who holds the objects that tasks made: the head's belief, told by nodes and never journalled (docs/adr/0022).

Rules
* An object is known from the accepted result on, first at the node that made it. HOLDING adds holders; its last part
  after a WELCOME takes away what the node does not name. After a restart of the head the node in the log is believed
  until it is heard.
* All objects of one lease are let go together, by FORGET to whoever holds one. What a node tells of and the head does
  not know is answered by FORGET, so no copy is left behind for longer than until its node's next session.
* They are let go when the head has those that it keeps and nobody in the run needs them, `object_ttl` seconds after
  the end of their run, or with the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final

from maze_head.core.effects import DropObjects, Send
from maze_head.core.made import Made, objects_of
from maze_protocol.events import OutputMeta
from maze_protocol.messages import Forget, Holding

if TYPE_CHECKING:
    from maze_head.core.nodes import Node
    from maze_head.core.runs import Run
    from maze_head.core.state import State

__all__ = [
    "Copies", "OBJECT_MINOR", "Objects", "Part", "bytes_on_nodes", "close_run", "distrust", "drop_node", "drop_runs",
    "expire", "forget", "let_go", "note_made", "on_holding", "settle_kept",
]  # fmt: skip

OBJECT_MINOR: Final = 3
"""From this minor version of the protocol on a node knows objects."""
FORGET_AT_ONCE: Final = 10_000
"""Leases in one FORGET."""


class Part:
    """One object."""

    __slots__ = (
        "again_at", "coming", "holders", "keeping", "kept", "last_holder", "like", "meta", "missed_at", "misses",
        "tries",
    )  # fmt: skip

    def __init__(self, meta: OutputMeta) -> None:
        self.meta = meta
        self.holders: dict[str, None] = {}
        """Node ids, in order of arrival."""
        self.coming: dict[str, None] = {}
        """Ids of nodes that were told to fetch it, in that order, until they have it; maybe they do not any more."""
        self.last_holder = ""
        """Who lost it last."""
        self.kept = False
        """The head has it."""
        self.keeping = False
        """The head was told to get it."""
        self.like = 0
        """An earlier run for which the head has it, until it is linked for this one."""
        self.tries = 0
        self.again_at = 0.0
        """Monotonic time before which the head is not told again."""
        self.misses = 0
        """How often, a pause apart, a node could get it from nobody since a node told that it has it."""
        self.missed_at = -inf


class Copies:
    """The objects of one lease."""

    __slots__ = ("earlier", "lease", "parts", "run_no", "task")

    def __init__(self, run_no: int, task: int, made: Made) -> None:
        self.run_no = run_no
        self.earlier: dict[int, None] = {}
        """Runs that are over and had them before: their readers may still ask."""
        self.task = task
        self.lease = made.lease
        self.parts = {output: Part(made.outputs[output]) for output in objects_of(made.outputs)}

    def missing(self) -> tuple[int, ...]:
        """Return the numbers of those that neither a node nor the head has."""
        return tuple(output for output, part in self.parts.items() if not (part.holders or part.kept or part.like))

    def holders(self) -> dict[str, None]:
        """Return all nodes that hold one of them."""
        return dict.fromkeys(node for part in self.parts.values() for node in part.holders)


class Objects:
    """All objects that nodes may hold."""

    def __init__(self) -> None:
        self.made: dict[int, Copies] = {}
        """By the lease that made them."""
        self.of_task: dict[tuple[int, int], int] = {}
        """That lease, by run number and task number."""
        self.of_run: dict[int, dict[int, None]] = {}
        """Those leases, by run number."""
        self.of_node: dict[str, dict[int, None]] = {}
        """Leases of which a node holds something, by node id."""
        self.told: dict[str, dict[tuple[int, int], None]] = {}
        """What nodes hold as far as known since their WELCOME, until they have told all of it."""
        self.owed: dict[tuple[int, int], None] = {}
        """(lease, output) of what the head shall keep and is not getting at the moment."""
        self.expiring: deque[tuple[float, int]] = deque()
        """(monotonic time, run number) of runs that are over."""
        self.settled_at = 0.0
        """Monotonic time until which nodes may still have to say what they hold, after a restart; 0: no more."""

    def add(self, run_no: int, task: int, made: Made) -> Copies:
        """Begin to know the objects of a lease; what the task made before goes on under its own lease."""
        copies = self.made[made.lease] = Copies(run_no, task, made)
        self.of_task[run_no, task] = made.lease
        self.of_run.setdefault(run_no, {})[made.lease] = None
        return copies

    def pass_on(self, copies: Copies, run_no: int) -> None:
        """Let a run have what an earlier one had, which is over."""
        self._leave_run(copies)
        copies.earlier[copies.run_no] = None
        copies.run_no = run_no
        self.of_task[run_no, copies.task] = copies.lease
        self.of_run.setdefault(run_no, {})[copies.lease] = None

    def find(self, run_no: int, task: int) -> Copies | None:
        """Return the objects of a task."""
        return self.made.get(self.of_task.get((run_no, task), 0))

    def of(self, run_no: int, task: int) -> Copies:
        """Return the objects of a task that made some, of a live run."""
        return self.made[self.of_task[run_no, task]]

    def hold(self, node_id: str, copies: Copies, output: int) -> None:
        """Note that a node holds an object."""
        part = copies.parts[output]
        part.holders[node_id] = None
        part.coming.pop(node_id, None)
        part.misses = 0
        self.of_node.setdefault(node_id, {})[copies.lease] = None

    def unhold(self, node_id: str, copies: Copies, output: int) -> None:
        """Note that a node holds an object no more."""
        part = copies.parts[output]
        if node_id in part.holders:
            del part.holders[node_id]
            part.last_holder = node_id
        if node_id not in copies.holders():
            self._take_from(node_id, copies.lease)

    def held_by(self, node_id: str) -> Iterator[tuple[Copies, int]]:
        """Go through what a node holds."""
        for lease in list(self.of_node.get(node_id, ())):
            copies = self.made[lease]
            for output, part in copies.parts.items():
                if node_id in part.holders:
                    yield copies, output

    def remove(self, lease: int) -> Copies | None:
        """Know the objects of a lease no more."""
        copies = self.made.pop(lease, None)
        if copies is None:
            return None
        for node_id in copies.holders():
            self._take_from(node_id, lease)
        for output in copies.parts:
            self.owed.pop((lease, output), None)
        for run_no in (*copies.earlier, copies.run_no):
            if self.of_task.get((run_no, copies.task)) == lease:
                del self.of_task[run_no, copies.task]
        self._leave_run(copies)
        return copies

    def _leave_run(self, copies: Copies) -> None:
        leases = self.of_run[copies.run_no]
        del leases[copies.lease]
        if not leases:
            del self.of_run[copies.run_no]

    def _take_from(self, node_id: str, lease: int) -> None:
        leases = self.of_node.get(node_id, {})
        leases.pop(lease, None)
        if not leases:
            self.of_node.pop(node_id, None)


def note_made(state: State, run: Run, task: int) -> Copies:
    """Take in the objects that a task has made, held where it ran, or that an earlier run had."""
    made = run.objects.made[task]
    copies = state.objects.made.get(made.lease)
    if copies is not None:
        state.objects.pass_on(copies, run.no)
    else:
        copies = state.objects.add(run.no, task, made)
        _hold_all(state, made.node, copies)
    unkept, kept = run.objects.unkept.get(task, ()), run.objects.kept.get(task, ())
    elsewhere = run.objects.elsewhere.get(task, ())
    for output, part in copies.parts.items():
        part.kept, part.keeping = output in kept, False
        if output in elsewhere and not part.kept:
            part.like = state.run_numbers.get(run.submitted.retry_of, 0)
        if output in unkept:
            state.objects.owed[copies.lease, output] = None
    return copies


def _hold_all(state: State, node_id: str, copies: Copies) -> None:
    """Believe that the node where a task ran holds all that it made."""
    node = state.nodes.get(node_id)
    for output in copies.parts:
        if node is not None and not node.gone:
            state.objects.hold(node_id, copies, output)
        if node_id in state.objects.told:
            state.objects.told[node_id][copies.lease, output] = None


def on_holding(state: State, node: Node, message: Holding) -> list[Copies]:
    """Take in what a node holds; return that of which it has lost something."""
    objects = state.objects
    told = objects.told.get(node.id, {})
    unknown: dict[int, None] = {}
    for lease, output in message.objects:
        copies = objects.made.get(lease)
        if copies is not None and output in copies.parts:
            objects.hold(node.id, copies, output)
            told[lease, output] = None
        elif copies is None and not _is_under_way(node, lease):
            unknown[lease] = None
    _tell(state, {node.id: list(unknown)})
    if not message.whole:
        return []
    objects.told.pop(node.id, None)
    missing = [pair for pair in objects.held_by(node.id) if (pair[0].lease, pair[1]) not in told]
    for copies, output in missing:
        objects.unhold(node.id, copies, output)
    return [copies for copies, _ in missing]


def _is_under_way(node: Node, token: int) -> bool:
    """Tell whether a node has yet to report what made an object."""
    return token in node.leases or any(lease.formerly == token for lease in node.leases.values())


def drop_node(state: State, node: Node) -> list[Copies]:
    """Take in that all that a node held went with it; return that."""
    state.objects.told.pop(node.id, None)
    lost = list(state.objects.held_by(node.id))
    for copies, output in lost:
        state.objects.unhold(node.id, copies, output)
    return [copies for copies, _ in lost]


def distrust(state: State, node: Node, copies: Copies, output: int) -> None:
    """Believe no more that a node holds an object, and have it thrown away if it does after all."""
    if node.id in copies.parts[output].holders:
        state.objects.unhold(node.id, copies, output)
        if node.id not in copies.holders():
            _tell(state, {node.id: [copies.lease]})


def forget(state: State, leases: Iterable[int]) -> None:
    """Let go of all objects of these leases, wherever they are."""
    by_node: dict[str, list[int]] = {}
    for lease in leases:
        copies = state.objects.remove(lease)
        for node_id in copies.holders() if copies is not None else ():
            by_node.setdefault(node_id, []).append(lease)
    _tell(state, by_node)


def let_go(state: State, copies: Copies) -> None:
    """Have the copies thrown away of what the head has, too; it is still known, and served by the head."""
    _tell(state, {node_id: [copies.lease] for node_id in copies.holders()})
    for node_id in copies.holders():
        for output in copies.parts:
            state.objects.unhold(node_id, copies, output)


def _tell(state: State, by_node: dict[str, list[int]]) -> None:
    for node_id, leases in by_node.items():
        node = state.nodes.get(node_id)
        if node is None or node.link is None:
            continue  # when it says HELLO again, what it holds is unknown here
        for start in range(0, len(leases), FORGET_AT_ONCE):
            state.emit(Send(node.link, Forget(tuple(leases[start : start + FORGET_AT_ONCE]))))


def settle_kept(state: State, run: Run, task: int) -> None:
    """Let go of the copies of what a task made if the head has it and no task waits for it."""
    copies = state.objects.find(run.no, task)
    if copies is None or not all(part.kept for part in copies.parts.values()):
        return
    if not run.is_awaited(task):
        let_go(state, copies)


def close_run(state: State, run: Run) -> None:
    """Let go of what the head has of a run that is over; the rest stays for a while, for its readers."""
    leases = state.objects.of_run.get(run.no)
    if leases is None:
        return
    parts = {lease: state.objects.made[lease].parts.values() for lease in leases}
    if any(part.keeping for each in parts.values() for part in each):
        state.emit(DropObjects((run.no,)))
    forget(state, [lease for lease, each in parts.items() if all(part.kept for part in each)])
    if run.no in state.objects.of_run:
        state.objects.expiring.append((state.now.mono + state.settings.object_ttl, run.no))


def bytes_on_nodes(state: State, run_no: int) -> int:
    """Return how much nodes hold of what the tasks of a run made, all copies."""
    leases = state.objects.of_run.get(run_no, {})
    parts = (part for lease in leases for part in state.objects.made[lease].parts.values())
    return sum(part.meta.size * len(part.holders) for part in parts)


def expire(state: State) -> None:
    """Let go of what was kept for the readers of runs that were over some time ago."""
    expiring = state.objects.expiring
    numbers = []
    while expiring and expiring[0][0] <= state.now.mono:
        numbers.append(expiring.popleft()[1])
    drop_runs(state, numbers)


def drop_runs(state: State, numbers: Iterable[int]) -> None:
    """Let go of all objects of runs that are over."""
    dropped = tuple(number for number in numbers if number in state.objects.of_run)
    if dropped:
        forget(state, [lease for number in dropped for lease in state.objects.of_run[number]])
        state.emit(DropObjects(dropped))

"""What must hold of the state between two calls; run after every step in tests (reliability.md, 4.3).

Each check raises AssertionError with the facts. I1, I2 (one accepted result, under the last token) and I17 (no start
after a cancel) concern what was emitted, so tests watch effects for those; what the state can show of them is here.
"""

from __future__ import annotations

from maze_head.core.backlog import places_of, shape_of
from maze_head.core.leases import Lease
from maze_head.core.ledger import WHOLE_MILLI
from maze_head.core.nodes import Node
from maze_head.core.runs import Run
from maze_head.core.state import State
from maze_head.core.transitions import FINISHED, IS_OVER, LEASED, READY, RUNNING, WAITING
from maze_protocol.resources import Claim, DeviceClaim

__all__ = ["check"]


def check(state: State) -> None:
    """Check everything.

    Raises:
        AssertionError: an invariant is broken.
    """
    assert not state.effects, "effects were left behind"
    assert not state.touched, "events were left behind"
    for run in state.runs.values():
        _check_counts(run)
        _check_readiness(state, run)
        _check_leases(state, run)
    assert state.pending == sum(run.open for run in state.runs.values()), f"{state.pending} tasks counted as pending"
    _check_queues(state)
    for node in state.nodes.values():
        _check_room(node)
    _check_links(state)
    _check_shared(state)
    _check_retained(state)
    _check_objects(state)


def _check_counts(run: Run) -> None:
    for phase, count in enumerate(run.counts):
        assert run.phase.count(phase) == count, f"run {run.no}: {count} tasks counted in phase {phase}"
    for number, ready in enumerate(run.ready_of):
        found = sum(1 for _ in run.of_shape(number, READY))
        assert found == ready, f"run {run.no}: {ready} tasks of shape {number} counted as ready, {found} are"
    assert run.sealed_by is None, f"run {run.no} is sealed and still live"
    assert run.open or run.objects.unkept, f"run {run.no}: every task is over and it is not sealed (I8)"


def _check_readiness(state: State, run: Run) -> None:
    """I4: a task is past WAITING only if everything before it is finished, or it was leased early."""
    leases = [lease for lease in state.leases.current.values() if lease.run is run]
    followers = {lease.task: lease for lease in leases if lease.follows is not None}
    for lease in followers.values():
        _check_early(lease)
    missing = [0] * len(run.graph)
    for source in range(len(run.graph)):
        for target in run.graph.after(source):
            missing[target] += run.phase[source] != FINISHED
    rebuilding = [0] * len(run.graph)
    for source in run.objects.lost:
        assert run.phase[source] in (WAITING, READY, LEASED, RUNNING), f"is not made anew; {run.story(source)}"
        for target in run.graph.after(source):
            rebuilding[target] += 1
    for task, count in enumerate(missing):
        phase = run.phase[task]
        assert run.missing[task] == count, f"waits for {count}; {run.story(task)}"
        if phase == WAITING:
            assert count, f"nothing is missing; {run.story(task)}"
        elif phase == READY:
            assert not count, f"{count} are missing; {run.story(task)}"
        elif phase in (LEASED, RUNNING, FINISHED):
            # What began before its inputs were lost may have them; an early lease lacks what the one before it makes.
            early = phase == LEASED and task in followers
            # In a run that stops it does so, too, and mostly for ever.
            assert run.halting or count == rebuilding[task] + early, f"{count} are missing; {run.story(task)}"


def _check_early(lease: Lease) -> None:
    before, run = lease.follows, lease.run
    assert before is not None, "an early lease that lacks nothing"
    assert before.follower is lease, f"the lease before it does not know it; {run.story(lease.task)}"
    assert before.token in before.node.leases, f"the lease before it is not in force; {run.story(lease.task)}"
    assert run.graph.only_after(before.task) == lease.task, f"it waits for another task; {run.story(lease.task)}"
    places = [(each.grant.id, each.node.id, each.run.no) for each in (before, lease)]
    assert places[0] == places[1], f"elsewhere than the lease before it; {run.story(lease.task)}"


def _check_leases(state: State, run: Run) -> None:
    """I2, I7, I13: a held task has exactly one lease in force, the last one made; nothing else has any."""
    held = {lease.task: lease for lease in state.leases.current.values() if lease.run is run}
    for task, phase in enumerate(run.phase):
        lease = held.get(task)
        assert (lease is not None) == (phase in (LEASED, RUNNING)), f"lease {lease}; {run.story(task)}"
        assert lease is None or lease.token == run.lease[task], f"another lease is in force; {run.story(task)}"
        assert lease is None or lease.node.leases.get(lease.token) is lease, f"the node lacks it; {run.story(task)}"
        if not IS_OVER[phase]:
            crashes = sum(fault.kind == "crash" for fault in run.faults.get(task, ()))
            assert crashes < state.settings.crash_budget, f"too many crashes; {run.story(task)}"


def _check_queues(state: State) -> None:
    """Every ready task has exactly one entry, in the queue of its shape or among those that pause."""
    for run in state.runs.values():
        assert not run.fresh, f"run {run.no}: ready tasks are not queued"
        assert not run.again, f"run {run.no}: retries are not queued"
        assert not run.later, f"run {run.no}: pauses are not kept"
    seen: dict[tuple[int, int], int] = {}
    for queue in state.ready.queues.values():
        for run_no, task in queue.tasks():
            run_or_none = state.runs.get(run_no)
            if run_or_none is not None and run_or_none.phase[task] == READY:
                assert shape_of(run_or_none, task) == queue.shape, f"wrong queue; {run_or_none.story(task)}"
                assert queue.place.pin in ("", run_or_none.places.get(run_or_none.graph.anchors.get(task, -1)))
                seen[run_no, task] = seen.get((run_no, task), 0) + 1
    for _, run_no, task in state.ready.delayed:
        run_or_none = state.runs.get(run_no)
        if run_or_none is not None and run_or_none.phase[task] == READY:
            seen[run_no, task] = seen.get((run_no, task), 0) + 1
    ready = {(run.no, task) for run in state.runs.values() for task, p in enumerate(run.phase) if p == READY}
    assert seen == dict.fromkeys(ready, 1), f"queued {seen}, ready {sorted(ready)}"


def _check_shared(state: State) -> None:
    """What projects and named limits hold is what the leases in force hold; what is kept is kept for somebody."""
    held: dict[str, int] = {}
    units: dict[str, int] = {}
    company: dict[tuple[str, int, str], int] = {}
    for lease in state.leases.current.values():
        assert lease.grant.leases.get(lease.token) is lease, "a lease behind a grant that does not know it"
        assert lease.node.grants.get(lease.grant.id) is lease.grant, "a grant that its node does not know"
        if next(iter(lease.grant.leases.values())) is not lease:
            continue
        for node, claim in lease.parts():
            project = lease.run.submitted.project
            held[project] = held.get(project, 0) + claim.cpu_milli
            if lease.terms.apart:
                company[node.id, *lease.company] = company.get((node.id, *lease.company), 0) + 1
        for name, count in lease.terms.limits:
            units[name] = units.get(name, 0) + count
    assert {name: each.cpu_milli for name, each in state.shares.held.items()} == held, "shares of projects"
    assert state.allowances.held == units, "units of named limits"
    assert {(node.id, *key): count for node in state.nodes.values() for key, count in node.company.items()} == company
    assert all(count == 1 for count in company.values()), f"tasks that keep apart share a node: {company}"
    for reservation in state.reservations:
        assert reservation.queue.reservation is reservation, "a reservation that its queue does not know"
        assert all(node.reservation is reservation for node in reservation.nodes), "a node is kept for another"


def _check_room(node: Node) -> None:
    """I6: what is free and what is claimed make the capacity, and a whole device has one user.

    Below zero is legal while a capacity has shrunk under what runs; that nothing is given then, tests check from step
    to step.
    """
    ledger, claims = node.ledger, [claim for _, claim in node.held()]
    capacity = ledger.capacity
    assert capacity == node.hello.capacity, f"{node.id}: the room of another capacity"
    assert ledger.attempts == len(claims), f"{node.id}: {ledger.attempts} attempts counted, {len(claims)} held"
    assert ledger.cpu_free == capacity.cpu_milli - sum(claim.cpu_milli for claim in claims), f"{node.id}: CPU"
    assert ledger.mem_free == capacity.mem_mib - sum(claim.mem_mib for claim in claims), f"{node.id}: memory"
    assert list(ledger.devices) == [device.index for device in capacity.devices], f"{node.id}: devices"
    for device in capacity.devices:
        state = ledger.devices[device.index]
        parts = _parts(claims, device.index)
        assert state.free_milli == WHOLE_MILLI - sum(part.milli for part in parts), f"{node.id}: GPU {device.index}"
        assert state.free_mem == device.mem_mib - sum(part.mem_mib for part in parts), f"{node.id}: GPU memory"
    for index in dict.fromkeys(part.index for claim in claims for part in claim.devices):
        parts = _parts(claims, index)
        whole = [part for part in parts if part.milli == WHOLE_MILLI]
        assert not whole or len(parts) == 1, f"{node.id}: whole GPU {index} is shared"


def _parts(claims: list[Claim], index: int) -> list[DeviceClaim]:
    return [part for claim in claims for part in claim.devices if part.index == index]


def _check_links(state: State) -> None:
    for link, node in state.links.items():
        assert node.link == link, f"{node.id} is bound to another link"
        assert state.nodes[node.id] is node, f"{node.id}: an old incarnation is still bound"
    for node in state.nodes.values():
        assert node.link is None or state.links.get(node.link) is node, f"{node.id}: its link is not bound"
        assert not (node.gone and list(node.held())), f"{node.id} is {node.gone} and holds leases"


def _check_retained(state: State) -> None:
    """I16: nothing of a sealed run stays but its summary, and of workflows only so many tasks as are used."""
    assert set(state.queues) == set(state.runs), "queues of runs that are over"
    for graph in state.graphs.values():
        users = sum(run.graph is graph for run in state.runs.values())
        assert graph.live_runs == users, f"graph of {users} runs counts {graph.live_runs}"
    saved = {flow.id for flow in state.workflows.values() if state.is_saved(flow.id, flow.revision)}
    away = {flow.id for flow in state.workflows.values() if flow.away}
    assert away <= saved, "workflows put away that were never saved"
    assert {flow for flow in state.workflows if flow in state.shelf} == saved - away, "workflows that can be put away"
    assert len(state.shelf) == len(saved - away), "the shelf knows workflows that are gone"
    awaited = {flow for flow in state.shelf.awaited if flow in state.workflows}
    assert awaited <= away, "commands wait for workflows that are at hand"
    compiled = [graph for graph in state.graphs.values() if graph.workflow_id in away]
    assert all(graph.live_runs for graph in compiled), "compiled graphs of workflows put away"
    idle = {flow.id for flow in state.workflows.values() if not flow.name and not state.runs_of(flow.id)}
    assert set(state.idle) == idle, "workflows that nobody uses"
    used = {place for run in state.runs.values() for place in places_of(run)}
    state.ready.live()  # forgets the empty queues of single tasks
    holding = {place for place, queue in state.ready.queues.items() if queue.lanes}
    assert set(state.ready.queues) == used | holding, "queues that no run uses"


def _check_objects(state: State) -> None:
    """The tables of objects agree with each other and with the logs of live runs, and nothing of gone nodes stays."""
    objects = state.objects
    held: dict[str, set[int]] = {}
    for lease, copies in objects.made.items():
        assert lease in objects.of_run[copies.run_no], f"lease {lease:#x}: its run does not know it"
        assert copies.run_no in state.runs or copies.run_no in state.sealed, f"lease {lease:#x}: of no run"
        for node_id in copies.holders():
            held.setdefault(node_id, set()).add(lease)
            assert not state.nodes[node_id].gone, f"lease {lease:#x}: held by a node that is gone"
    assert {name: set(leases) for name, leases in objects.of_node.items()} == held, "what nodes hold"
    assert sum(map(len, objects.of_run.values())) == len(objects.made), "objects of runs"
    assert all(objects.made[lease].task == key[1] for key, lease in objects.of_task.items()), "objects of tasks"
    for run in state.runs.values():
        assert all((run.no, task) in objects.of_task for task in run.objects.made), f"run {run.no}: unknown objects"
        for task, outputs in run.objects.unkept.items():
            copies = objects.made[objects.of_task[run.no, task]]
            for output in outputs:
                owed = (copies.lease, output) in objects.owed
                assert owed != copies.parts[output].keeping, f"run {run.no} task {task}: nobody sees to output {output}"
    for lease, output in objects.owed:
        run_no, task = objects.made[lease].run_no, objects.made[lease].task
        assert output in state.runs[run_no].objects.unkept.get(task, ()), f"run {run_no} task {task}: kept for nothing"

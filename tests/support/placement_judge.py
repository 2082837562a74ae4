"""The judge of placement: what was given, to whom, and what waits, against the oracle's arithmetic.

Tests tell it what nodes and tasks say of themselves; what was given it reads from the journal. Who holds what and which
nodes take work is the core's word here: test_head_core.py holds it to those.
"""

from __future__ import annotations

from typing import Any

from maze_head.core import effects as fx
from maze_head.core.transitions import READY
from maze_protocol.events import TaskAdopted, TaskLeased
from maze_protocol.resources import Capacity
from support.head_core import Head
from support.placement_oracle import Given, Place, Want, check_claim, given_of

__all__ = ["RESERVE_AFTER", "SHUN_SECONDS", "Judge"]

SHUN_SECONDS = 2.0
RESERVE_AFTER = 15.0
LEAST_SECONDS = 0.1
"""What has no time limit is expected to take some time, too."""
UNBOUND = 1_000_000


class Judge:
    """What is known of one history, and the verdict after each step."""

    def __init__(self) -> None:
        self.now = 0.0
        self.state: Any = None
        self.wants: dict[tuple[int, int], Want] = {}
        self.capacities: dict[str, Capacity] = {}
        """What each node has told last."""
        self.pythons: dict[str, int] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.leaves_at: dict[str, float] = {}
        self.given: dict[int, list[Given]] = {}
        """By lease in force, as the journal has it: a part for each node."""
        self.ever_given: dict[int, list[Given]] = {}
        self.adopted: set[int] = set()
        """Leases of attempts that go on after their node was given up: as they were begun, whatever it has now."""
        self.holders: dict[int, tuple[int, int]] = {}
        """Run and task of each lease that ever was."""
        self.last_place: dict[tuple[int, int], str] = {}
        self.anchors: dict[tuple[int, int], tuple[str, int]] = {}
        """Where each task was leased last, with the life of that node, as long as it lasts."""
        self.limits: dict[str, int] = {}
        self.caps: dict[str, int] = {}
        """How many tasks a project may have at a time."""
        self.projects: dict[int, str] = {}
        self.waiting: dict[tuple[int, int], float] = {}
        """Since when each ready task is seen to wait."""
        self.shunning: dict[tuple[int, int], float] = {}
        """Since when a task could start on a node that it failed on, and waits for another one."""

    def head_died(self) -> None:
        """Forget since when tasks wait: the next head counts anew."""
        self.waiting.clear()
        self.shunning.clear()

    def look(self, head: Head) -> None:
        """Take in the effects of a step, and judge.

        Raises:
            AssertionError: a task was given what it may not have, or waits though nothing holds it.
        """
        self.now, self.state = head.mono, head.core.state
        new: list[int] = []
        for append in head.take(fx.Append):
            for event in append.events:
                if isinstance(event, (TaskLeased, TaskAdopted)):
                    self._note(append.run_no, event)
                    new.append(event.lease)
        for effect in head.take(fx.AssignTask):
            holder = self.ever_given[effect.assignment.lease][0]
            assert self.state.links[effect.link].id == holder.node, "another node was told than the one that holds it"
            want = self.wants[self.holders[effect.assignment.lease]]
            assert given_of(holder.node, effect.assignment.claim, want) == holder, "and another claim"
        head.forget()
        self.anchors = {key: at for key, at in self.anchors.items() if self._is_member(*at)}
        current = self.state.leases.current
        self.given = {token: self.ever_given[token] for token in current}
        places = self._places()
        for token in new:
            if token in current:
                self._check_grant(token, places)
        for place in places.values():
            assert not place.shared_wholes(), f"{place} shares {place.shared_wholes()}"
            company = [each.company for each in place.given if each.company]
            assert len(company) == len(set(company)), f"{place.name} has tasks that keep apart"
        self._check_shared(new)
        self._check_waiting(places)

    def _note(self, run_no: int, event: TaskLeased | TaskAdopted) -> None:
        key, token = (run_no, event.task), event.lease
        parts = ((event.node, event.claim), *event.gang)
        given = self.ever_given[token] = [given_of(node, claim, self.wants[key]) for node, claim in parts]
        if isinstance(event, TaskAdopted):
            self.adopted.add(token)
            assert given == self.ever_given[event.old_lease], "an attempt goes on with what it was not given"
        self.holders[token] = key
        self.last_place[key] = event.node
        if event.node in self.state.nodes:
            self.anchors[key] = event.node, self.state.nodes[event.node].hello.incarnation

    def _is_member(self, name: str, incarnation: int) -> bool:
        node = self.state.nodes.get(name)
        return node is not None and not node.gone and node.hello.incarnation == incarnation

    def _places(self) -> dict[str, Place]:
        places = {
            name: Place(
                name, self.capacities[name], (3, self.pythons[name]), self.labels[name],
                self.leaves_at[name] - self.now,
            )
            for name, node in self.state.nodes.items()
            if not node.gone
        }  # fmt: skip
        for parts in self.given.values():
            for each in parts:
                places[each.node].given.append(each)
        return places

    def _check_grant(self, token: int, places: dict[str, Place]) -> None:
        parts, want = self.given[token], self.wants[self.holders[token]]
        assert len({each.node for each in parts}) == len(parts) == want.nodes, f"{want} was given {parts}"
        for each in parts:
            place = places[each.node]
            assert place.suits(want), f"{want} was given to {place}"
            assert not place.too_much(each), f"{each}: {place.name} has not got that much: {place.too_much(each)}"
            anchor = self.anchors.get((want.run, want.follows)) if want.follows is not None else None
            if token not in self.adopted:
                assert anchor is None or each.node == anchor[0], f"{want} was to run on {anchor}, not on {each.node}"
                check_claim(want, each, place)
                assert want.seconds <= place.leaves_in, f"{want} was given to {place}"

    def _check_shared(self, new: list[int]) -> None:
        """Assert that no limit and no cap was crossed by what was given in this step."""
        for token in new:
            if token in self.given:
                key = self.holders[token]
                used = {name: self._units(name) - self.limits.get(name, UNBOUND) for name, _ in self.wants[key].limits}
                assert max(used.values(), default=0) <= 0, f"{self.wants[key]} crosses {used}"
                project = self.projects[key[0]]
                assert self._attempts(project) <= self.caps.get(project, UNBOUND), f"project {project!r} has too much"

    def _units(self, name: str) -> int:
        wants = [self.wants[self.holders[token]] for token in self.given]
        return sum(count for want in wants for each, count in want.limits if each == name)

    def _attempts(self, project: str) -> int:
        return sum(len(parts) for token, parts in self.given.items() if self._project(token) == project)

    def _project(self, token: int) -> str:
        return self.projects[self.holders[token][0]]

    def _check_waiting(self, places: dict[str, Place]) -> None:
        waiting = [(no, task) for no, run in self.state.runs.items() for task in self._ready(run)]
        self.waiting = {key: self.waiting.get(key, self.now) for key in waiting}
        self.shunning = {key: since for key, since in self.shunning.items() if key in self.waiting}
        self._check_kept(places)
        for key in waiting:
            if not self._is_capped(key):
                self._check_place(key, places)

    def _ready(self, run: Any) -> list[int]:
        return [task for task, phase in enumerate(run.phase) if phase == READY]

    def _is_capped(self, key: tuple[int, int]) -> bool:
        """Tell whether a limit or its project's cap holds a task."""
        want, project = self.wants[key], self.projects[key[0]]
        if any(self._units(name) + count > self.limits.get(name, UNBOUND) for name, count in want.limits):
            return True
        return self._attempts(project) + want.nodes > self.caps.get(project, UNBOUND)

    def _check_kept(self, places: dict[str, Place]) -> None:
        """Assert that room is kept only for tasks that have waited long, or for projects with less than their share, on
        a quarter of the nodes, and on nodes that could take it."""
        for reservation in self.state.reservations:
            run_no, task = reservation.queue.head() if reservation.queue.best() else (0, 0)
            if (run_no, task) not in self.waiting:
                continue  # it has just been placed, or cancelled; the next pass lets the room go
            want = self.wants[run_no, task]
            waited = self.now - self.waiting[run_no, task]
            assert reservation.many or waited >= RESERVE_AFTER, f"room is kept too soon for {want}"
            assert all(places[node.id].suits(want) for node in reservation.nodes), "room is kept where it is of no use"
        level = sum(len(reservation.nodes) for reservation in self.state.reservations if reservation.many)
        assert level <= max(1, len(self.state.nodes) // 4), "more than a quarter of the nodes is kept for the poorer"

    def _check_place(self, key: tuple[int, int], places: dict[str, Place]) -> None:
        """Assert that a task fits on no node that takes work, or that a stated policy holds it."""
        want = self.wants[key]
        working = [place for name, place in places.items() if self.state.nodes[name].takes_work]
        pin = self.last_place.get((key[0], want.follows)) if want.follows is not None else None
        if pin in places:
            working = [place for place in working if place.name == pin]
        taking = [place for place in working if place.takes(want) and not self._is_kept(place.name, key)]
        taking = [place for place in taking if want.seconds or place.leaves_in > LEAST_SECONDS]
        shunned = () if pin in places else self.state.runs[key[0]].avoid.get(key[1], ())
        free = [place.name for place in taking if place.name not in shunned]
        assert len(free) < want.nodes, f"{want} waits, {free} could take it"
        if len(taking) >= want.nodes:
            others = [place for place in working if place.name not in shunned and place.could_ever(want)]
            since = self.shunning.setdefault(key, self.now)
            assert others, f"{want} waits, and only {taking} could ever take it"
            assert self.now - since < SHUN_SECONDS, f"{want} waits, {taking} could take it"

    def _is_kept(self, name: str, key: tuple[int, int]) -> bool:
        kept = self.state.nodes[name].reservation
        return kept is not None and (kept.queue.best() is None or kept.queue.head() != key)

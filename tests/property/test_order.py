"""The order in which a whole core starts tasks, against scores that are computed naively at each start.

One node has room for one task at a time, so each start is a choice among all that is ready. The oracle knows nothing of
lanes, ranks and renewals: it looks at every ready task with the formula of the discipline, its waiting time at that
moment included. What it takes from the core are the predictions in force (test_predictions.py) and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.critical import CriticalPath
from maze_head.core.discipline import Fcfs, MakeDiscipline
from maze_head.core.hacs import Hacs
from maze_head.core.observed import GPU, kind_of
from maze_head.core.predictions import Predictions
from maze_head.core.runs import Run
from maze_head.core.settings import Settings
from maze_head.core.transitions import FINISHED, READY
from maze_protocol.http import CodeBody, EditRequest, WorkflowRequest
from maze_protocol.messages import OK, Outcome
from maze_protocol.values import MSGPACK, OutputValue, Value
from support.head_core import Head, add, gpus

STEP = 50.0
"""Seconds that one step of priority is worth here."""
BODIES = [f"function {number}".encode() for number in range(4)]
CODES = [CodeBody(hashlib.blake2b(body, digest_size=16).hexdigest(), "pickle", (3, 11), body, "f") for body in BODIES]
RESOURCES: list[dict[str, Any]] = [{"cpu": 1}, {"cpu": 0.6}, {"cpu": 1, "gpu": 1}]
"""A CPU task, an IO task and a GPU task; no two of them fit on one CPU."""

Score = Callable[[Predictions, Run, int, float], float]
"""How early a task would start, highest first, after so many seconds of waiting."""


def behind(run: Run, task: int) -> set[int]:
    return {there for first in run.graph.after(task) for there in {first} | behind(run, first)}


def duration(predictions: Predictions, run: Run, task: int) -> float:
    return predictions.seconds(run.graph.function(task), kind_of(run.graph.shape(task).request))


def hacs(predictions: Predictions, run: Run, task: int, waited: float) -> float:
    left = [
        other
        for other, phase in enumerate(run.phase)
        if phase < FINISHED and kind_of(run.graph.shape(other).request) == GPU
    ]
    phi = waited / predictions.jct - len(left)
    return math.log(math.log2(2 + 2 * len(behind(run, task))) / duration(predictions, run, task)) + phi * math.log(1.1)


def way(predictions: Predictions, run: Run, task: int) -> float:
    further = [way(predictions, run, there) for there in run.graph.after(task)]
    return duration(predictions, run, task) + max(further, default=0.0)


def critical(predictions: Predictions, run: Run, task: int, waited: float) -> float:
    return waited + way(predictions, run, task)


def fcfs(predictions: Predictions, run: Run, task: int, waited: float) -> float:
    return waited


@dataclass
class Cluster:
    """A head with one node for one task, and the oracle beside it."""

    make: MakeDiscipline
    score: Score
    dice: Random
    starts: int = 0
    contested: int = 0
    since: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.head = Head(Settings(order=self.make, priority_step=STEP, reserve_after=1e9))
        self.head.greet(capacity=gpus(100, cpu=1000))
        self.head.forget()
        self.flows = [number.to_bytes(16, "big") for number in range(1, 4)]
        for flow in self.flows:
            self.head.ask(ev.CreateWorkflow, flow, WorkflowRequest(name="w"))
            self.head.ask(ev.EditWorkflow, flow, EditRequest(self.graph(), CODES))
        self.runs = 0

    def graph(self) -> list[Any]:
        dice, size = self.dice, self.dice.randint(1, 7)
        return [
            add(
                number,
                *(source for source in range(number) if dice.random() < 0.3),
                code=dice.choice(CODES).hash,
                resources=dice.choice(RESOURCES),
            )
            for number in range(size)
        ]

    @property
    def predictions(self) -> Predictions:
        discipline = self.head.core.state.discipline
        if isinstance(discipline, (Hacs, CriticalPath)):
            return discipline.predictions
        return Predictions(self.head.core.state.observed)

    def submit(self) -> None:
        self.runs += 1
        run_id, priority = self.runs.to_bytes(16, "big"), self.dice.choice([0, 0, 0, 1, -1])
        self.head.run(run_id, self.dice.choice(self.flows), priority=priority)
        self.look()

    def cancel(self) -> None:
        self.head.ask(ev.CancelRun, self.dice.randint(1, self.runs).to_bytes(16, "big"), "enough")
        self.look()

    def finish(self) -> None:
        for lease in list(self.head.core.state.leases.current):
            seconds = float(10 ** self.dice.gauss(0.5, 0.7))
            self.head.mono += seconds
            outputs = (OutputValue("y", Value(MSGPACK, 1, b"\x01")),)
            self.head.result(Outcome(lease, OK, 1e9, seconds * 1000, outputs))
        self.look()

    def look(self) -> None:
        """Judge what was started since the last look, at most one task."""
        started = self.head.take(fx.AssignTask)
        self.head.forget()
        state = self.head.core.state
        assert len(started) <= 1
        chosen = {
            (lease.run.no, lease.task)
            for lease in state.leases.current.values()
            if started and lease.token == started[0].assignment.lease
        }
        waiting = {
            (run.no, task) for run in state.runs.values() for task, phase in enumerate(run.phase) if phase == READY
        }
        for key in chosen | waiting:
            self.since.setdefault(key, self.head.mono)
        if chosen:
            self.judge(chosen.pop(), waiting)

    def judge(self, chosen: tuple[int, int], waiting: set[tuple[int, int]]) -> None:
        mine = self.live(chosen)
        best = max((self.live(key) for key in waiting), default=mine)
        assert mine >= best - 1e-9 * max(1.0, abs(best)), "another task should have been started"
        self.starts += 1
        self.contested += len(waiting) > 1

    def live(self, key: tuple[int, int]) -> float:
        run = self.head.core.state.runs[key[0]]
        waited = self.head.mono - self.since[key] + run.submitted.priority * STEP
        return self.score(self.predictions, run, key[1], waited)


@pytest.mark.parametrize(("make", "score"), [(Fcfs, fcfs), (Hacs, hacs), (CriticalPath, critical)])
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32))
def test_each_start_is_the_best_there_is_at_that_moment(make: MakeDiscipline, score: Score, seed: int) -> None:
    dice = Random(seed)
    cluster = Cluster(make, score, dice)
    for _ in range(150):
        cluster.head.mono += dice.expovariate(0.2)
        roll = dice.random()
        if roll < 0.3 or not cluster.runs:
            cluster.submit()
        elif roll < 0.32:
            cluster.cancel()
        else:
            cluster.finish()
    while cluster.head.core.state.leases.current:
        cluster.finish()
    assert not cluster.head.core.state.runs, "all that was submitted is over"
    assert cluster.contested > 20, "there was a choice"


@pytest.mark.parametrize(
    ("make", "mine", "bound"),
    [(Hacs, 600.0, 60 * math.log(600 / 5) / math.log(1.1)), (CriticalPath, 0.5, 5.0 - 0.5)],
    ids=["hacs", "critical"],
)
def test_an_endless_stream_overtakes_for_a_bounded_time_only(make: MakeDiscipline, mine: float, bound: float) -> None:
    head = Head(Settings(order=make, reserve_after=1e9))
    head.greet(capacity=gpus(cpu=1000))
    flows = [letter * 16 for letter in (b"s", b"q")]
    for flow, code, seconds in zip(flows, CODES, (mine, 5.0), strict=False):
        head.ask(ev.CreateWorkflow, flow, WorkflowRequest(name="w"))
        head.ask(ev.EditWorkflow, flow, EditRequest([add(0, code=code.hash)], CODES))
        head.core.state.observed.note(bytes.fromhex(code.hash), "cpu", seconds)
    head.run(b"1" * 16, flows[1])
    head.run(b"s" * 16, flows[0])
    run, began, overtaken = head.core.state.runs[2], head.mono, 0
    while run.phase[0] == READY:
        head.run(overtaken.to_bytes(16, "big"), flows[1])
        overtaken += 1
        (lease,) = head.core.state.leases.current
        head.mono += 5.0
        head.result(Outcome(lease, OK, 1e9, 5000.0, (OutputValue("y", Value(MSGPACK, 1, b"\x01")),)))
        # JCT falls from its 60 s to what these runs take: the bound at the beginning holds all the more.
        assert head.mono - began < bound + 10, "starved"
    assert overtaken > 1

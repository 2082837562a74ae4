"""HACS against the formula of the paper, computed by hand and by brute force."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_head.core.hacs import ALPHA, BETA, Hacs, omega
from maze_head.core.observed import GPU, SHORTEST, Observed, kind_of
from maze_head.core.predictions import PATIENCE
from maze_head.core.runs import Run
from maze_head.core.transitions import FINISHED, LEASED
from support.graphs import CPU_TASK, GPU_TASK, IO_TASK, make_graph, make_run


def log_score(observed: Observed, run: Run, task: int, waited: float) -> float:
    """Return log S of the paper, for predictions that are up to date."""
    graph = run.graph
    behind: set[int] = set()
    stack = [task]
    while stack:
        fresh = [there for there in graph.after(stack.pop()) if there not in behind]
        behind.update(fresh)
        stack += fresh
    kind = kind_of(graph.shape(task).request)
    left = sum(
        kind_of(graph.shape(other).request) == GPU and run.phase[other] < FINISHED for other in range(len(graph))
    )
    phi = waited / (ALPHA * observed.jct) - left
    weight = math.log2(2 + 2 * len(behind)) / observed.seconds(graph.function(task), kind)
    return math.log(weight) + phi * math.log(BETA)


def test_omega_is_that_of_the_paper() -> None:
    assert [omega(count) for count in (0, 1, 3, 7)] == [1.0, 2.0, 3.0, 4.0]


def test_a_rank_computed_by_hand() -> None:
    observed = Observed()
    observed.note(b"f", GPU, 8.0)
    graph = make_graph(4, [(0, 1), (0, 2), (0, 3)], {0: GPU_TASK, 1: GPU_TASK})
    hacs, run = Hacs(observed), make_run(graph)
    # Omega = log2(2 + 6) = 3, T = 8 s, R = 2, JCT = 60 s: -log(3 / 8) + 2 log 1.1 + 30 / 60 log 1.1
    assert hacs.rank(run, 0, 30.0) == pytest.approx(0.980829253 + 0.190620360 + 0.047655090)
    assert -hacs.rank(run, 0, 0.0) == pytest.approx(log_score(observed, run, 0, 0.0))
    assert log_score(observed, run, 0, 0.0) == pytest.approx(math.log(3 / 8 / 1.21))


def test_short_before_long_and_much_needed_before_little_needed() -> None:
    observed = Observed()
    observed.note(b"short", "cpu", 1.0)
    observed.note(b"long", "cpu", 9.0)
    run = make_run(make_graph(4, [(2, 3)], codes={0: b"short", 1: b"long", 2: b"short", 3: b"long"}))
    hacs = Hacs(observed)
    assert sorted(range(3), key=lambda task: hacs.rank(run, task, 0.0)) == [2, 0, 1]


def test_a_run_moves_forward_when_one_of_its_gpu_tasks_is_over() -> None:
    hacs, graph = Hacs(Observed()), make_graph(3, [], {0: GPU_TASK, 1: GPU_TASK})
    run = make_run(graph)
    before = hacs.rank(run, 2, 0.0)
    run.phase[0] = FINISHED
    hacs.finished(run, 0)
    assert hacs.moved() == [1]
    assert hacs.moved() == [], "told once"
    assert hacs.rank(run, 2, 0.0) == pytest.approx(before - math.log(BETA))
    run.phase[2] = FINISHED
    hacs.finished(run, 2)
    assert hacs.moved() == [], "no GPU task"


def test_gpu_tasks_that_were_over_before_the_first_look_do_not_count() -> None:
    hacs, graph = Hacs(Observed()), make_graph(3, [], {0: GPU_TASK, 1: GPU_TASK})
    run = make_run(graph)
    run.phase[0], run.phase[1] = FINISHED, LEASED
    hacs.finished(run, 0)
    assert hacs.moved() == []
    plain = make_run(make_graph(1), 2)
    assert hacs.rank(run, 2, 0.0) - hacs.rank(plain, 0, 0.0) == pytest.approx(math.log(BETA)), "held ones do"


def test_a_run_that_is_over_is_forgotten() -> None:
    hacs = Hacs(Observed())
    run = make_run(make_graph(1, [], {0: GPU_TASK}))
    hacs.rank(run, 0, 0.0)
    hacs.finished(run, 0)
    hacs.closed(run)
    assert hacs.moved() == []
    assert hacs._left == {}


def test_lanes_hold_what_differs_by_waiting_only() -> None:
    hacs = Hacs(Observed())
    run = make_run(make_graph(5, [(0, 4), (1, 4), (2, 3)], codes={2: b"g"}))
    other = make_run(run.graph, 2)
    lanes = [hacs.lane(run, task) for task in range(5)]
    assert lanes[0] == lanes[1]
    assert lanes[3] == lanes[4], "both are last"
    assert len(set(lanes)) == 3, "2 is of another function"
    assert hacs.lane(other, 0) != lanes[0], "another run may have another R"


def test_predictions_that_are_off_make_a_new_generation() -> None:
    observed = Observed()
    hacs = Hacs(observed)
    run = make_run(make_graph(50))
    before = hacs.rank(run, 0, 0.0)
    observed.note(b"f", "cpu", 30.0)
    for task in range(PATIENCE):
        assert hacs.generation == 0
        hacs.finished(run, task)
    assert hacs.generation == 1
    assert hacs.rank(run, 0, 0.0) == pytest.approx(before + math.log(10))


SEEDS = st.integers(0, 2**32)
"""Of worlds: drawing whole graphs one number at a time is slow, and there is little to shrink."""


def random_run(dice: Random, no: int) -> Run:
    size = dice.randint(1, 7)
    edges = [(a, b) for a in range(size) for b in range(a + 1, size) if dice.random() < 0.3]
    requests = {task: dice.choice([CPU_TASK, GPU_TASK, IO_TASK]) for task in range(size)}
    codes = {task: dice.choice([b"f", b"g", b"h"]) for task in range(size)}
    return make_run(make_graph(size, edges, requests, codes, workflow_id=no.to_bytes(16, "big")), no)


def world(dice: Random) -> tuple[Observed, list[Run]]:
    """Return what was observed, and up to four runs."""
    observed = Observed()
    for _ in range(dice.randint(0, 8)):
        observed.note(dice.choice([b"f", b"g", b"h"]), dice.choice(["gpu", "cpu", "io"]), seconds(dice))
    observed.jct = seconds(dice)
    return observed, [random_run(dice, no) for no in range(1, dice.randint(3, 5))]


def seconds(dice: Random) -> float:
    return float(10 ** dice.uniform(-2.7, 5))


@given(SEEDS)
def test_ranks_order_as_the_live_score_does_at_any_time(seed: int) -> None:
    dice = Random(seed)
    observed, live = world(dice)
    hacs = Hacs(observed)
    waiting = [(run, task, dice.uniform(0, 100)) for run in live for task in range(len(run.graph))]
    ranked = sorted(waiting, key=lambda entry: hacs.rank(*entry))
    for now in (100.0, 101.0, 1e5):
        scores = [log_score(observed, run, task, now - since) for run, task, since in ranked]
        assert all(first >= second - 1e-6 for first, second in pairwise(scores))


@given(SEEDS)
def test_after_a_time_known_beforehand_nobody_overtakes(seed: int) -> None:
    dice = Random(seed)
    observed, (run, *newcomers) = world(dice)
    hacs = Hacs(observed)
    task, since = dice.randrange(len(run.graph)), dice.uniform(0, 1e4)
    mine = observed.seconds(run.graph.function(task), kind_of(run.graph.shape(task).request))
    most = max(len(other.graph) for other in newcomers) - 1
    # Nothing behind the task, and its whole run still to come: the longest wait that there can be.
    wait = math.log(mine / SHORTEST * omega(most)) / math.log(BETA) + len(run.graph)
    late = since + ALPHA * observed.jct * wait * (1 + 1e-9) + 1e-6
    for other in newcomers:
        for rival in range(len(other.graph)):
            assert hacs.rank(run, task, since) < hacs.rank(other, rival, late)

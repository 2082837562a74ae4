"""Lanes, ranks, fronts: which entry is next, after whatever happens to the queue."""

from __future__ import annotations

from random import Random

import pytest

from maze_head.core.candidates import Rooms
from maze_head.core.graph import Shape
from maze_head.core.ready import Place, Queue, ReadyQueues
from maze_protocol.resources import Request

PLACE = Place(Shape(Request(), (0, 0)))


class Ranked:
    """Ready queues whose ranks a test sets, by (run number, task number)."""

    def __init__(self) -> None:
        self.ranks: dict[tuple[int, int], float] = {}
        self.ready = ReadyQueues(lambda run_no, task: self.ranks.get((run_no, task), 0.0), Rooms().candidates)
        self.queue = self.ready.use(PLACE)
        self.taken: list[tuple[int, int]] = []

    def push(self, run_no: int, task: int, rank: float, lane: object = None) -> None:
        self.ranks[run_no, task] = rank
        self.ready.push(self.queue, lane or (run_no, task), run_no, task)

    def drain(self) -> list[tuple[int, int]]:
        taken = []
        while (first := self.queue.first()) is not None:
            taken.append(first)
            self.queue.pop()
        assert len(self.queue) == 0
        assert not self.queue.of_run
        return taken


def test_lanes_go_by_rank_and_within_a_lane_by_arrival() -> None:
    ranked = Ranked()
    for task, rank, lane in ((1, 5.0, "a"), (2, 9.0, "a"), (3, 1.0, "b"), (4, 7.0, "b")):
        ranked.push(1, task, rank, lane)
    assert len(ranked.queue) == 4
    assert ranked.drain() == [(1, 3), (1, 1), (1, 4), (1, 2)]


@pytest.mark.parametrize("seed", range(20))
def test_many_at_once_are_as_many_one_by_one(seed: int) -> None:
    random = Random(seed)
    single, many = Ranked(), Ranked()
    task = 0
    for _ in range(4):
        lanes = [(random.choice("abc"), task + number) for number in range(random.randrange(1, 12))]
        task += len(lanes)
        ranks = {number: random.random() for _, number in lanes}
        for lane, number in lanes:
            single.push(1, number, ranks[number], lane)
            many.ranks[1, number] = ranks[number]
        many.ready.push_all(many.queue, [lane for lane, _ in lanes], 1, [number for _, number in lanes])
        for ranked in (single, many):
            ranked.push(2, task, 0.5, "a")
        task += 1
    assert list(many.ready.waiting) == [many.queue]
    assert many.drain() == single.drain()


@pytest.mark.parametrize("seed", range(40))
def test_asking_for_ranks_late_changes_no_order(seed: int) -> None:
    random = Random(seed)
    asked, late = Ranked(), Ranked()
    for task in range(120):
        step, lane, rank = random.random(), random.choice("ab"), float(task + random.choice((0, 50)))
        for ranked in (asked, late):
            if step < 0.5:
                ranked.push(1, task, rank, lane if seed % 2 else "only")
            elif step < 0.6:
                ranked.ready.push_front(ranked.queue, 2, task)
            elif step < 0.65:
                ranked.ready.rerank_run(1)
            elif ranked.queue.lanes:
                ranked.taken.append(ranked.queue.head())
                ranked.queue.pop()
        asked.queue.best()
        assert late.taken == asked.taken
        if step > 0.95:
            assert late.queue.best() == asked.queue.best()
    assert late.drain() == asked.drain()


def test_equal_ranks_go_by_arrival() -> None:
    ranked = Ranked()
    for task in (3, 1, 2):
        ranked.push(1, task, 0.0)
    assert ranked.drain() == [(1, 3), (1, 1), (1, 2)]


def test_tries_again_go_first_the_latest_before_the_others() -> None:
    ranked = Ranked()
    ranked.push(1, 1, -100.0)
    ranked.ready.push_front(ranked.queue, 1, 2)
    ranked.ready.push_front(ranked.queue, 1, 3)
    assert ranked.drain() == [(1, 3), (1, 2), (1, 1)]


def test_the_ranks_of_one_run_move_alone() -> None:
    ranked = Ranked()
    ranked.push(1, 1, 1.0)
    ranked.push(2, 1, 2.0)
    ranked.push(3, 1, 3.0)
    ranked.ranks = {(1, 1): 9.0, (2, 1): -9.0, (3, 1): 0.0}
    ranked.ready.rerank_run(3)
    assert ranked.drain() == [(3, 1), (1, 1), (2, 1)]


def test_a_rank_that_moves_away_and_back_leaves_one_entry() -> None:
    ranked = Ranked()
    ranked.push(1, 1, 1.0)
    ranked.push(2, 1, 2.0)
    for rank in (3.0, 1.0, 1.0, 3.0):
        ranked.ranks[1, 1] = rank
        ranked.ready.rerank_run(1)
    assert ranked.drain() == [(2, 1), (1, 1)]


def test_a_run_that_moves_forward_again_and_again_does_not_fill_the_heap() -> None:
    ranked = Ranked()
    for run_no in (1, 2, 3):
        ranked.push(run_no, 1, -1e6)
    for turn in range(1000):
        ranked.ranks[3, 1] = 1000.0 - turn
        ranked.ready.rerank_run(3)
    assert len(ranked.queue.heap) < 100
    assert ranked.drain() == [(1, 1), (2, 1), (3, 1)]


def test_all_ranks_move() -> None:
    ranked = Ranked()
    for task in range(5):
        ranked.push(1, task, float(task))
    ranked.ready.push_front(ranked.queue, 1, 9)
    ranked.ranks = {(1, task): -float(task) for task in range(5)}
    ranked.ready.rerank()
    assert ranked.drain() == [(1, 9), (1, 4), (1, 3), (1, 2), (1, 1), (1, 0)]


def test_what_is_withdrawn_is_gone_and_the_rest_keeps_its_order() -> None:
    ranked = Ranked()
    for task in range(4):
        ranked.push(1, task, float(task), "a")
    ranked.push(1, 7, 0.5, "b")
    ranked.queue.withdraw({(1, 0), (1, 7)})
    assert ranked.drain() == [(1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("users", [0, 1])
def test_an_empty_queue_is_kept_as_long_as_a_run_uses_it(users: int) -> None:
    ranked = Ranked()
    if not users:
        ranked.ready.leave(ranked.queue)
    other: Queue = ranked.ready.at(PLACE)
    ranked.ready.push(other, "a", 1, 1)
    assert ranked.ready.live() == [other]
    other.pop()
    assert ranked.ready.live() == []
    assert (PLACE in ranked.ready.queues) is bool(users)


def test_pauses_end_in_their_order() -> None:
    ready = Ranked().ready
    for until, task in ((3.0, 1), (1.0, 2), (2.0, 3)):
        ready.delay(until, 1, task)
    assert list(ready.due(2.0)) == [(1, 2), (1, 3)]
    assert list(ready.due(9.0)) == [(1, 1)]

"""Critical path first against longest paths computed by hand and by brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_head.core.critical import CriticalPath
from maze_head.core.graph import Graph
from maze_head.core.observed import Observed, kind_of
from maze_head.core.predictions import PATIENCE
from support.graphs import make_graph, make_run


def longest(observed: Observed, graph: Graph, task: int) -> float:
    own = observed.seconds(graph.function(task), kind_of(graph.shape(task).request))
    return own + max((longest(observed, graph, there) for there in graph.after(task)), default=0.0)


def known(**seconds: float) -> Observed:
    observed = Observed()
    for code, value in seconds.items():
        observed.note(code.encode(), "cpu", value)
    return observed


def test_the_way_to_go_is_the_longest_one() -> None:
    graph = make_graph(4, [(0, 1), (0, 2), (1, 3), (2, 3)], codes={0: b"a", 1: b"b", 2: b"c", 3: b"a"})
    critical = CriticalPath(known(a=1.0, b=2.0, c=5.0))
    assert [critical.way(graph, task) for task in range(4)] == [7.0, 3.0, 6.0, 1.0]
    run = make_run(graph)
    assert sorted((1, 2), key=lambda task: critical.rank(run, task, 0.0)) == [2, 1]


def test_a_second_of_waiting_is_a_second_of_way() -> None:
    run = make_run(make_graph(2, codes={0: b"a", 1: b"b"}))
    critical = CriticalPath(known(a=1.0, b=5.0))
    assert critical.rank(run, 0, 10.0) == critical.rank(run, 1, 14.0) == 9.0
    assert critical.rank(run, 0, 10.0) < critical.rank(run, 1, 14.001), "nobody is overtaken for longer than that"


def test_runs_of_one_graph_share_their_lanes() -> None:
    graph = make_graph(1000)
    critical = CriticalPath(Observed())
    lanes = {critical.lane(run, task) for run in (make_run(graph), make_run(graph, 2)) for task in range(1000)}
    assert len(lanes) == 1
    other = make_graph(1, workflow_id=b"o" * 16)
    assert critical.lane(make_run(other, 3), 0) not in lanes


def test_predictions_that_are_off_make_a_new_generation() -> None:
    observed = known(f=1.0)
    critical, run = CriticalPath(observed), make_run(make_graph(50, [(0, 1)]))
    assert critical.way(run.graph, 0) == 2.0
    for _ in range(20):
        observed.note(b"f", "cpu", 100.0)
    for task in range(PATIENCE):
        assert (critical.generation, critical.way(run.graph, 0)) == (0, 2.0)
        critical.finished(run, task)
    assert critical.generation == 1
    assert critical.way(run.graph, 0) == 2 * observed.seconds(b"f", "cpu")
    assert critical.moved() == []


def test_a_graph_is_forgotten_with_its_last_run() -> None:
    graph = make_graph(1)
    critical = CriticalPath(Observed())
    runs = make_run(graph), make_run(graph, 2)
    for run in runs:
        critical.rank(run, 0, 0.0)
    for run, left in zip(runs, (1, 0), strict=True):
        graph.live_runs -= 1
        critical.closed(run)
        assert len(critical._ways) == left


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda edge: edge[0] < edge[1])),
    st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=8, max_size=8),
    st.lists(st.floats(0.01, 1e4), min_size=3, max_size=3),
)
def test_ways_are_longest_paths(edges: list[tuple[int, int]], codes: list[bytes], seconds: list[float]) -> None:
    observed = known(**dict(zip("abc", seconds, strict=True)))
    graph = make_graph(8, edges, codes=dict(enumerate(codes)))
    critical = CriticalPath(observed)
    for task in range(8):
        assert critical.way(graph, task) == pytest.approx(longest(observed, graph, task))

"""What lies behind tasks: counts of descendants against a plain search, bounds, and groups."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maze_head.core import lineage
from maze_head.core.graph import Graph
from maze_head.core.lineage import Standing, Stretch, standings, stretches
from maze_head.core.observed import CPU, GPU
from support.graphs import GPU_TASK, make_graph

DAGS = st.integers(2, 14).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True).map(sorted)),
        st.booleans(),
    )
)
"""Size, edges from lower to higher numbers, and whether all are turned round."""


def dag(size: int, edges: list[list[int]], turned: bool) -> Graph:
    return make_graph(size, [(b, a) if turned else (a, b) for a, b in edges])


def behind(graph: Graph, task: int) -> set[int]:
    found: set[int] = set()
    stack = [task]
    while stack:
        for there in graph.after(stack.pop()):
            if there not in found:
                found.add(there)
                stack.append(there)
    return found


def counts(graph: Graph) -> list[int]:
    groups = standings(graph)
    return [groups.members[group].descendants for group in groups.of]


@given(DAGS)
def test_descendants_are_counted_once_each(made: tuple[int, list[list[int]], bool]) -> None:
    graph = dag(*made)
    assert counts(graph) == [len(behind(graph, task)) for task in range(len(graph))]


def test_a_diamond_has_three_descendants_not_four() -> None:
    assert counts(make_graph(4, [(0, 1), (0, 2), (1, 3), (2, 3)])) == [3, 1, 1, 0]


def parts(count: int, size: int) -> list[tuple[int, int]]:
    return [(part * size + task, part * size + task + 1) for part in range(count) for task in range(size - 1)]


def test_parts_of_a_large_graph_are_still_counted_exactly() -> None:
    size, count = 50, lineage.EXACT // 50 + 2
    graph = make_graph(size * count + 7, parts(count, size))
    assert len(graph) > lineage.EXACT
    assert counts(graph) == [size - 1 - number % size for number in range(size * count)] + [0] * 7


def test_bounds_are_right_for_a_long_chain_but_for_rounding() -> None:
    size = lineage.EXACT + 1000
    found = counts(make_graph(size, parts(1, size)))
    for task, count in enumerate(found):
        truth = size - 1 - task
        assert truth * 7 / 8 < count <= truth or count == truth
    assert len(set(found)) <= 8 * 14, "few groups"


def test_bounds_are_right_for_full_layers_and_never_beyond_the_graph() -> None:
    layers, width = 60, 100
    edges = [
        (layer * width + a, (layer + 1) * width + b)
        for layer in range(layers - 1)
        for a in range(width)
        for b in range(0, width, 25)
    ]
    # Every task has four successors, all of the same four columns: all else has no predecessor.
    graph = make_graph(layers * width, edges)
    assert len(graph) > lineage.EXACT
    for task in range(0, len(graph), 577):
        truth = len(behind(graph, task))
        assert truth * 7 / 8 <= counts(graph)[task] <= len(graph)


def test_tasks_of_one_function_and_count_are_one_group() -> None:
    graph = make_graph(1001, [(number, 1000) for number in range(1000)])
    groups = standings(graph)
    assert groups.members == [Standing(b"f", CPU, 1), Standing(b"f", CPU, 0)]
    assert list(groups.of) == [0] * 1000 + [1]
    assert standings(graph) is groups, "made once"


def test_functions_and_kinds_are_told_apart() -> None:
    groups = standings(make_graph(3, [], {1: GPU_TASK}, {2: b"g"}))
    assert groups.members == [Standing(b"f", CPU, 0), Standing(b"f", GPU, 0), Standing(b"g", CPU, 0)]


def test_stretches_are_numbered_from_the_sinks_on() -> None:
    graph = make_graph(5, [(0, 1), (0, 2), (1, 3), (2, 3), (4, 3)], codes={3: b"g"})
    groups = stretches(graph)
    assert groups.members == [Stretch(b"g", CPU, ()), Stretch(b"f", CPU, (0,)), Stretch(b"f", CPU, (1,))]
    assert list(groups.of) == [2, 1, 1, 0, 1]
    assert stretches(graph) is groups, "made once"


@given(DAGS)
def test_what_follows_a_stretch_has_a_smaller_number(made: tuple[int, list[list[int]], bool]) -> None:
    graph = dag(*made)
    groups = stretches(graph)
    for number, member in enumerate(groups.members):
        assert all(there < number for there in member.after)
    for task in range(len(graph)):
        assert groups.members[groups.of[task]].after == tuple(sorted({groups.of[there] for there in graph.after(task)}))

"""maze_protocol.graph agrees with networkx on any graph."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.graph import depth, find_cycle, find_path, topological_order

NODES = range(8)
EDGES = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=20, unique=True)
FORWARD = EDGES.map(lambda edges: [edge for edge in edges if edge[0] < edge[1]])


def adjacency(edges: list[tuple[int, int]]) -> dict[int, list[int]]:
    return {node: [there for here, there in edges if here == node] for node in NODES}


def oracle(edges: list[tuple[int, int]]) -> nx.DiGraph:
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(NODES)
    return graph


@given(EDGES)
def test_a_cycle_is_found_exactly_if_there_is_one(edges: list[tuple[int, int]]) -> None:
    cycle = find_cycle(NODES, adjacency(edges))
    assert (cycle is None) == nx.is_directed_acyclic_graph(oracle(edges))
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(step in edges for step in pairwise(cycle))


@given(EDGES, st.sampled_from(NODES), st.sampled_from(NODES))
def test_a_path_is_found_exactly_if_there_is_one(edges: list[tuple[int, int]], start: int, goal: int) -> None:
    path = find_path(adjacency(edges), start, goal)
    assert (path is not None) == nx.has_path(oracle(edges), start, goal)
    if path is not None:
        assert (path[0], path[-1]) == (start, goal)
        assert all(step in edges for step in pairwise(path))


@given(FORWARD)
def test_the_order_is_topological_and_the_depth_the_longest_path(edges: list[tuple[int, int]]) -> None:
    order = topological_order(NODES, adjacency(edges))
    assert sorted(order) == list(NODES)
    assert all(order.index(here) < order.index(there) for here, there in edges)
    assert depth(NODES, adjacency(edges)) == nx.dag_longest_path_length(oracle(edges)) + 1


@given(EDGES)
def test_the_order_leaves_out_what_is_on_or_behind_a_cycle(edges: list[tuple[int, int]]) -> None:
    graph = oracle(edges)
    looped = {node for part in nx.strongly_connected_components(graph) if len(part) > 1 for node in part}
    looped |= {here for here, there in edges if here == there}
    stuck = looped.union(*(nx.descendants(graph, node) for node in looped))
    assert set(topological_order(NODES, adjacency(edges))) == set(NODES) - stuck

"""maze_protocol.graph, by small cases; tests/property/test_wire_graph.py compares with networkx."""

from __future__ import annotations

import pytest

from maze_protocol.graph import depth, find_cycle, find_path, format_reference, parse_reference, topological_order

DIAMOND = {"a": ["b", "c"], "b": ["d"], "c": ["d"]}


def test_a_reference_is_split_at_its_first_mark() -> None:
    assert parse_reference("task_1.output.key.output.more") == ("task_1", "key.output.more")
    assert parse_reference(format_reference("task_1", "sum")) == ("task_1", "sum")


@pytest.mark.parametrize("text", ["", "task_1", "task_1.output", "task_1.output.", ".output.key"])
def test_half_a_reference_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a reference"):
        parse_reference(text)


def test_a_path_is_found_with_its_ends() -> None:
    assert find_path(DIAMOND, "a", "d") in (["a", "b", "d"], ["a", "c", "d"])
    assert find_path(DIAMOND, "a", "a") == ["a"]
    assert find_path(DIAMOND, "d", "a") is None


def test_the_order_and_depth_of_a_diamond() -> None:
    assert topological_order("dcba", DIAMOND) == ["a", "b", "c", "d"]
    assert depth("abcd", DIAMOND) == 3
    assert depth("", {}) == 0
    assert find_cycle("abcd", DIAMOND) is None


def test_a_cycle_is_told_from_start_to_start() -> None:
    graph = {"before": ["a"], "a": ["b"], "b": ["c", "after"], "c": ["a"]}
    assert find_cycle(["before", "after", "a", "b", "c"], graph) == ["a", "b", "c", "a"]
    assert find_cycle(["a"], {"a": ["a"]}) == ["a", "a"]


def test_tasks_behind_a_cycle_are_passed_over() -> None:
    graph = {"tail": [], "x": ["y", "tail"], "y": ["x"]}
    assert find_cycle(["tail", "x", "y"], graph) == ["x", "y", "x"]


def test_a_long_chain_meets_no_recursion_limit() -> None:
    length = 20_000
    chain = {number: [number + 1] for number in range(length - 1)}
    assert depth(range(length), chain) == length
    assert find_cycle(range(length), chain | {length - 1: [0]}) == [*range(length), 0]

"""What a workflow knows of its tasks as they come, and when it has to look at all of them again."""

from __future__ import annotations

import pytest

from maze_head.core.alike import WORTH_A_SERIES
from maze_head.core.errors import Rejected
from maze_head.core.graph import Outline, load_graph
from maze_protocol.http import AddAlike, DelTask, SaveTask
from support.graphs import as_read
from support.head_core import Head, W, add, edge, raw, task, tid


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return of how many tasks each look at all of them was."""
    sizes: list[int] = []
    real = Outline.of

    def of(packed: list[bytes]) -> Outline:
        sizes.append(len(packed))
        return real(packed)

    monkeypatch.setattr(Outline, "of", of)
    return sizes


def check_compiled(head: Head) -> None:
    graph = head.core.state.workflows[W].compile()
    assert as_read(graph) == as_read(load_graph(W, graph.version, graph.encode()))


def test_tasks_that_were_only_added_are_not_looked_at_again(looked: list[int]) -> None:
    head = Head()
    head.workflow(add(1), add(2, 1, resources={"cpu": 2}))
    check_compiled(head)
    head.edit(add(3, 1, 2), add(4, same_node_as=tid(2)), edge(4, 3))
    check_compiled(head)
    assert looked == []


@pytest.mark.parametrize("op", [SaveTask(task(1, resources={"cpu": 3})), DelTask(tid(3))])
def test_after_any_other_change_they_are_once(looked: list[int], op: SaveTask | DelTask) -> None:
    head = Head()
    head.workflow(add(1, resources={"cpu": 2}), add(2, 1), add(3), op)
    tasks = len(head.core.state.workflows[W].contents.tasks)
    check_compiled(head)
    head.edit(add(4, 2))
    check_compiled(head)
    assert looked == [tasks]


def test_what_was_taken_back_is_forgotten() -> None:
    head = Head()
    head.workflow(add(1))
    with pytest.raises(Rejected):
        head.edit(add(2, resources={"cpu": 2}), edge(1, 2), edge(2, 1))
    head.edit(add(3, 1, resources={"gpu": 1}), add(2))
    check_compiled(head)


def test_manual_edges_are_told_apart_from_those_of_inputs() -> None:
    head = Head()
    head.workflow(add(1), add(2, 1), add(3), edge(1, 2), edge(1, 3))
    check_compiled(head)
    graph = head.core.state.workflows[W].compile()
    assert (graph.manual, list(graph.after(0)), list(graph.missing)) == ([(0, 1), (0, 2)], [1, 2], [0, 1, 1])


def test_what_is_known_of_a_series_is_what_is_known_of_its_tasks(looked: list[int]) -> None:
    head, count = Head(), 3 * WORTH_A_SERIES
    head.workflow(add(1, resources={"cpu": 2}), *(AddAlike(0, tid(number)) for number in range(2, count)), add(count))
    check_compiled(head)
    head.edit(add(count + 1, code=""), *(AddAlike(0, tid(count + number)) for number in range(2, count)), edge(2, 1))
    check_compiled(head)
    assert looked == []
    contents = head.core.state.workflows[W].contents
    levels = [contents.order.level(raw(number)) for number in range(2, 2 * count)]
    assert levels == sorted(set(levels))
    assert list(contents.unsaved) == [raw(count + number) for number in range(1, count)]

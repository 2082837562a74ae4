"""The graph of a workflow: each rule of editing, and the words in which it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maze._graph import AddEdge, AddTask, Code, DelEdge, DelTask, Graph, SaveTask
from maze.errors import CycleError, GraphError, UnknownOutputError, UnknownTaskError
from support.drafts import task_of, vertex

A, B, C = "task_aaaaaaaa1", "task_bbbbbbbb2", "task_cccccccc3"


@pytest.fixture
def chain() -> Graph:
    """a -> b -> c, by references."""
    graph = Graph()
    for task in (vertex(A), vertex(B, A), vertex(C, B)):
        assert graph.apply(AddTask(task))
    return graph


def test_references_make_edges_once(chain: Graph) -> None:
    chain.apply(AddTask(vertex("task_d", A, A)))
    assert list(chain.known_edges()) == [(A, B), (B, C), (A, "task_d")]
    assert chain.depth() == 3
    assert Graph().depth() == 0


def test_adding_a_task_again_changes_nothing(chain: Graph) -> None:
    assert not chain.apply(AddTask(vertex(A)))


def test_a_manual_edge_twice_is_fine(chain: Graph) -> None:
    assert chain.apply(AddEdge(A, C))
    assert not chain.apply(AddEdge(A, C))
    assert chain.apply(AddEdge(A, B)), "also beside a reference"
    assert list(chain.edges) == [(A, B), (B, C), (A, C)]


@pytest.mark.parametrize(("source", "target", "cycle"), [(C, A, [C, A, B, C]), (A, A, [A, A])])
def test_cycles_are_refused_and_named(chain: Graph, source: str, target: str, cycle: list[str]) -> None:
    before = list(chain.edges)
    with pytest.raises(CycleError, match="task_aaaaaaaa") as caught:
        chain.apply(AddEdge(source, target))
    assert list(caught.value.tasks) == cycle
    assert list(chain.edges) == before


def test_only_manual_edges_can_be_deleted(chain: Graph) -> None:
    chain.apply(AddEdge(A, C))
    chain.apply(DelEdge(A, C))
    assert (A, C) not in chain.edges
    with pytest.raises(GraphError, match="there is no edge"):
        chain.apply(DelEdge(A, C))
    with pytest.raises(GraphError, match="carries input 'x0'"):
        chain.apply(DelEdge(A, B))


def test_an_edge_that_is_manual_and_referenced_stays_a_reference(chain: Graph) -> None:
    chain.apply(AddEdge(A, B))
    with pytest.raises(GraphError, match="carries input"):
        chain.apply(DelEdge(A, B))
    assert (A, B) in chain.manual


def test_a_task_in_use_is_not_deleted_and_its_users_are_named(chain: Graph) -> None:
    with pytest.raises(GraphError, match=f"used by '{C}'"):
        chain.apply(DelTask(B))


def test_a_task_on_the_node_of_another_comes_after_it(chain: Graph) -> None:
    follower = replace(vertex("task_d", C), same_node_as=A)
    chain.apply(AddTask(follower))
    assert list(chain.known_edges())[2:] == [(A, "task_d"), (C, "task_d")]
    with pytest.raises(GraphError, match=rf"used by '{B}' .*; its node is to be that of 'task_d'"):
        chain.apply(DelTask(A))
    with pytest.raises(GraphError, match="runs on the node of the first"):
        chain.apply(DelEdge(A, "task_d"))
    with pytest.raises(CycleError):
        chain.apply(SaveTask(replace(vertex(A), same_node_as="task_d")))
    chain.apply(AddEdge(A, "task_d"))
    chain.apply(SaveTask(replace(follower, same_node_as="")))
    chain.apply(DelEdge(A, "task_d"))
    assert (A, "task_d") not in chain.edges


def test_the_node_of_a_deleted_task_cannot_be_asked_for(chain: Graph) -> None:
    chain.apply(DelTask(C))
    with pytest.raises(UnknownTaskError, match="was deleted"):
        chain.apply(AddTask(replace(vertex("task_d"), same_node_as=C)))
    assert chain.missing(AddTask(replace(vertex("task_d"), same_node_as="task_e"))) == ["task_e"]


def test_manual_edges_vanish_with_their_task(chain: Graph) -> None:
    chain.apply(AddEdge(A, C))
    chain.apply(DelTask(C))
    assert (list(chain.tasks), list(chain.edges), list(chain.manual)) == ([A, B], [(A, B)], [])
    chain.apply(DelTask(B))
    assert list(chain.edges) == []


def test_what_was_deleted_is_told_from_what_was_never_seen(chain: Graph) -> None:
    chain.apply(DelTask(C))
    for op in (DelTask(C), AddEdge(A, C), AddEdge(C, A), DelEdge(C, A), SaveTask(vertex(C))):
        with pytest.raises(UnknownTaskError, match="was deleted"):
            chain.apply(op)
    with pytest.raises(UnknownTaskError, match=f"'{C}' .* was deleted"):
        chain.apply(AddTask(vertex("task_d", C)))
    assert chain.apply(AddEdge(A, "task_elsewhere")), "another client may have made it"
    assert chain.apply(DelTask("task_elsewhere"))
    assert chain.apply(DelEdge("task_elsewhere", A))


def test_an_output_that_a_task_does_not_have_is_told(chain: Graph) -> None:
    chain.apply(AddTask(vertex("task_d", outputs=("z",))))
    with pytest.raises(UnknownOutputError, match="has no output 'y'; it has: z"):
        chain.apply(AddTask(vertex("task_e", "task_d")))
    assert "task_e" not in chain.tasks


def test_saving_replaces_references(chain: Graph) -> None:
    chain.apply(SaveTask(vertex(C, A)))
    assert list(chain.edges) == [(A, B), (A, C)]
    with pytest.raises(CycleError):
        chain.apply(SaveTask(vertex(A, C)))
    assert list(chain.edges) == [(A, B), (A, C)]


def test_saving_keeps_outputs_that_are_used(chain: Graph) -> None:
    with pytest.raises(GraphError, match=r"output 'y' .* cannot go"):
        chain.apply(SaveTask(vertex(A, outputs=("z",))))


def test_tasks_without_code_are_known() -> None:
    graph = Graph([vertex(A, saved=False), vertex(B)])
    assert [task.task_id for task in graph.unsaved()] == [A]


def test_a_code_is_itself_and_no_other() -> None:
    assert Code("pickle") != Code("pickle")
    assert task_of(A, "a").sources() == {}


def test_what_an_operation_presumes() -> None:
    graph = Graph([vertex(A)])
    assert graph.missing(AddTask(vertex(B, A, C))) == [C]
    assert graph.missing(SaveTask(vertex(B))) == [B]
    assert graph.missing(AddEdge(A, B)) == [B]
    assert graph.missing(DelTask(B)) == [B]

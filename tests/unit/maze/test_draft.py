"""The draft: what is queued, what is sent, what is taken back, what is applied again."""

from __future__ import annotations

import pytest

from maze._draft import Draft, describe_op
from maze._graph import AddEdge, AddTask, Code, DelEdge, DelTask, Graph, InputSpec, SaveTask, Vertex
from maze.errors import CycleError
from support.drafts import task_of, vertex

MANY, LARGE = 1000, 10**9


def draft_of(*tasks: Vertex) -> Draft:
    draft = Draft(loaded=True)
    for task in tasks:
        draft.record(AddTask(task))
    return draft


def pickled(code: Code, text: str) -> Code:
    code.body, code.digest = text.encode(), text
    return code


def test_what_changes_nothing_is_not_sent() -> None:
    draft = draft_of(vertex("a"), vertex("b"))
    draft.record(AddEdge("a", "b"))
    draft.record(AddEdge("a", "b"))
    assert len(draft.pending) == 3


def test_what_is_refused_is_not_sent() -> None:
    draft = draft_of(vertex("a"), vertex("b", "a"))
    with pytest.raises(CycleError):
        draft.record(AddEdge("b", "a"))
    assert len(draft.pending) == 2


def test_batches_respect_the_limits_of_a_request() -> None:
    draft = draft_of(*(vertex(name) for name in "abc"))
    assert len(draft.take(2, LARGE).ops) == 2
    assert len(draft.take(MANY, 1).ops) == 1, "one operation is always sent"
    batch = draft.take(MANY, LARGE)
    draft.confirm(batch, 7)
    assert (draft.dirty, draft.revision) == (False, 7)


def test_what_is_recorded_while_a_batch_is_out_stays() -> None:
    draft = draft_of(vertex("a"))
    batch = draft.take(MANY, LARGE)
    draft.record(AddTask(vertex("b")))
    draft.confirm(batch, 1)
    assert [op.task.task_id for op in draft.take(MANY, LARGE).ops if isinstance(op, AddTask)] == ["b"]


def test_a_batch_behind_one_that_is_out_is_what_comes_after_it() -> None:
    code, other = pickled(Code("pickle", None, "f"), "f"), pickled(Code("pickle", None, "g"), "g")
    draft = draft_of(*(task_of(name, name, code=each) for name, each in [("a", code), ("b", code), ("c", other)]))
    out = draft.take(1, LARGE)
    behind = draft.take(MANY, LARGE, out)
    assert [op.task.task_id for op in behind.ops if isinstance(op, AddTask)] == ["b", "c"]
    assert (out.codes, behind.codes) == ((code,), (other,)), "what is out has its functions with it"
    draft.record(DelTask("c"))
    draft.confirm(out, 5)
    assert draft.take(MANY, LARGE).ops == (*behind.ops, DelTask("c")), "what was handed out is not taken back"
    draft.confirm(behind, 6)
    assert draft.pending == [DelTask("c")]
    assert draft.take(MANY, LARGE, draft.take(MANY, LARGE)).ops == ()


def test_a_task_that_was_never_sent_is_taken_back_whole() -> None:
    draft = draft_of(vertex("a"), vertex("b"))
    draft.record(AddEdge("a", "b"))
    draft.record(SaveTask(vertex("b")))
    draft.record(DelTask("b"))
    assert [describe_op(op, draft.graph) for op in draft.pending] == ["add_task 'a' (a)"]


def test_a_task_that_is_on_its_way_is_deleted_by_an_operation() -> None:
    draft = draft_of(vertex("a"))
    batch = draft.take(MANY, LARGE)
    draft.record(DelTask("a"))
    draft.confirm(batch, 1)
    assert draft.pending == [DelTask("a")]


def test_a_task_whose_answer_was_lost_is_deleted_by_an_operation() -> None:
    """The head may have it."""
    draft = draft_of(vertex("a"), vertex("b"))
    draft.take(1, LARGE)
    draft.record(DelTask("b"))
    draft.record(DelTask("a"))
    assert [describe_op(op, draft.graph) for op in draft.pending] == ["add_task 'a' (a)", "delete 'a' (a)"]
    assert draft.rebase([vertex("a")], [], 1) == []
    assert draft.pending == [DelTask("a")]


def test_a_function_is_one_code_and_travels_once() -> None:
    def function(params: object) -> None: ...

    draft = Draft(loaded=True)
    code = draft.code_of(function)
    assert draft.code_of(function) is code
    draft.record(AddTask(task_of("a", "a", code=code)))
    draft.record(AddTask(task_of("b", "b", code=code)))
    assert [(found, task.task_id) for found, task in draft.unpickled()] == [(code, "a")]
    assert draft.take(MANY, LARGE).ops == (), "not before it is pickled"
    batch = draft.take(MANY, LARGE) if pickled(code, "f") else None
    assert batch is not None
    assert batch.codes == (code,)
    draft.confirm(batch, 1)
    draft.record(AddTask(task_of("c", "c", code=code)))
    assert draft.take(MANY, LARGE).codes == ()
    assert draft.unpickled() == []


def test_equal_functions_travel_once() -> None:
    draft = Draft(loaded=True)
    for name in "ab":
        draft.record(AddTask(task_of(name, name, code=pickled(Code("pickle"), "same"))))
    assert len(draft.take(MANY, LARGE).codes) == 1


def test_literals_count_towards_the_size_of_a_request() -> None:
    big = {"x": InputSpec(data=b"x" * 1000)}
    draft = draft_of(task_of("a", "a", inputs=big), task_of("b", "b", inputs=big))
    assert len(draft.take(MANY, 2000).ops) == 1
    assert len(draft.take(MANY, 3000).ops) == 2


def test_a_graph_is_loaded_once() -> None:
    draft = Draft()
    draft.load([vertex("a")], [], 3)
    draft.load([], [], 9)
    assert (list(draft.graph.tasks), draft.revision, draft.loaded) == (["a"], 3, True)


def test_rebase_applies_the_queue_on_top_of_what_the_head_has() -> None:
    draft = draft_of(vertex("a"))
    draft.confirm(draft.take(MANY, LARGE), 1)
    draft.record(AddTask(vertex("b", "a")))
    draft.record(AddEdge("a", "b"))
    assert draft.rebase([vertex("a"), vertex("z")], [("a", "z")], 5) == []
    assert list(draft.graph.tasks) == ["a", "z", "b"]
    assert (len(draft.pending), draft.revision) == (2, 5)


def test_rebase_names_what_no_longer_applies_and_gives_it_up() -> None:
    draft = draft_of(vertex("a"), vertex("b"))
    draft.confirm(draft.take(MANY, LARGE), 1)
    draft.record(AddTask(vertex("c", "a")))
    draft.record(AddEdge("c", "b"))
    draft.record(AddEdge("a", "b"))
    refused = draft.rebase([vertex("b")], [], 2)
    assert [text.partition(":")[0] for text in refused] == [
        "add_task 'c' (c)",
        "add_edge 'c' (c) -> 'b' (b)",
        "add_edge 'a' (a) -> 'b' (b)",
    ]
    assert all("not in the workflow any more" in text for text in refused)
    assert (list(draft.graph.tasks), draft.dirty) == (["b"], False)


def test_rebase_drops_what_is_so_already() -> None:
    draft = draft_of(vertex("a"), vertex("b"), vertex("c"))
    draft.record(AddEdge("a", "b"))
    draft.record(AddEdge("a", "c"))
    assert draft.rebase([vertex("a"), vertex("b"), vertex("c")], [("a", "b"), ("a", "c")], 1) == []
    assert not draft.dirty
    draft.record(DelEdge("a", "b"))
    draft.record(DelTask("c"))
    assert draft.rebase([vertex("a"), vertex("b")], [], 2) == []
    assert not draft.dirty


def test_rebase_finds_cycles_made_together() -> None:
    draft = draft_of(vertex("a"), vertex("b"))
    draft.confirm(draft.take(MANY, LARGE), 1)
    draft.record(AddEdge("a", "b"))
    refused = draft.rebase([vertex("a"), vertex("b")], [("b", "a")], 2)
    assert len(refused) == 1
    assert "cycle" in refused[0]


def test_a_dropped_operation_leaves_the_queue() -> None:
    draft = draft_of(vertex("a"), vertex("b"))
    draft.drop(draft.pending[0])
    assert draft.rebase([], [], 0) == []
    assert list(draft.graph.tasks) == ["b"]


def test_operations_read_as_people_write_them() -> None:
    graph = Graph([vertex("a"), vertex("b")])
    assert describe_op(SaveTask(vertex("a")), graph) == "save 'a' (a)"
    assert describe_op(DelTask("a"), graph) == "delete 'a' (a)"
    assert describe_op(DelEdge("a", "b"), graph) == "del_edge 'a' (a) -> 'b' (b)"


def test_what_the_author_deleted_itself_is_no_conflict_when_the_answer_was_lost() -> None:
    draft = draft_of(vertex("a"), vertex("b"))
    draft.confirm(draft.take(10, 10**6), 1)
    for op in (AddEdge("a", "b"), DelEdge("a", "b"), DelTask("b")):
        draft.record(op)
    draft.take(10, 10**6)
    assert draft.rebase([vertex("a")], [], 2) == []
    assert (draft.dirty, list(draft.graph.tasks)) == (False, ["a"])

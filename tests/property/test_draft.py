"""The draft against an oracle: alone, and with two authors who edit one workflow through a model of the head."""

from __future__ import annotations

from typing import Any

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from maze._draft import Draft
from maze._graph import AddEdge, AddTask, DelEdge, DelTask, Op, SaveTask
from maze.errors import MazeError
from support.drafts import ModelHead, Refused, vertex

NAMES = [f"task_{letter}" for letter in "abcdefgh"]
name = st.sampled_from(NAMES)
sources = st.lists(name, max_size=3, unique=True)
saves = st.tuples(name, sources, st.sampled_from([("y",), ("z",), ("y", "z")]), st.just("") | name)
operations = st.one_of(
    st.tuples(name, sources, st.just("") | name).map(
        lambda drawn: AddTask(vertex(drawn[0], *drawn[1], same_node_as=drawn[2]))
    ),
    saves.map(lambda drawn: SaveTask(vertex(drawn[0], *drawn[1], outputs=drawn[2], same_node_as=drawn[3]))),
    name.map(DelTask),
    st.tuples(name, name).map(lambda drawn: AddEdge(*drawn)),
    st.tuples(name, name).map(lambda drawn: DelEdge(*drawn)),
)


def presumes_unknown(op: Op, model: ModelHead, gone: set[str]) -> bool:
    """Tell whether an operation names ids that the draft leaves to the head to judge, or that must not come back."""
    match op:
        case AddTask(task):
            named = {*task.sources()}
            if task.task_id in gone or task.task_id in model.tasks:
                return True  # ids are made once, at random
        case SaveTask(task):
            named = {task.task_id, *task.sources()}
        case DelTask(task_id):
            named = {task_id}
        case AddEdge(source, target) | DelEdge(source, target):
            named = {source, target}
    return not named <= model.tasks.keys()


@given(st.lists(operations, max_size=40))
def test_a_draft_allows_and_refuses_what_the_head_does(ops: list[Op]) -> None:
    draft, model, gone = Draft(loaded=True), ModelHead(), set[str]()
    for op in ops:
        if presumes_unknown(op, model, gone):
            continue
        allowed = model.allows(op)
        try:
            draft.record(op)
        except (MazeError, KeyError):
            assert not allowed, op
        else:
            assert allowed, op
            model.edit([op], None)
        if isinstance(op, DelTask) and allowed:
            gone.add(op.task_id)
        assert set(draft.graph.tasks) == set(model.tasks)
        assert set(draft.graph.edges) == model.edges
        assert set(draft.graph.manual) == model.manual


@given(st.lists(operations, max_size=40))
def test_what_a_draft_has_recorded_is_accepted_by_the_head_as_one_edit(ops: list[Op]) -> None:
    draft, seen, gone = Draft(loaded=True), ModelHead(), set[str]()
    for op in ops:
        if not presumes_unknown(op, seen, gone):
            try:
                draft.record(op)
            except (MazeError, KeyError):
                continue
            seen.edit([op], None)
            gone |= {op.task_id} if isinstance(op, DelTask) else set()
    head = ModelHead()
    batch = draft.take(1000, 10**6)
    draft.confirm(batch, head.edit(batch.ops, batch.revision))
    assert not draft.dirty
    assert (set(head.tasks), head.edges, head.manual) == (set(seen.tasks), seen.edges, seen.manual)


@given(st.lists(operations, max_size=30))
def test_depth_is_that_of_the_longest_path(ops: list[Op]) -> None:
    draft = Draft(loaded=True)
    for op in ops:
        try:
            draft.record(op)
        except (MazeError, KeyError):
            continue
    oracle = networkx.DiGraph(list(draft.graph.known_edges()))
    oracle.add_nodes_from(draft.graph.tasks)
    longest = len(networkx.dag_longest_path(oracle)) if oracle else 0
    assert draft.graph.depth() == longest


class TwoAuthors(RuleBasedStateMachine):
    """Two drafts of one workflow. Whatever they do, in the end both show what the head has, and no edit is lost
    silently: it is on the head, it was named as refused, or its author had it taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.head = ModelHead()
        self.drafts = [Draft(loaded=True), Draft(loaded=True)]
        self.made = 0
        self.refused: list[str] = []
        self.deleted: set[str] = set()

    authors = st.integers(0, 1)

    @rule(author=authors, picks=st.lists(st.integers(0, 7), max_size=2))
    def add(self, author: int, picks: list[int]) -> None:
        known = list(self.drafts[author].graph.tasks)
        chosen = {known[pick % len(known)] for pick in picks} if known else set()
        self.made += 1
        self.drafts[author].record(AddTask(vertex(f"task_{author}{self.made:04}", *sorted(chosen))))

    @rule(author=authors, kind=st.sampled_from([AddEdge, DelEdge]), first=st.integers(0, 7), second=st.integers(0, 7))
    def edge(self, author: int, kind: Any, first: int, second: int) -> None:
        known = list(self.drafts[author].graph.tasks)
        if known:
            self.try_to_record(author, kind(known[first % len(known)], known[second % len(known)]))

    @rule(author=authors, pick=st.integers(0, 7))
    def delete(self, author: int, pick: int) -> None:
        known = list(self.drafts[author].graph.tasks)
        if known:
            task_id = known[pick % len(known)]
            if self.try_to_record(author, DelTask(task_id)):
                self.deleted.add(task_id)

    @rule(author=authors, most=st.integers(1, 5))
    def flush(self, author: int, most: int) -> None:
        draft = self.drafts[author]
        while draft.dirty:
            self.send(draft, most)

    @rule(author=authors)
    def lose_the_answer(self, author: int) -> None:
        """The head applied a batch, and its author never heard of it."""
        draft = self.drafts[author]
        batch = draft.take(100, 10**6)
        if batch.ops and batch.revision == self.head.revision:
            self.head.edit(batch.ops, batch.revision)

    def send(self, draft: Draft, most: int) -> None:
        batch = draft.take(most, 10**6)
        try:
            draft.confirm(batch, self.head.edit(batch.ops, batch.revision))
        except Refused as refusal:
            if refusal.index is not None:
                raise AssertionError("sent an operation that cannot be") from refusal
            self.refused += draft.rebase(self.head.tasks.values(), self.head.manual, self.head.revision)

    def try_to_record(self, author: int, op: Op) -> bool:
        try:
            self.drafts[author].record(op)
        except MazeError:
            return False
        return True

    @invariant()
    def graphs_have_no_cycles(self) -> None:
        for draft in self.drafts:
            assert networkx.is_directed_acyclic_graph(networkx.DiGraph(list(draft.graph.edges)))

    def teardown(self) -> None:
        for author in (0, 1):
            self.flush(author, 3)
        for draft in self.drafts:
            draft.rebase(self.head.tasks.values(), self.head.manual, self.head.revision)
            assert set(draft.graph.edges) == self.head.edges
            for number in range(1, self.made + 1):
                ids = {f"task_0{number:04}", f"task_1{number:04}"}
                told = any(each[:13] in text for text in self.refused for each in ids)
                assert ids & self.head.tasks.keys() or ids & self.deleted or told
            for task_id in self.deleted & self.head.tasks.keys():
                assert any(f"delete '{task_id}'" in text for text in self.refused), "a deletion was lost"


TestTwoAuthors = TwoAuthors.TestCase
TestTwoAuthors.settings = settings(max_examples=60, stateful_step_count=30)

"""Edits of workflows against networkx: accepted exactly if the model accepts them, with the same graph after each.

The model is a `networkx.DiGraph` plus the set of references; it knows nothing of orders kept up to date or undo logs.
"""

from __future__ import annotations

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.contents import Contents
from maze_head.core.errors import Rejected
from maze_head.core.graph import load_graph
from maze_head.core.order import Order
from maze_head.core.workflows import Workflow
from maze_protocol.http import AddEdge, AddTask, DelEdge, DelTask, SaveTask
from support.graphs import as_read
from support.head_core import Head, W, dump, dump_contents, task, tid

NUMBERS = st.integers(0, 6)
OPS = st.one_of(
    st.builds(lambda n, sources: ("add", n, tuple(sources)), NUMBERS, st.lists(NUMBERS, max_size=2, unique=True)),
    st.builds(lambda n, sources: ("save", n, tuple(sources)), NUMBERS, st.lists(NUMBERS, max_size=2, unique=True)),
    st.builds(lambda n: ("del", n), NUMBERS),
    st.builds(lambda s, t: ("edge", s, t), NUMBERS, NUMBERS),
    st.builds(lambda s, t: ("cut", s, t), NUMBERS, NUMBERS),
)


class Model:
    def __init__(self) -> None:
        self.refs: dict[int, tuple[int, ...]] = {}
        self.manual: set[tuple[int, int]] = set()

    def copy(self) -> Model:
        other = Model()
        other.refs, other.manual = dict(self.refs), set(self.manual)
        return other

    def graph(self) -> networkx.DiGraph:
        graph = networkx.DiGraph(self.manual)
        graph.add_nodes_from(self.refs)
        graph.add_edges_from((source, target) for target, sources in self.refs.items() for source in sources)
        return graph

    def apply(self, op: tuple) -> bool:
        """Apply an operation, or return False if it must be refused."""
        kind, number, *rest = op
        if kind in ("add", "save"):
            return self._define(kind, number, rest[0])
        if kind == "del":
            if number not in self.refs or any(number in sources for sources in self.refs.values()):
                return False
            del self.refs[number]
            self.manual = {pair for pair in self.manual if number not in pair}
            return True
        pair = (number, rest[0])
        if not set(pair) <= set(self.refs):
            return False
        if kind == "edge":
            self.manual.add(pair)
            return networkx.is_directed_acyclic_graph(self.graph())
        if number in self.refs[rest[0]] or pair not in self.manual:
            return False
        self.manual.remove(pair)
        return True

    def _define(self, kind: str, number: int, sources: tuple[int, ...]) -> bool:
        known = number in self.refs
        if kind == "add" and known:
            return self.refs[number] == sources
        if kind == "save" and not known:
            return False
        if not set(sources) <= set(self.refs):
            return False
        self.refs[number] = sources
        return networkx.is_directed_acyclic_graph(self.graph())


def operation(op: tuple):
    kind, number, *rest = op
    if kind in ("add", "save"):
        # Tasks of several shapes, and saved anew with another one.
        body = task(number, *rest[0], resources={"cpu": 1 + (number + len(rest[0])) % 3})
        return AddTask(body) if kind == "add" else SaveTask(body)
    if kind == "del":
        return DelTask(tid(number))
    return (AddEdge if kind == "edge" else DelEdge)(tid(number), tid(rest[0]))


@settings(max_examples=300)
@given(st.lists(st.lists(OPS, min_size=1, max_size=6), max_size=12))
def test_edits_are_accepted_as_the_model_accepts_them(edits: list[list[tuple]]) -> None:
    head, model = Head(), Model()
    head.workflow()
    for ops in edits:
        wanted = model.copy()
        accepted = [wanted.apply(op) for op in ops]
        before = head.ask(ev.DescribeWorkflow, W)
        try:
            head.edit(*map(operation, ops))
            refused_at = None
        except Rejected as refusal:
            refused_at = refusal.op
        assert refused_at == (None if all(accepted) else accepted.index(False))
        if refused_at is None:
            model = wanted
        else:
            assert head.ask(ev.DescribeWorkflow, W) == before
        shown = head.ask(ev.DescribeWorkflow, W)
        number = {tid(n): n for n in range(7)}
        assert {(number[s], number[t]) for s, t in shown.edges} == set(model.graph().edges)
        carried = {(source, target) for target, sources in model.refs.items() for source in sources}
        assert {(number[s], number[t]) for s, t in shown.manual_edges} == model.manual - carried
        assert {number[body.task_id] for body in shown.tasks} == set(model.refs)
        _check_what_is_collected(head)
    assert dump(head.replay().core) == dump(head.core)
    _check_compiled(head, model)


def _check_what_is_collected(head: Head) -> None:
    """What a workflow knows of its tasks as they come is what a reader of the saved graph finds out."""
    contents = head.core.state.workflows[W].contents
    assert sorted((s, t) for s, targets in contents.after.items() for t in targets) == sorted(contents.edges())
    graph = head.core.state.workflows[W].compile()
    assert as_read(graph) == as_read(load_graph(W, graph.version, graph.encode()))
    again = Workflow(W, "", 0.0)
    again.put_away()
    again.bring_back(Contents.read(graph.encode()))
    assert dump_contents(again) == dump_contents(head.core.state.workflows[W])


def _check_compiled(head: Head, model: Model) -> None:
    if not model.refs:
        return
    head.run()
    graph = head.core.state.runs[1].graph
    names = [int.from_bytes(task_id, "big") for task_id in graph.ids]
    compiled = {(names[source], names[target]) for source in range(len(graph)) for target in graph.after(source)}
    assert compiled == set(model.graph().edges)
    assert {names[task] for task in graph.roots} == {n for n, degree in model.graph().in_degree() if not degree}
    assert len(head.take(fx.SaveGraph)) == 1


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=60))
def test_the_order_finds_exactly_the_cycles(pairs: list[tuple[int, int]]) -> None:
    order: Order[int] = Order()
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(12))
    for number in range(12):
        order.add(number)
    for source, target in pairs:
        if source == target:
            continue
        closes = networkx.has_path(graph, target, source)
        after = {n: list(graph.successors(n)) for n in graph}
        before = {n: list(graph.predecessors(n)) for n in graph}
        assert order.closes_cycle(source, target, after, before) == closes
        if not closes:
            graph.add_edge(source, target)
        assert all(order.level(s) < order.level(t) for s, t in graph.edges)


@pytest.mark.timeout(10)
def test_ten_thousand_edges_against_the_order_stay_cheap() -> None:
    """A chain built backwards: every edge points from a newer to an older task."""
    head = Head()
    count = 10_000
    head.core.handle(_create(), head.now)
    ops = [AddTask(task(n)) for n in range(count)]
    ops += [AddEdge(tid(n + 1), tid(n)) for n in range(count - 1)]
    (reply,) = [effect for effect in head.core.handle(_edit(ops), head.now) if isinstance(effect, fx.Reply)]
    assert reply.value.revision == 1


def _create():
    from maze_protocol.http import WorkflowRequest

    return ev.CreateWorkflow(1, W, WorkflowRequest())


def _edit(ops):
    from maze_protocol.http import EditRequest
    from support.head_core import CODE_BODY

    return ev.EditWorkflow(2, W, EditRequest(ops, [CODE_BODY]))

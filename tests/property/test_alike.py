"""A workflow that is sent in few words is the one that is sent in full: the SDK's writer against the head's reader."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from maze._draft import Batch
from maze._graph import AddEdge, AddTask, Code, DelTask, InputSpec, Op, Vertex
from maze._wire import edit_request
from maze_head.core import events as ev
from maze_protocol.http import EditRequest
from maze_protocol.policy import Policy
from maze_protocol.terms import Terms
from support.head_core import CODE, SOURCE, Head, W, tid

OTHER = b"another function"
CODES = (
    Code("pickle", None, "f", SOURCE, CODE),
    Code("pickle", None, "g", OTHER, hashlib.blake2b(OTHER, digest_size=16).hexdigest()),
)
declared = st.fixed_dictionaries(
    {
        "code": st.sampled_from(CODES),
        "outputs": st.sampled_from([("y",), ("y", "z"), ("y", *(f"output {number}" for number in range(100)))]),
        "resources": st.sampled_from([{}, {"cpu": 2}, {"cpu": 2.0, "cpu_mem": 10}]),
        "data_types": st.sampled_from([{}, {"y": "int"}]),
        "policy": st.sampled_from([Policy(), Policy(retries=2, timeout=3.0)]),
        "terms": st.sampled_from([Terms(), Terms(limits=(("api", 1),))]),
        "keep": st.booleans(),
        "sandbox": st.booleans(),
    }
)
tasks = st.tuples(st.integers(0, 2), st.lists(st.integers(0, 9), max_size=3, unique=True), st.integers(0, 3))


@st.composite
def edits(draw: Any) -> list[Op]:
    """Draw tasks of a few kinds that use earlier ones, with other operations between them."""
    kinds = draw(st.lists(declared, min_size=3, max_size=3))
    made: list[Op] = []
    for number, (kind, sources, odd) in enumerate(draw(st.lists(tasks, max_size=12))):
        before = [source for source in sources if source < number]
        inputs = {f"x{source}": InputSpec(((tid(source + 1), "y"),)) for source in before}
        inputs["v"] = InputSpec((), 0, bytes([number]))
        name = "common" if odd else f"t{number}"
        anchor = tid(before[0] + 1) if before and odd == 1 else ""
        made.append(AddTask(Vertex(tid(number + 1), name, "f", inputs=inputs, same_node_as=anchor, **kinds[kind])))
        if before and odd == 2:
            made.append(AddEdge(tid(before[0] + 1), tid(number + 1)))
        if odd == 3:
            gone = Vertex(tid(100 + number), name, "f", **kinds[kind])
            made += [AddTask(gone), DelTask(gone.task_id)]
    return made


@given(edits())
def test_the_head_reads_the_same_workflow_from_both(ops: list[Op]) -> None:
    seen = []
    for alike in (False, True):
        head = Head()
        head.workflow()
        sent = msgspec.msgpack.encode(edit_request(Batch(tuple(ops), CODES, 0), "e", alike=alike))
        head.ask(ev.EditWorkflow, W, msgspec.msgpack.decode(sent, type=EditRequest))
        seen.append(msgspec.structs.replace(head.ask(ev.DescribeWorkflow, W), created_at=0.0))
    assert seen[0] == seen[1]


@given(edits())
def test_both_hold_the_operations_in_their_order(ops: list[Op]) -> None:
    full, short = (edit_request(Batch(tuple(ops), CODES, 0), "e", alike=alike) for alike in (False, True))
    assert len(full.ops) == len(short.ops)
    assert len(msgspec.msgpack.encode(short)) <= len(msgspec.msgpack.encode(full))

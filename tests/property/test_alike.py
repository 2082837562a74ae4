"""A workflow that is sent in few words is the one that is sent in full: the SDK's writer against the head's reader."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from maze._draft import Batch
from maze._graph import AddEdge, AddTask, Code, DelTask, InputSpec, Op
from maze._wire import edit_request
from maze_head.core import effects as fx
from maze_head.core import events as ev
from maze_head.core.alike import WORTH_A_SERIES
from maze_head.core.errors import Rejected
from maze_protocol import http
from maze_protocol.http import AddAlike, EditRequest, EncodedValue, InputBody
from maze_protocol.policy import Policy
from maze_protocol.terms import Terms
from support.drafts import task_of
from support.graphs import as_read
from support.head_core import CODE, SOURCE, Head, W, add, tid

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
        made.append(AddTask(task_of(tid(number + 1), name, "f", inputs=inputs, same_node_as=anchor, **kinds[kind])))
        if before and odd == 2:
            made.append(AddEdge(tid(before[0] + 1), tid(number + 1)))
        if odd == 3:
            gone = task_of(tid(100 + number), name, "f", **kinds[kind])
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


RIGHT = ["source", "hole", "value", "named", "again", "edge", "gone"]
WRONG = ["codec", "name", "key", "taken", "later", "id", "model"]
literals = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.binary(max_size=3), max_size=2)
stretches = st.tuples(
    st.integers(0, 2),
    st.sampled_from([1, WORTH_A_SERIES, 3 * WORTH_A_SERIES]),
    st.sampled_from(["plain", *RIGHT, *RIGHT, *WRONG]),
    st.integers(0, 3 * WORTH_A_SERIES),
)


def odd(what: str, like: int, number: int, last: http.Op) -> list[http.Op]:
    """Return what stands among plain tasks of that model, at the place of the numbered task."""
    text, one = tid(number), EncodedValue(0, b"1")
    plain = {"x": InputBody(encoded=one)}
    others: dict[str, list[http.Op]] = {
        "source": [AddAlike(like, text, {"x": InputBody(source=f"{tid(1)}.output.y")})],
        "hole": [AddAlike(like, text, {"x": InputBody(encoded=one, refs=[f"{tid(1)}.output.y"])})],
        "value": [AddAlike(like, text, {"x": InputBody(value=[1])})],
        "named": [AddAlike(like, text, plain, "a name of its own")],
        "again": [last],
        "edge": [http.AddEdge(tid(1), tid(2))],
        "gone": [AddAlike(like, text), http.DelTask(text), AddAlike(like, text)],
        "codec": [AddAlike(like, text, {"x": InputBody(encoded=EncodedValue(9, b""))})],
        "name": [AddAlike(like, text, plain, "bad\x00")],
        "key": [AddAlike(like, text, {"bad\x00": InputBody(encoded=one)})],
        "taken": [AddAlike(like, tid(number - 1), {"taken": InputBody(encoded=one)})],
        "later": [AddAlike(like, text, {"x": InputBody(source=f"{tid(number + 1)}.output.y")})],
        "id": [AddAlike(like, text.upper())],
        "model": [AddAlike(99_999, text)],
    }
    return others.get(what, [AddAlike(like, text)])


@st.composite
def requests(draw: Any) -> list[http.Op]:
    """Draw operations as no SDK sends them: plain tasks with something else among them, right or wrong."""
    code = draw(st.sampled_from([CODE, ""]))
    made: list[http.Op] = [add(1), add(2, resources={"cpu": 2}, code=code), add(3, same_node_as=tid(1))]
    number = 10
    for like, count, what, place in draw(st.lists(stretches, max_size=4)):
        inputs = {key: InputBody(encoded=EncodedValue(0, body)) for key, body in draw(literals).items()}
        for step in range(count):
            number += 1
            made += odd(what, like, number, made[-1]) if step == place else [AddAlike(like, tid(number), inputs)]
    return made


def in_full(ops: list[http.Op]) -> list[http.Op]:
    """Return the same operations without `add_alike`; one that is like no task is left, and is refused as it is."""
    full: list[http.Op] = []
    for op in ops:
        if isinstance(op, AddAlike) and op.like < len(ops):
            model = ops[op.like]
            assert isinstance(model, http.AddTask)
            own = {"task_id": op.task_id, "name": op.name or model.task.name, "inputs": op.inputs}
            full.append(http.AddTask(msgspec.structs.replace(model.task, **own)))
        else:
            full.append(op)
    return full


def outcome(head: Head, ops: list[http.Op]) -> tuple[Any, ...]:
    """Return all that can be seen of an edit: how it was answered, the journal, and the graph that came of it."""
    try:
        answer = head.edit(*ops)
    except Rejected as error:
        answer = type(error), error.code, str(error), error.hint, error.op, error.field.replace(".task.", ".")
    edits = [row.body for row in head.journal if isinstance(row, fx.AppendCluster) and row.kind == "workflow_edited"]
    flow = head.core.state.workflows[W]
    contents = flow.contents
    levels = [contents.order.level(task_id) for task_id in contents.tasks]
    seen = answer, edits, as_read(flow.compile()), contents.tasks, list(contents.unsaved), contents.before, levels
    return copy.deepcopy(seen)


@given(requests(), requests())
def test_a_series_does_what_its_tasks_one_by_one_would(first: list[http.Op], second: list[http.Op]) -> None:
    short, full = Head(), Head()
    for head in (short, full):
        head.workflow()
    for ops in (first, second, [add(4000, 1), http.AddEdge(tid(1), tid(2))]):
        assert outcome(short, ops) == outcome(full, in_full(ops))
    assert short.recover().ask(ev.DescribeWorkflow, W).tasks == full.ask(ev.DescribeWorkflow, W).tasks

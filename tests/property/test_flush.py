"""A draft on its way to the real core, in parts, over a wire that repeats and loses, beside another author.

Whatever happens, the head has in the end what the author made, each task once and in the author's order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from unittest import mock

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from maze import _remote
from maze._graph import AddEdge, AddTask, Code, DelEdge, DelTask, InputSpec, Op
from maze._shared import WorkflowState, discard_edits
from maze.errors import HeadUnavailableError, MazeError, RequestError
from maze_head.core import events as ev
from maze_head.core.errors import Rejected
from maze_protocol.http import EditRequest
from support.drafts import task_of
from support.head_core import CODE, SOURCE, Head, W, add, tid

PART = 3
FOREIGN = 1000
CODE_OF = Code("pickle", None, "f", SOURCE, CODE)
accidents = st.tuples(st.booleans(), st.sampled_from(["", "", "", "asked again", "lost"]))


class Wire:
    """The connection to a core; what was drawn befalls each request."""

    def __init__(self, head: Head, drawn: list[tuple[bool, str]], minor: int) -> None:
        self.head = head
        self.api_minor = minor
        self._drawn: Iterator[tuple[bool, str]] = iter(drawn)
        self.foreign = 0

    async def minor(self, *, anew: bool = False) -> int:
        return self.api_minor

    async def request(self, method: str, where: str, reply: Any, body: Any = None, **query: str) -> Any:
        foreign, accident = next(self._drawn, (False, ""))
        if foreign:
            self.foreign += 1
            self.head.edit(add(FOREIGN + self.foreign))
        if method == "GET":
            return self.head.ask(ev.DescribeWorkflow, W)
        try:
            for _ in range(2 if accident == "asked again" else 1):
                answer = self._edit(body)
        except Rejected as error:
            raise RequestError(error.message, status=409, code=error.code, op=error.op) from error
        if accident == "lost":
            raise HeadUnavailableError("the answer was lost")
        return answer

    def _edit(self, body: EditRequest) -> Any:
        return self.head.ask(ev.EditWorkflow, W, msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=EditRequest))


@st.composite
def drafts(draw: Any) -> list[Op]:
    """Draw what an author does: tasks that use others, edges that come and go, and tasks taken back."""
    made: list[Op] = []
    for number, choice in enumerate(draw(st.lists(st.integers(0, 9), min_size=1, max_size=20))):
        inputs = {"x": InputSpec(((tid(choice), "y"),))} if choice < number else {}
        made.append(AddTask(task_of(tid(number), f"t{number}", "f", CODE_OF, inputs, ("y",))))
        if choice == 9 and number:
            made.append(AddEdge(tid(0), tid(number)))
            made.append(DelEdge(tid(0), tid(number)))
            made.append(DelTask(tid(number)))
    return made


async def send(state: WorkflowState) -> None:
    """Flush as often as it takes; only answers that were lost may be told."""
    while state.draft.dirty:
        with suppress(HeadUnavailableError):
            await _remote.flush(state)


@given(drafts(), st.lists(accidents, max_size=30), st.sampled_from([0, 1]), st.integers(0, 20))
def test_the_head_has_what_its_author_made(
    ops: list[Op], drawn: list[tuple[bool, str]], minor: int, sent_before: int
) -> None:
    head, state = Head(), WorkflowState("http://127.0.0.1:9", "w")
    head.workflow()
    wire = Wire(head, drawn, minor)
    state.draft.load((), (), 1)
    state.draft.revision = head.ask(ev.DescribeWorkflow, W).revision

    async def author() -> None:
        for number, op in enumerate(ops):
            # What presumes a task that its author never added is left out; the head would only refuse it.
            if not state.draft.graph.missing(op):
                with suppress(MazeError):
                    state.record(op)
            if number == sent_before:
                await send(state)
        await send(state)

    with mock.patch.object(_remote, "connection", return_value=wire), mock.patch.object(_remote, "PART_OPS", PART):
        try:
            asyncio.run(author())
        finally:
            discard_edits(state.url)
    found = head.ask(ev.DescribeWorkflow, W)
    own = [task.task_id for task in found.tasks if int(task.task_id[-4:], 16) < FOREIGN]
    assert own == [task_id for task_id in state.draft.graph.tasks if int(task_id[-4:], 16) < FOREIGN]
    assert len(found.tasks) == len(own) + wire.foreign
    assert {tuple(edge) for edge in found.edges} == set(state.draft.graph.edges)

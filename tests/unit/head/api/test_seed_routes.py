"""What the original's forms become, where no whole head is needed to see it."""

from __future__ import annotations

import base64
import hashlib
import sys
from typing import Any

import pytest

from maze_head.core.events import DescribeWorkflow, EditWorkflow
from maze_protocol.http import CodeBody, EditResponse, InputBody, SaveTask, TaskBody, WorkflowBody
from support.api_double import WORKFLOW_TEXT, asynchronous, serving

TASK = "task_" + "00" * 16
SOURCE = "    def f(params):\n        return {}\n"


async def saved(**form: Any) -> tuple[int, EditWorkflow | None]:
    """Save a task over the wire; return the status and the edit that the core was asked for."""
    known = WorkflowBody(WORKFLOW_TEXT, "", 1, 0.0, [TaskBody(TASK, "its name")], [], [])
    async with serving() as head:
        head.driver.answers |= {DescribeWorkflow: known, EditWorkflow: EditResponse(WORKFLOW_TEXT, 2)}
        body = {"workflow_id": WORKFLOW_TEXT, "task_id": TASK, **form}
        async with head.http.post("/save_task_and_add_edge", json=body) as response:
            edits = [command for command in head.driver.asked if isinstance(command, EditWorkflow)]
            return response.status, edits[0] if edits else None


@asynchronous
async def test_a_pickle_wins_over_the_text_and_is_opaque() -> None:
    body = b"\x80\x05not really a pickle"
    status, edit = await saved(code_str=SOURCE, code_ser=base64.b64encode(body).decode())
    assert status == 200
    assert edit is not None
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    assert edit.request.codes == [CodeBody(digest, "pickle", sys.version_info[:2], body)]


@asynchronous
async def test_a_definition_keeps_the_name_and_checks_no_outputs() -> None:
    inputs = {
        "1": {"key": "a", "input_schema": "from_user", "data_type": "int", "value": [1, None]},
        "2": {"key": "b", "input_schema": "from_task", "data_type": "str", "value": f"{TASK}.output.k.with.dots"},
    }
    status, edit = await saved(
        code_str=SOURCE,
        task_input={"input_params": inputs},
        task_output={"output_params": {"1": {"key": "y"}, "2": {"key": "y"}}},
        resources={"gpu": 1},
        something_newer=True,
    )
    assert status == 200
    assert edit is not None
    (op,) = edit.request.ops
    assert isinstance(op, SaveTask)
    assert op.task == TaskBody(
        TASK,
        "its name",
        code=hashlib.blake2b(SOURCE.encode(), digest_size=16).hexdigest(),
        inputs={"a": InputBody(value=[1, None]), "b": InputBody(source=f"{TASK}.output.k.with.dots")},
        outputs=["y"],
        resources={"gpu": 1.0},
        strict_outputs=False,
    )


@pytest.mark.parametrize("form", [{}, {"code_ser": ""}, {"code_str": ""}, {"code_ser": "%"}, {"code_str": "x = 1"}])
@asynchronous
async def test_a_definition_without_a_function_asks_nothing_of_the_core(form: dict[str, str]) -> None:
    assert await saved(**form) == (422, None)

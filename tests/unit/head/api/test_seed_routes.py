"""What the original's forms become, where no whole head is needed to see it."""

from __future__ import annotations

import base64
import hashlib
import sys
from typing import Any

import msgspec
import pytest

from maze_head.api.encoder import OpenRun
from maze_head.api.render import GraphNames
from maze_head.api.seed_routes import seed_messages
from maze_head.core.effects import ObjectPlace
from maze_head.core.events import DescribeWorkflow, EditWorkflow, LocateObject
from maze_head.core.snapshot import Snapshot
from maze_head.core.tasks import TaskSpec, pack
from maze_head.facts import RunPlace
from maze_protocol.events import (
    ObjectLost,
    ObjectRebuilt,
    RunFinished,
    RunSubmitted,
    TaskFinished,
    TaskLeased,
    TaskStarted,
)
from maze_protocol.http import CodeBody, EditResponse, InputBody, SaveTask, TaskBody
from maze_protocol.limits import MAX_TASK_VALUES
from maze_protocol.resources import Claim, Request
from maze_protocol.values import MSGPACK, ObjectRef, OutputValue, Value
from support.api_double import RUN_ID, RUN_TEXT, WORKFLOW_ID, WORKFLOW_TEXT, asynchronous, graph_of, serving

TASK = "task_" + "00" * 16
SOURCE = "    def f(params):\n        return {}\n"


async def saved(**form: Any) -> tuple[int, EditWorkflow | None]:
    """Save a task over the wire; return the status and the edit that the core was asked for."""
    packed = pack(TaskSpec(bytes(16), "its name", Request(), (0, 0)))
    known = Snapshot(WORKFLOW_ID, "", 1, 0.0, {bytes(16): packed}, [])
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


async def stream(outputs: tuple[OutputValue, ...], **there: Any) -> Any:
    """Return the result of a task as the original's client reads it, when those objects can be brought."""
    done = (
        TaskLeased(0, 1, 1, "n1", Claim(1000, 0)),
        TaskStarted(0, 1, 1, "n1", "10.0.0.1", 1.0),
        TaskFinished(0, 1, 1, (), 1.0),
        RunFinished(1, 0, 0),
    )
    async with serving("one") as head:
        await head.hub.commit(RunSubmitted(RUN_ID, WORKFLOW_ID, 1, 1), *done)
        head.hub.results[0] = outputs
        head.driver.answers[LocateObject] = lambda asked: ObjectPlace(1, 0, asked.output, None, kept=False)
        head.bringing.there = {(1, 0, int(number[1:])): data for number, data in there.items()}
        async with head.http.ws_connect(f"/get_workflow_res/{WORKFLOW_TEXT}/{RUN_TEXT}") as socket:
            messages = [message.json() async for message in socket]
    (found,) = [message["data"]["result"] for message in messages if message["type"] == "finish_task"]
    return found


def an_object(number: int, size: int) -> OutputValue:
    return OutputValue(f"y{number}", Value(MSGPACK, size, ref=ObjectRef(1, number, size, 0)), "list")


@asynchronous
async def test_the_original_gets_objects_whole_up_to_what_it_always_got() -> None:
    body = msgspec.msgpack.encode([1.5] * 10_000)
    large = an_object(1, MAX_TASK_VALUES + 1)
    found = await stream((an_object(0, len(body)), large, an_object(2, 70_000)), n0=body)
    assert found["y0"] == [1.5] * 10_000
    assert found["y1"]["__object__"]["size"] == MAX_TASK_VALUES + 1
    assert found["y2"]["__object__"]["href"].endswith(f"/tasks/{TASK}/outputs/y2"), "nobody has it any more"


def test_the_original_sees_nothing_of_a_finished_task_that_runs_once_more() -> None:
    run = OpenRun(b"", RunPlace(1, b"", 1), GraphNames("run_x", WORKFLOW_TEXT, graph_of(["one"])))
    started = TaskStarted(0, 2, 8, "n2", "", 1.0, rebuild=True)
    events = (ObjectLost(0, (0,), "n1"), started, ObjectRebuilt(0, 2, 8, "n2", ()))
    assert [seed_messages(event, run, (), {}) for event in events] == [[], [], []]

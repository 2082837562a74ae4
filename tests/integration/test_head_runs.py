"""Runs through a real head and a scripted node: values, order, restart, loss. Everything but the worker is real."""

from __future__ import annotations

import base64
import hashlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from maze_protocol.http import ClientEvent
from maze_protocol.limits import INLINE_VALUE
from maze_protocol.messages import ACCEPTED, HELD_RUNNING, Held
from maze_protocol.topics import run_topic
from support.head_process import HeadProcess, running_head
from support.scripted_node import ScriptedNode

WORKFLOW = "workflow_" + "a" * 32
RUN = "run_" + "b" * 32
CODE = b"not a pickle; the head does not care"
HASH = hashlib.blake2b(CODE, digest_size=16).hexdigest()
PATIENCE = 30.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def task_id(number: int) -> str:
    return f"task_{number:032x}"


def task(number: int, *sources: int) -> dict[str, Any]:
    inputs = {f"x{source}": {"source": f"{task_id(source)}.output.y"} for source in sources}
    body = {"task_id": task_id(number), "name": f"t{number}", "code": HASH, "inputs": inputs, "outputs": ["y"]}
    return {"op": "add_task", "task": body}


def submit(head: HeadProcess, *tasks: dict[str, Any]) -> None:
    """Make a workflow of these tasks and run it."""
    code = {"hash": HASH, "kind": "pickle", "python": [3, 11], "body": base64.b64encode(CODE).decode(), "name": "f"}
    for path, body in (
        ("/api/v1/workflows", {"workflow_id": WORKFLOW, "name": "w"}),
        (f"/api/v1/workflows/{WORKFLOW}/edits", {"ops": list(tasks), "codes": [code]}),
        ("/api/v1/runs", {"workflow_id": WORKFLOW, "run_id": RUN}),
    ):
        status, answer = head.request("POST", path, body)
        assert status in (200, 201), answer


def events(head: HeadProcess) -> list[dict[str, Any]]:
    """Return the log of the run, as far as it goes."""
    status, page = head.request("GET", f"/api/v1/runs/{RUN}/events?after=0&limit=1000")
    assert status == 200, page
    return list(page["events"])


def wait_for(condition: Callable[[], Any]) -> Any:
    """Poll the head until the condition holds; every poll is a request that takes its own time."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline
    return value


def sealed(head: HeadProcess) -> bool:
    return bool(head.request("GET", f"/api/v1/runs/{RUN}")[1]["sealed"])


def test_values_travel_from_task_to_task_and_the_log_is_in_order(state: Path) -> None:
    large = bytes(range(256)) * (INLINE_VALUE // 128)
    with running_head(state) as head, ScriptedNode(head.ready["node"]) as node:
        submit(head, task(1), task(2), task(3, 1, 2))
        for _ in range(2):
            assignment, _ = node.next_assignment()
            body = msgspec.msgpack.encode(7) if assignment.name == "t1" else msgspec.msgpack.encode(large)
            node.finish(assignment, y=body)
        assignment, inputs = node.next_assignment()
        assert assignment.name == "t3"
        assert inputs == {"x1": [msgspec.msgpack.encode(7)], "x2": [msgspec.msgpack.encode(large)]}
        node.finish(assignment, y=msgspec.msgpack.encode(9))
        node.until(lambda: len(node.acks) == 3)
        assert {ack.verdict for ack in node.acks} == {ACCEPTED}
        wait_for(lambda: sealed(head))
        log = events(head)
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
        assert log[-1]["type"] == "finish_workflow"
        results = {
            event["data"]["task_name"]: event["data"]["result"] for event in log if event["type"] == "finish_task"
        }
        assert (results["t1"], results["t3"]) == ({"y": 7}, {"y": 9})
        head.signal(signal.SIGKILL)
        head.wait()
    with running_head(state) as head:
        assert events(head) == log


def test_a_killed_head_gives_unfinished_tasks_to_the_next_one(state: Path) -> None:
    with running_head(state) as head, ScriptedNode(head.ready["node"]) as node:
        submit(head, task(1), task(2, 1))
        assignment, _ = node.next_assignment()
        node.finish(assignment, y=msgspec.msgpack.encode("kept"))
        node.next_assignment()
        head.signal(signal.SIGKILL)
        head.wait()
    with running_head(state) as head, ScriptedNode(head.ready["node"], incarnation=2) as node:
        assignment, inputs = node.next_assignment()
        # The input comes from the journal, not from memory: no task ran in this life of the head.
        assert (assignment.name, assignment.attempt, inputs) == ("t2", 2, {"x1": [msgspec.msgpack.encode("kept")]})
        node.finish(assignment, y=msgspec.msgpack.encode("done"))
        wait_for(lambda: sealed(head))
        kinds = [event["type"] for event in events(head)]
        assert kinds.count("finish_task") == 2
        assert "task_released" in kinds  # the node had not said that it began


def test_a_node_that_vanishes_is_noticed_at_once_and_its_tasks_go_elsewhere(state: Path) -> None:
    with running_head(state) as head:
        with ScriptedNode(head.ready["node"], node_id="a") as first:
            submit(head, task(1), task(2))
            assert {first.next_assignment()[0].attempt for _ in range(2)} == {1}
            second = ScriptedNode(head.ready["node"], node_id="b")
        with second:
            vanished = time.monotonic()
            taken = [second.next_assignment()[0] for _ in range(2)]
            # Its connection closed: that takes the grace of a second, not the ten of silence.
            assert time.monotonic() - vanished < 5.0
            assert {assignment.attempt for assignment in taken} == {2}
            for assignment in taken:
                second.finish(assignment, y=b"\x01")
            wait_for(lambda: sealed(head))
        states = {node["node_id"]: node["state"] for node in head.request("GET", "/api/v1/nodes")[1]["nodes"]}
        assert states["a"] == "lost"


def test_late_subscribers_hear_what_is_committed_from_then_on(state: Path) -> None:
    with (
        zmq.Context() as context,
        context.socket(zmq.SUB) as subscriber,
        running_head(state) as head,
        ScriptedNode(head.ready["node"]) as node,
    ):
        subscriber.rcvtimeo = int(PATIENCE * 1000)
        subscriber.connect(head.ready["events"])
        topic = run_topic(bytes.fromhex("b" * 32))
        subscriber.subscribe(topic)
        assert subscriber.recv_multipart()[:2] == [topic, b"W"]
        submit(head, task(1))
        assignment, _ = node.next_assignment()
        node.finish(assignment, y=b"\x01")
        seen = 0
        while seen < 4:  # submitted, leased, started, finished … sealed
            heard, kind, body = subscriber.recv_multipart()
            assert heard == topic
            if kind == b"T":
                continue
            assert kind == b"S"
            events = msgspec.msgpack.decode(body, type=list[ClientEvent])
            assert [event.seq for event in events] == list(range(seen + 1, seen + 1 + len(events)))
            seen += len(events)


def test_a_node_that_still_holds_an_unknown_lease_is_told_to_drop_it(state: Path) -> None:
    with (
        running_head(state) as head,
        ScriptedNode(head.ready["node"], inventory=(Held(12345, HELD_RUNNING),)) as node,
    ):
        assert node.welcome.drop == (12345,)

"""Every POST can be repeated: over real HTTP, at the same time, and after the head was killed and started again."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from maze_head.api.routes import ROUTES
from support.api_double import asynchronous
from support.api_stack import Stack, stack
from support.head_process import HeadProcess, running_head
from support.tokens import shown

SOURCE = b"def f(params):\n    return {'y': 1}\n"
HASH = hashlib.blake2b(SOURCE, digest_size=16).hexdigest()
CODE = {"hash": HASH, "kind": "source", "python": [0, 0], "body": base64.b64encode(SOURCE).decode()}
A, B = "task_" + "a" * 32, "task_" + "b" * 32


def post(head: HeadProcess, path: str, body: Any, key: str | None) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", **shown(head.ready)} | (
        {} if key is None else {"Idempotency-Key": key}
    )
    request = urllib.request.Request(head.ready["url"] + path, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


class Story:
    """Authors and runs a workflow on both wires, every request with a key of its own; all answers in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, str]] = []
        self.answers: list[tuple[int, Any]] = []

    def ask(self, head: HeadProcess, path: str, body: Any) -> Any:
        key = f"key {len(self.asked)}"
        status, answer = post(head, path, body, key)
        assert status in (200, 201), answer
        self.asked.append((path, body, key))
        self.answers.append((status, answer))
        return answer

    def tell(self, head: HeadProcess) -> None:
        workflow = self.ask(head, "/api/v1/workflows", {"name": "w"})["workflow_id"]
        place = f"/api/v1/workflows/{workflow}"
        self.ask(head, f"{place}/edits", {"codes": [CODE], "ops": [{"op": "add_task", "task": task(A)}]})
        self.ask(head, f"{place}/tasks", {"task": task(B), "codes": []})
        self.ask(head, f"{place}/edges", {"source": A, "target": B})
        self.ask(head, "/api/v1/runs", {"workflow_id": workflow})
        self.tell_original(head)

    def tell_original(self, head: HeadProcess) -> None:
        workflow = {"workflow_id": self.ask(head, "/create_workflow", {})["workflow_id"]}
        names = [{**workflow, "task_type": "code", "task_name": name} for name in ("one", "two", "three")]
        made = [self.ask(head, "/add_task", form)["task_id"] for form in names]
        one, two, three = ({**workflow, "task_id": task_id} for task_id in made)
        code = {"code_str": SOURCE.decode(), "task_output": {"output_params": {"1": {"key": "y"}}}}
        self.ask(head, "/save_task", {**one, **code})
        self.ask(head, "/save_task_and_add_edge", {**two, **code})
        edge = {**workflow, "source_task_id": one["task_id"], "target_task_id": two["task_id"]}
        self.ask(head, "/add_edge", edge)
        self.ask(head, "/del_edge", edge)
        self.ask(head, "/del_task", three)
        self.ask(head, "/run_workflow", workflow)

    def repeat(self, head: HeadProcess) -> None:
        """Ask everything again, last first: the answers are those of the first time."""
        for (path, body, key), (status, answer) in reversed(list(zip(self.asked, self.answers, strict=True))):
            again = post(head, path, body, key)
            # Where a run stands is told anew each time; that it is the same run is what counts.
            if "last_seq" in answer:
                assert (again[0], again[1]["run_id"]) == (status, answer["run_id"])
            elif "created_at" in answer:
                assert (again[0], again[1]["workflow_id"]) == (status, answer["workflow_id"])
            else:
                assert again == (status, answer), path


def task(task_id: str) -> dict[str, Any]:
    return {"task_id": task_id, "name": task_id[:6], "code": HASH, "outputs": ["y"]}


def everything(head: HeadProcess) -> list[Any]:
    """Return all workflows in full and all runs."""
    workflows = head.request("GET", "/api/v1/workflows")[1]["workflows"]
    whole = [head.request("GET", f"/api/v1/workflows/{each['workflow_id']}")[1] for each in workflows]
    return [whole, [run["run_id"] for run in head.request("GET", "/api/v1/runs")[1]["runs"]]]


def test_every_post_can_be_repeated_also_after_a_restart(tmp_path: Path) -> None:
    story = Story()
    with running_head(tmp_path / "state") as head:
        story.tell(head)
        before = everything(head)
        assert [len(part) for part in before] == [2, 2]
        story.repeat(head)
        assert everything(head) == before
        head.signal(signal.SIGKILL)
        head.wait()
    with running_head(tmp_path / "state") as head:
        story.repeat(head)
        assert everything(head) == before
    told = {path.replace(before[0][0]["workflow_id"], "{workflow_id}") for path, _, _ in story.asked}
    posts = {route.path for route in ROUTES if route.method == "POST" and route.status != 501}
    elsewhere = {
        "/api/v1/runs/{run_id}/retry",  # which needs a run that is over: below
        "/upload_file/{workflow_id}",  # whose body is a file: test_api_seed_files.py
        "/cleanup_workflow/{workflow_id}",
        "/api/v1/node-keys",  # whose body names what it makes, and which need CURVE: test_curve.py, test_joining.py
        "/api/v1/event-keys",
    }
    assert posts - told == elsewhere


def test_repetitions_at_the_same_time_make_one(tmp_path: Path) -> None:
    with running_head(tmp_path / "state") as head:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(head, "/create_workflow", {}, "same"), range(32)))
        assert {status for status, _ in answers} == {200}
        assert len({answer["workflow_id"] for _, answer in answers}) == 1
        assert len(everything(head)[0]) == 1
        assert post(head, "/create_workflow", {}, None)[1] != post(head, "/create_workflow", {}, None)[1]


@pytest.mark.parametrize("seed", [False, True])
def test_a_key_with_another_body_and_nonsense_keys_are_refused(tmp_path: Path, *, seed: bool) -> None:
    with running_head(tmp_path / "state") as head:
        workflow = post(head, "/create_workflow", {}, None)[1]["workflow_id"]
        path = "/add_task" if seed else f"/api/v1/workflows/{workflow}/edits"
        body = {"workflow_id": workflow, "task_type": "code"} if seed else {"ops": []}
        changed = {**body, "task_name": "other"} if seed else {"ops": [], "base_revision": 0}
        wrong = {**body, "task_type": "gpu"} if seed else {"ops": [{"op": "del_task", "task_id": A}]}
        assert post(head, path, wrong, "k")[0] >= 400, "what was refused leaves its key free"
        assert post(head, path, body, "k")[0] == 200
        status, answer = post(head, path, changed, "k")
        assert (status, "another body" in json.dumps(answer)) == (422, True)
        assert post(head, path, body, "x" * 256)[0] == 400


@asynchronous
async def test_a_retry_can_be_repeated(tmp_path: Path) -> None:
    def fail(inputs: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("bad thing")

    async def ask(head: Stack, path: str, body: Any, key: str = "") -> Any:
        async with head.http.post(
            f"/api/v1{path}", json=body, headers={"Idempotency-Key": key} if key else {}
        ) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async with stack(tmp_path) as head:
        head.puppet.behaviours = {task(A)["name"]: fail}
        head.puppet.join()
        workflow = (await ask(head, "/workflows", {}))["workflow_id"]
        ops = [{"op": "add_task", "task": task(A)}]
        await ask(head, f"/workflows/{workflow}/edits", {"codes": [CODE], "ops": ops})
        run_id = (await ask(head, "/runs", {"workflow_id": workflow}))["run_id"]
        async with head.http.ws_connect(f"/api/v1/runs/{run_id}/events") as socket:
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
        made = [(await ask(head, f"/runs/{run_id}/retry", {}, key))["run_id"] for key in ("k", "k", "l")]
        assert (made[0] == made[1], len({run_id, *made})) == (True, 3)

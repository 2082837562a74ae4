"""Too much pending work: told with 429, waited out by the SDK, and no hindrance to what is there."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maze import MaClient, RequestError, _http, task
from support.cluster import Cluster, start_cluster, wait_until


@task(inputs=["path"], outputs=["y"])
def wait_for_file(params: dict[str, Any]) -> dict[str, Any]:
    import pathlib
    import time

    while not pathlib.Path(params["path"]).exists():
        time.sleep(0.01)
    return {"y": 1}


@pytest.fixture(scope="module")
def small() -> Iterator[Cluster]:
    with start_cluster(head_args=["--max-pending-tasks=3"]) as running:
        yield running


def author(client: MaClient, path: Path, tasks: int = 2) -> Any:
    workflow = client.create_workflow()
    for _ in range(tasks):
        workflow.add_task(wait_for_file, inputs={"path": str(path)})
    workflow.get_tasks()
    return workflow


def refusals(cluster: Cluster) -> int:
    return int(cluster.get("/api/v1/metrics")["counters"]["http_refused_total"])


def test_a_full_head_says_so_and_the_sdk_waits(small: Cluster, tmp_path: Path) -> None:
    with MaClient(small.url) as client:
        first, second = (author(client, tmp_path / name) for name in "ab")
        first_run = first.run()
        body = json.dumps({"workflow_id": second.workflow_id}).encode()
        request = urllib.request.Request(
            f"{small.url}/api/v1/runs", body, {"Content-Type": "application/json", **small.shown}, method="POST"
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        with refused.value as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            assert json.load(answer)["error"]["code"] == "too_many_pending"
        before, runs = refusals(small), list[str]()
        waiting = threading.Thread(target=lambda: runs.append(second.run()))
        waiting.start()
        wait_until(lambda: refusals(small) > before, "the SDK's first attempt")
        (tmp_path / "a").touch()
        waiting.join(60)
        (tmp_path / "b").touch()
        assert len(first.get_results(first_run, verbose=False)) == len(second.get_results(runs[0], verbose=False)) == 5


def test_patience_ends_in_a_clear_error(small: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "BUSY_SECONDS", 0.2)
    with MaClient(small.url) as client:
        first, second = (author(client, tmp_path / "c") for _ in range(2))
        run_id = first.run()
        with pytest.raises(RequestError, match=r"(?s)at most 3.*try again when some of them are done") as told:
            second.run()
        assert (told.value.status, told.value.code) == (429, "too_many_pending")
        (tmp_path / "c").touch()
        first.get_results(run_id, verbose=False)
        with pytest.raises(RequestError, match="4 tasks: this head takes at most 3") as told:
            author(client, tmp_path / "c", 4).run()
        assert told.value.status == 422

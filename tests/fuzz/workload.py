"""Honest work beside the fuzzers: small runs whose results are known, and how long each HTTP request of them takes."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from maze import MaClient, task


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


@task(inputs=["a", "b"], outputs=["s"])
def add(params: dict[str, Any]) -> dict[str, Any]:
    return {"s": params["a"] + params["b"]}


class Asker:
    """A kept-alive connection that takes the time of each request."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._headers = headers
        self.seconds: list[float] = []

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON answer to a request."""
        data = None if body is None else json.dumps(body)
        began = time.perf_counter()
        self._connection.request(method, path, data, {"Content-Type": "application/json", **self._headers})
        response = self._connection.getresponse()
        content = response.read()
        self.seconds.append(time.perf_counter() - began)
        if response.status >= 400:
            raise AssertionError(f"{method} {path}: {response.status} {content[:300]!r}")
        return json.loads(content)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def work(url: str, headers: dict[str, str], deadline: float) -> dict[str, Any]:
    """Run workflows until `time.monotonic()` is there; return counts, wrong results and latencies."""
    asker = Asker(url, headers)
    runs, wrong = 0, []
    with MaClient(url) as client:
        while time.monotonic() < deadline:
            workflow = client.create_workflow()
            left = workflow.add_task(double, inputs={"x": runs})
            right = workflow.add_task(double, inputs={"x": 1})
            last = workflow.add_task(add, inputs={"a": left.outputs["y"], "b": right.outputs["y"]})
            workflow.get_graph_info()
            run_id = workflow.run()
            messages = workflow.get_results(run_id, verbose=False)
            found = workflow.get_task_result(run_id, last.task_id)
            if found is None or found["result"] != {"s": 2 * runs + 2}:
                wrong.append({"run": run_id, "found": repr(found)[:300], "messages": repr(messages)[:600]})
            _look(asker, run_id)
            asker.ask("DELETE", f"/api/v1/workflows/{workflow.workflow_id}")
            runs += 1
    asker.close()
    return {"runs": runs, "wrong": wrong[:10], "wrong_total": len(wrong), **percentiles(asker.seconds)}


def _look(asker: Asker, run_id: str) -> None:
    """Read and write a little, as dashboards and authors do."""
    made = asker.ask("POST", "/api/v1/workflows", {"name": "beside"})
    for path in ("", "/tasks", "/events", "/explain"):
        asker.ask("GET", f"/api/v1/runs/{run_id}{path}")
    asker.ask("DELETE", f"/api/v1/workflows/{made['workflow_id']}")


def percentiles(seconds: list[float]) -> dict[str, Any]:
    """Return count, median, p99 and maximum, milliseconds."""
    ordered = sorted(seconds) or [0.0]
    at = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {"requests": len(seconds)} | {
        name: round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1) for name, part in at.items()
    }

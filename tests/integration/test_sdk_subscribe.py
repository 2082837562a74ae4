"""`subscribe` and `stream` against real heads and nodes: both transports, any beginning, restarts, leaving early."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from maze import AsyncMaClient, InputError, MaClient, UnknownRunError, task
from support.cluster import Cluster, start_cluster, wait_until

TRANSPORTS: Any = pytest.mark.parametrize("transport", ["websocket", "zmq"])


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": (params["x"] * 2,)}


@task(inputs=["path"], outputs=["y"])
def wait_for_file(params: dict[str, Any]) -> dict[str, Any]:
    import pathlib
    import time

    while not pathlib.Path(params["path"]).exists():
        time.sleep(0.01)
    return {"y": 1}


def submit(client: MaClient, *paths: Path, count: int = 0) -> tuple[Any, str]:
    """Run a workflow of tasks that wait for files, and of others."""
    workflow = client.create_workflow()
    for number in range(count):
        workflow.add_task(double, inputs={"x": number})
    for path in paths:
        workflow.add_task(wait_for_file, inputs={"path": str(path)})
    return workflow, workflow.run()


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events]


@TRANSPORTS
def test_the_whole_log_comes_as_it_happens_and_again_from_any_place(
    cluster: Cluster, transport: Any, tmp_path: Path
) -> None:
    with MaClient(cluster.url) as client:
        workflow, run_id = submit(client, tmp_path / "go", count=20)
        events = []
        with workflow.stream(run_id, transport=transport) as stream:
            for event in stream:
                events.append(event)
                if sum(each["type"] == "finish_task" for each in events) == 20:
                    (tmp_path / "go").touch()
            assert stream.seq == events[-1]["seq"]
            assert list(stream) == []
        assert numbers(events) == list(range(1, len(events) + 1))
        assert (events[0]["type"], events[-1]["type"]) == ("run_submitted", "finish_workflow")
        results = [event["data"]["result"]["y"] for event in events if event["type"] == "finish_task"]
        assert sorted(results[:20]) == [(2 * number,) for number in range(20)], "values are decoded, pickled ones too"
        for after in (0, 7, len(events) - 1, len(events)):
            assert list(client.subscribe(run_id, after=after, transport=transport)) == events[after:]


@TRANSPORTS
def test_a_run_is_followed_over_restarts_of_the_head(transport: Any, tmp_path: Path) -> None:
    gates = [tmp_path / f"go{number}" for number in range(3)]
    with start_cluster(node_args=["--cpus=4"]) as own, MaClient(own.url) as client:
        _, run_id = submit(client, *gates)
        events: list[dict[str, Any]] = []
        stream = client.subscribe(run_id, transport=transport)
        reader = threading.Thread(target=lambda: events.extend(stream))
        reader.start()
        for gate in gates[:2]:
            wait_until(lambda: own.ready_nodes() == 1, "a ready node", 60)
            gate.touch()
            done = gates.index(gate) + 1
            wait_until(lambda: own.get(f"/api/v1/runs/{run_id}")["finished"] >= done, f"{done} tasks done", 60)  # noqa: B023 -- called at once
            own.restart_head()
        gates[2].touch()
        reader.join(90)
        assert not reader.is_alive(), "the stream ended with the run"
        assert numbers(events) == numbers(own.events(run_id))
        assert len({event["epoch"] for event in events}) == 3


def test_the_async_client_has_the_same(cluster: Cluster, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncMaClient(cluster.url) as client:
            workflow = await client.create_workflow()
            workflow.add_task(wait_for_file, inputs={"path": str(tmp_path / "go")})
            run_id = await workflow.run()
            async with workflow.stream(run_id) as stream:
                first = await anext(stream)
            (tmp_path / "go").touch()
            rest = [event async for event in client.subscribe(run_id, after=first["seq"], transport="zmq")]
            assert numbers([first, *rest]) == list(range(1, len(rest) + 2))
            with pytest.raises(UnknownRunError):
                await anext(client.subscribe("run_nonsense"))

    asyncio.run(main())


@TRANSPORTS
def test_an_interrupted_wait_loses_nothing_and_leaving_leaves_nothing(
    cluster: Cluster, transport: Any, tmp_path: Path
) -> None:
    with MaClient(cluster.url) as client:
        _, run_id = submit(client, tmp_path / "go")
        stream = client.subscribe(run_id, transport=transport)
        seen: list[dict[str, Any]] = []
        main = threading.main_thread().ident or 0
        timer = threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            seen.extend(iter_into(seen, stream))
        timer.join()
        (tmp_path / "go").touch()
        seen.extend(stream)
        assert numbers(seen) == numbers(cluster.events(run_id))
        early = client.subscribe(run_id, transport=transport)
        next(early)
        early.close()
        early.close()
        assert list(early) == []
        next(client.subscribe(run_id, transport=transport))  # dropped without a word


def iter_into(seen: list[dict[str, Any]], stream: Any) -> list[dict[str, Any]]:
    for event in stream:
        seen.append(event)
    return []


def test_what_cannot_be_subscribed_to_is_told(cluster: Cluster) -> None:
    with MaClient(cluster.url) as client:
        with pytest.raises(UnknownRunError):
            client.subscribe("run_" + "00" * 16)
        _, run_id = submit(client, count=1)
        with pytest.raises(InputError, match="Unknown transport 'udp'"):
            client.subscribe(run_id, transport="udp")  # type: ignore[arg-type]
        for after in (-1, "3", True, None):
            with pytest.raises(InputError, match="after must be"):
                client.subscribe(run_id, after=after)  # type: ignore[arg-type]

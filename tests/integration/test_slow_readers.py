"""Readers that stop reading: the head holds little for them, nobody else waits, and they miss nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest

from maze import MaClient, task
from support.cluster import Cluster, start_cluster, wait_until

READERS = 20
TASKS = 600
VALUE = 60_000


@task(inputs=["number"], outputs=["y"])
def large(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": str(params["number"]).ljust(60_000)}


@task(inputs=["path"], outputs=["y"])
def wait_for_file(params: dict[str, Any]) -> dict[str, Any]:
    import pathlib
    import time

    while not pathlib.Path(params["path"]).exists():
        time.sleep(0.01)
    return {"y": 1}


def all_cut_off(cluster: Cluster) -> bool:
    """Tell whether all readers are told that they lag, or gone.

    On a busy machine one may be asked for a sign of life before the head has anything that it does not take.
    """
    counters = cluster.get("/api/v1/metrics")["counters"]
    return bool(counters["http_streams_lagged_total"] == READERS or not counters["http_streams_open"])


async def drain(socket: aiohttp.ClientWebSocketResponse) -> list[int]:
    """Return the numbers of all events up to the end of a connection."""
    numbers: list[int] = []
    while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
        numbers += [event["seq"] for event in msgspec.msgpack.decode(message.data)]
    return numbers


@pytest.mark.slow
def test_stopped_readers_cost_little_are_cut_off_and_resume(tmp_path: Path) -> None:
    async def main(cluster: Cluster, client: MaClient) -> None:
        workflow = client.create_workflow()
        gate = workflow.add_task(wait_for_file, inputs={"path": str(tmp_path / "go")})
        for number in range(TASKS):
            workflow.add_edge(gate, workflow.add_task(large, inputs={"number": number}))
        run_id = workflow.run()
        where = f"{cluster.url}/api/v1/runs/{run_id}/events"
        async with aiohttp.ClientSession(headers=cluster.shown) as http:
            sockets = [
                await http.ws_connect(where, params={"format": "msgpack"}, max_msg_size=0) for _ in range(READERS)
            ]
            head = psutil.Process(cluster.head.pid)
            before = head.memory_info().rss
            (tmp_path / "go").touch()
            # Somebody who reads gets everything at once, while the others have stopped.
            events = await asyncio.to_thread(lambda: list(client.subscribe(run_id)))
            assert sum(event["type"] == "finish_task" for event in events) == TASKS + 1
            grown = head.memory_info().rss - before
            assert grown < READERS * TASKS * VALUE / 2, f"{grown / 2**20:.0f} MiB for readers that do not read"
            await asyncio.to_thread(wait_until, lambda: all_cut_off(cluster), "all readers cut off", 60.0)
            seen = await drain(sockets[0])
            assert seen == list(range(1, len(seen) + 1))
            assert len(seen) < len(events)
            async with http.ws_connect(
                where, params={"format": "msgpack", "after": str(len(seen))}, max_msg_size=0
            ) as again:
                seen += await drain(again)
                assert again.close_code == 1000
            assert seen == [event["seq"] for event in events]
            for socket in sockets:
                await socket.close()

    with start_cluster() as cluster, MaClient(cluster.url) as client:
        asyncio.run(main(cluster, client))

"""What readers cost the head: CPU per task of a busy run with one reader and with a thousand.

    python bench/subscribers.py [--tasks 3000] [--quiet 990] [--hot 10] [--rounds 2] [--cpus 2]

Prints one JSON document. The quiet readers follow runs in which nothing happens, the hot ones the busy run; all are
WebSockets, and a process of its own hears the publications beside them. CPU is the head process's own, as the kernel
counts it. Latency is from the turn whose commit made an event, whose time stands in it, to the moment at which the
reader has it in its hands. A WebSocket gets at most 20 frames per second when more than 64 are open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
import psutil
import zmq
from _machine import describe

from maze import MaClient, task
from maze._daemon.access import bearer, find_access

QUIET_RUNS = 10
SPAWN = multiprocessing.get_context("spawn")


@task(inputs=["x"], outputs=["x"])
def no_op(params: dict[str, Any]) -> dict[str, Any]:
    """Return the input."""
    return {"x": params["x"]}


@task(inputs=["x"], outputs=["x"], resources={"gpu": 1, "gpu_mem": 1})
def never(params: dict[str, Any]) -> dict[str, Any]:
    """Wait for a GPU that no node here has."""
    return params


class Reader:
    """One WebSocket on one run."""

    def __init__(self) -> None:
        self.events = 0
        self.latencies: list[float] = []

    async def follow(self, http: aiohttp.ClientSession, url: str, joined: asyncio.Semaphore) -> None:
        """Read to the end of the log, or until cancelled."""
        async with http.ws_connect(url, params={"format": "msgpack"}, max_msg_size=0) as socket:
            async for message in socket:
                if not self.events:
                    joined.release()
                now = time.time()
                for event in msgspec.msgpack.decode(message.data):
                    self.events += 1
                    self.latencies.append(now - event["time"])


def listen(endpoint: str, pipe: Any) -> None:
    """Hear all runs until one is over, then send the latencies."""
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.connect(endpoint)
        subscriber.subscribe(b"r/")
        latencies: list[float] = []
        while True:
            _, kind, body = subscriber.recv_multipart()
            if kind == b"W":
                pipe.send("joined")
            elif kind == b"S":
                now = time.time()
                events = msgspec.msgpack.decode(body)
                latencies += [now - event["time"] for event in events]
                if events[-1]["type"] == "finish_workflow":
                    pipe.send(latencies)
                    return


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Return what half and nearly all of them stay below."""
    ordered = sorted(latencies)
    return {
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 2),
        "p99_ms": round(1000 * ordered[-1 - len(ordered) // 100], 2),
    }


async def measure(
    client: MaClient, head: psutil.Process, tasks: int, quiet: Sequence[str], readers: tuple[int, int]
) -> dict[str, Any]:
    """Run that many tasks beside so many quiet and so many hot readers."""
    workflow = client.create_workflow()
    for number in range(tasks):
        workflow.add_task(no_op, inputs={"x": number})
    workflow.get_tasks()
    place = f"{client.server_url}/api/v1/runs"
    joined = asyncio.Semaphore(0)
    connector = aiohttp.TCPConnector(limit=0)
    shown = bearer(find_access(client.server_url).token)
    async with aiohttp.ClientSession(connector=connector, headers=shown) as http:
        still = [Reader() for _ in range(readers[0])]
        idle = [
            asyncio.create_task(reader.follow(http, f"{place}/{quiet[number % len(quiet)]}/events", joined))
            for number, reader in enumerate(still)
        ]
        for _ in idle:
            await joined.acquire()
        ours, theirs = SPAWN.Pipe()
        ear = SPAWN.Process(target=listen, args=(client.get_info()["endpoints"]["events"], theirs))
        ear.start()
        assert await asyncio.to_thread(ours.recv) == "joined"
        before, began = head.cpu_times(), time.perf_counter()
        run_id = await asyncio.to_thread(workflow.run)
        hot = [Reader() for _ in range(readers[1])]
        await asyncio.gather(*(reader.follow(http, f"{place}/{run_id}/events", joined) for reader in hot))
        seconds, after = time.perf_counter() - began, head.cpu_times()
        for waiting in idle:
            waiting.cancel()
        await asyncio.gather(*idle, return_exceptions=True)
    assert all(reader.events == hot[0].events for reader in hot), "a hot reader missed something"
    assert hot[0].events >= 2 * tasks
    cpu = after.user + after.system - before.user - before.system
    published = await asyncio.to_thread(ours.recv)
    await asyncio.to_thread(ear.join)
    return {
        "readers": sum(readers),
        "seconds": round(seconds, 3),
        "tasks_per_second": round(tasks / seconds),
        "head_cpu_us_per_task": round(1e6 * cpu / tasks, 1),
        "websocket": percentiles([latency for reader in hot for latency in reader.latencies]),
        "published": {**percentiles(published), "lost": hot[0].events - len(published)},
    }


def make_room() -> None:
    """Allow this process as many sockets as the system lets it have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def quiet_runs(client: MaClient) -> list[str]:
    """Submit runs in which nothing happens."""
    workflow = client.create_workflow()
    workflow.add_task(never, inputs={"x": 1})
    return [workflow.run() for _ in range(QUIET_RUNS)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("tasks", 3_000), ("quiet", 990), ("hot", 10), ("rounds", 2), ("cpus", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    make_room()
    few, many = [], []
    with MaClient.local(cpus=arguments.cpus) as client:
        head = psutil.Process(client.get_info()["pid"])
        quiet = quiet_runs(client)
        asyncio.run(measure(client, head, 200, quiet, (0, 1)))
        for _ in range(arguments.rounds):
            few.append(asyncio.run(measure(client, head, arguments.tasks, quiet, (0, 1))))
            many.append(asyncio.run(measure(client, head, arguments.tasks, quiet, (arguments.quiet, arguments.hot))))
    costs = [min(each["head_cpu_us_per_task"] for each in kind) for kind in (few, many)]
    record = {"bench": "subscribers", **describe(), "one": few, "many": many, "ratio": round(costs[1] / costs[0], 3)}
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

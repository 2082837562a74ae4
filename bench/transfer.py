"""What it costs to move an object from node to node: two processes on loopback, the real shells of nodes, no head.

    python bench/transfer.py [--mib 1024] [--rounds 5] [--at-once 1] [--pings 400] [--curve]

Prints one JSON document. Each round moves an object from a holder to a consumer, both of which keep it in memory, and
copies as many bytes within one process, for the ratio. CPU is user and system time of both processes per GB moved, as
the kernel counts it; memory is what each process had at its highest beyond the objects themselves. With --curve a
second pair of processes, that authenticate and encrypt, takes turns with the first one.

The second part asks what a transfer does to the control traffic of the nodes that take part: the consumer's event loop
asks the holder's over a connection of its own, one question after the other, first beside two processes that copy
memory as fast as they can, then beside the transfer. The ratio of the medians is what bytes cost small messages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from _machine import describe
from _ratios import ratio_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from maze._daemon.keys import KeyPair
from maze_protocol.limits import MIB
from maze_protocol.values import ObjectKey
from support.peer_nodes import SECRET, Lone, pattern, ticket_for

SPAWN = multiprocessing.get_context("spawn")
PING_EVERY = 0.002
Keys = tuple[KeyPair, KeyPair] | None
"""Of holder and consumer, with CURVE."""
CONSUMER = "consumer"


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.CancelledError):  # the holder ends first
        while data := await reader.read(64):
            writer.write(data)
    writer.close()


def hold(pipe: Any, keys: Keys, at_once: int, size: int) -> None:
    """Hold objects and echo; tell how much CPU was used when asked, until told to end."""

    async def run() -> None:
        async with Lone("holder", SECRET, keys and keys[0]) as node:
            node.vouch(*(pair.public for pair in keys or ()))
            for number in range(at_once):
                node.store.put(ObjectKey(1, number), pattern(number, size))
            server = await asyncio.start_server(_echo, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            pipe.send(((node.endpoint, node.key), port, _peak_mib()))
            while await asyncio.to_thread(pipe.recv) != "end":
                pipe.send((_cpu(), _peak_mib()))
            server.close()

    asyncio.run(run())


def consume(pipe: Any, keys: Keys, holder: tuple[str, str], port: int, at_once: int, size: int) -> None:
    """Do what the pipe says: fetch all objects once, or ask the echo so many times."""

    async def run() -> None:
        async with Lone(CONSUMER, pair=keys and keys[1]) as node:
            node.vouch(*(pair.public for pair in keys or ()))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            pipe.send(_peak_mib())
            while True:
                word, count = await asyncio.to_thread(pipe.recv)
                if word == "fetch":
                    pipe.send(await _fetch(node, holder, at_once, size))
                elif word == "ping":
                    pipe.send(await _ping(reader, writer, count))
                elif word == "ping while fetching":
                    fetching = asyncio.create_task(_fetch_for(node, holder, at_once, size))
                    pipe.send(await _ping(reader, writer, count))
                    fetching.cancel()
                else:
                    break
            writer.close()

    asyncio.run(run())


async def _fetch(node: Lone, holder: tuple[str, str], at_once: int, size: int) -> tuple[float, float, float]:
    keys = [ObjectKey(1, number) for number in range(at_once)]
    began, before = time.perf_counter(), _cpu()
    reasons = await asyncio.gather(*(node.fetch(key, size, (*holder, ticket_for(key, CONSUMER))) for key in keys))
    elapsed, used = time.perf_counter() - began, _cpu() - before
    assert not any(reasons), reasons
    node.store.forget(keys)
    return elapsed, used, _peak_mib()


async def _fetch_for(node: Lone, holder: tuple[str, str], at_once: int, size: int) -> None:
    while True:
        await _fetch(node, holder, at_once, size)


async def _ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(b"?")
        await reader.read(64)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(PING_EVERY)
    return times


def copy(size: int, ended: Any) -> None:
    """Copy memory until told to end."""
    source, target = bytearray(size), bytearray(size)
    while not ended.is_set():
        target[:] = source


def _memcpy_seconds(size: int) -> float:
    source, target = bytearray(size), bytearray(size)
    target[:] = source
    began = time.perf_counter()
    target[:] = source
    return time.perf_counter() - began


class Pair:
    """A holder and a consumer, each a process."""

    def __init__(self, at_once: int, size: int, *, curve: bool = False) -> None:
        keys = (KeyPair.make(), KeyPair.make()) if curve else None
        self.holder, far = SPAWN.Pipe()
        self.processes = [SPAWN.Process(target=hold, args=(far, keys, at_once, size))]
        self.processes[0].start()
        holder, port, self.holder_before = self.holder.recv()
        self.consumer, far = SPAWN.Pipe()
        self.processes.append(SPAWN.Process(target=consume, args=(far, keys, holder, port, at_once, size)))
        self.processes[1].start()
        self.consumer_before = self.consumer.recv()

    def ask(self, word: str, count: int = 0) -> Any:
        """Have the consumer do something."""
        self.consumer.send((word, count))
        return self.consumer.recv()

    def holder_use(self) -> tuple[float, float]:
        """Return the CPU seconds and the highest memory of the holder so far."""
        self.holder.send("use")
        cpu, peak = self.holder.recv()
        return cpu, peak

    def close(self) -> None:
        """End both."""
        self.consumer.send(("end", 0))
        self.holder.send("end")
        for process in self.processes:
            process.join()


class Rounds:
    """What moving all objects took, time after time."""

    def __init__(self, pair: Pair, size: int) -> None:
        self.pair = pair
        self.size = size
        self.seconds: list[float] = []
        self.cpus: list[float] = []
        self.memcpys: list[float] = []
        self.consumer_peak = 0.0

    def move(self) -> None:
        """Move all objects once."""
        size = self.size
        before, _ = self.pair.holder_use()
        elapsed, used, self.consumer_peak = self.pair.ask("fetch")
        self.seconds.append(elapsed)
        self.cpus.append((used + self.pair.holder_use()[0] - before) / size * 1e9)
        self.memcpys.append(elapsed / _memcpy_seconds(min(size, 256 * MIB)) / (size / min(size, 256 * MIB)))

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "mb_per_second": round(self.size / 1e6 / statistics.median(self.seconds)),
            "mb_per_second_best": round(self.size / 1e6 / min(self.seconds)),
            "cpu_seconds_per_gb": round(statistics.median(self.cpus), 3),
            "cpu_seconds_per_gb_best": round(min(self.cpus), 3),
            "memcpys": round(statistics.median(self.memcpys), 1),
            "holder_mib_beyond": round(self.pair.holder_use()[1] - self.pair.holder_before),
            "consumer_mib_beyond": round(self.consumer_peak - self.pair.consumer_before),
        }


def disturb(pair: Pair, pings: int) -> dict[str, Any]:
    """Ask the echo when nothing else happens, beside copies of memory, and beside the transfer."""
    alone = pair.ask("ping", pings)
    ended = SPAWN.Event()
    copiers = [SPAWN.Process(target=copy, args=(256 * MIB, ended)) for _ in range(2)]
    for copier in copiers:
        copier.start()
    beside_copies = pair.ask("ping", pings)
    ended.set()
    for copier in copiers:
        copier.join()
    beside = pair.ask("ping while fetching", pings)
    medians = [statistics.median(times) for times in (alone, beside_copies, beside)]
    return {
        "alone_us": round(medians[0] * 1e6),
        "beside_copies_us": round(medians[1] * 1e6),
        "beside_transfer_us": round(medians[2] * 1e6),
        "ratio": round(medians[2] / medians[1], 2),
        "beside_transfer_p99_us": round(sorted(beside)[int(len(beside) * 0.99)] * 1e6),
        "beside_copies_p99_us": round(sorted(beside_copies)[int(len(beside_copies) * 0.99)] * 1e6),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="of all objects together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=1, help="objects that are moved at the same time")
    parser.add_argument("--pings", type=int, default=400)
    parser.add_argument("--curve", action="store_true", help="compare with CURVE")
    given = parser.parse_args()
    size = given.mib * MIB // given.at_once
    pairs = [Pair(given.at_once, size, curve=curve) for curve in ([False, True] if given.curve else [False])]
    try:
        rounds = [Rounds(pair, size * given.at_once) for pair in pairs]
        for _ in range(given.rounds):
            for each in rounds:
                each.move()
        record = {"machine": describe(), "given": vars(given), "moved": rounds[0].report()}
        if given.curve:
            record["moved_with_curve"] = rounds[1].report()
            record["cpu_ratio"] = ratio_of(rounds[1].cpus, rounds[0].cpus)
            record["seconds_ratio"] = ratio_of(rounds[1].seconds, rounds[0].seconds)
        record["latency"] = disturb(pairs[0], given.pings) if given.pings else {}
    finally:
        for pair in pairs:
            pair.close()
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()

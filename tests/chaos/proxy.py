"""A TCP proxy that misbehaves on demand: the network's faults without root, and on any machine.

`ChaosProxy` listens on a loopback port and forwards to a target. It runs an event loop in a thread of its own, so tests
stay plain and sequential. A direction is UP (towards the target) or DOWN (back to whoever connected). Nothing that is
cut is ever delivered late in a different order: TCP stays TCP, it only stops, slows down, or breaks.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

UP: Literal["up"] = "up"
DOWN: Literal["down"] = "down"
Direction = Literal["up", "down"]
CHUNK = 65_536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing sends RST."""


@dataclass
class Road:
    """What one direction does to bytes."""

    delay: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    """Bytes per second; 0: as fast as they come."""
    cut_after: int | None = None
    """Reset the connection after so many more bytes."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, bytes are neither read nor lost: as on a link that drops packets."""

    def __post_init__(self) -> None:
        self.open.set()


class ChaosProxy:
    """A proxy on `port`, in front of `target`. Its methods may be called from any thread."""

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        self.target = target
        self.accepted = 0
        self.refusing = False
        self._random = random.Random(7)
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="chaos-proxy")
        self._thread.start()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server = self._call(self._listen())
        self.port = int(self._server.sockets[0].getsockname()[1])

    @property
    def endpoint(self) -> str:
        return f"tcp://{self._host}:{self.port}"

    @property
    def live(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def blackhole(self, *directions: Direction) -> None:
        """Let nothing through in these directions (both, unless told), on open and on coming connections."""
        self._each(lambda road: road.open.clear(), directions)

    def heal(self) -> None:
        """Let everything through again; what waited arrives now, as after retransmission."""
        self._each(lambda road: road.open.set(), ())
        self.shape(delay=0.0, jitter=0.0, rate=0.0)

    def shape(self, *directions: Direction, **how: float) -> None:
        """Set `delay`, `jitter` (seconds) or `rate` (bytes per second)."""

        def apply(road: Road) -> None:
            for name, value in how.items():
                assert name in ("delay", "jitter", "rate"), name
                setattr(road, name, value)

        self._each(apply, directions)

    def cut_after(self, count: int, *directions: Direction) -> None:
        """Reset each open connection once so many more bytes have passed; coming connections are whole again."""

        def apply() -> None:
            for connection in self._connections:
                for direction in directions or (UP, DOWN):
                    connection.roads[direction].cut_after = count

        self._on_loop(apply)

    def reset(self) -> None:
        """Break all open connections with RST."""
        self._on_loop(lambda: [connection.reset() for connection in list(self._connections)])

    def close(self) -> None:
        """Break everything and end the thread."""
        self._call(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # -- on the loop

    async def _listen(self) -> asyncio.Server:
        self._defaults = {UP: Road(), DOWN: Road()}
        return await asyncio.start_server(self._accept, self._host, 0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(self, writer)
        if self.refusing:
            connection.reset()
            return
        self._connections.add(connection)
        self._tasks.add(task := asyncio.current_task())  # type: ignore[arg-type]
        try:
            await connection.carry(reader)
        except (OSError, asyncio.CancelledError):
            pass  # a broken connection is what we are for
        finally:
            connection.reset()
            self._connections.discard(connection)
            self._tasks.discard(task)  # type: ignore[arg-type]

    async def _finish(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def fresh_roads(self) -> dict[Direction, Road]:
        """Return roads of a new connection, with the faults that are in force."""
        return {direction: _like(road) for direction, road in self._defaults.items()}

    def spread(self, road: Road) -> float:
        """Return how long a chunk is under way."""
        return max(0.0, road.delay + self._random.uniform(-road.jitter, road.jitter))

    # -- from other threads

    def _each(self, change: Callable[[Road], None], directions: tuple[Direction, ...]) -> None:
        def apply() -> None:
            for roads in (self._defaults, *(connection.roads for connection in self._connections)):
                for direction in directions or (UP, DOWN):
                    change(roads[direction])

        self._on_loop(apply)

    def _on_loop(self, action: Callable[[], Any]) -> None:
        async def run() -> None:
            action()

        self._call(run())

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


class _Connection:
    """One client and, for its length, one connection to the target."""

    def __init__(self, proxy: ChaosProxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writers = [client]
        self.roads = proxy.fresh_roads()

    async def carry(self, client: asyncio.StreamReader) -> None:
        """Carry both ways until one side ends or the proxy breaks it."""
        # Half-open by choice: while nothing passes upwards, the client's connection is up and leads nowhere.
        await self.roads[UP].open.wait()
        server, out = await asyncio.open_connection(*self._proxy.target)
        self._writers.append(out)
        ways = [
            asyncio.ensure_future(self._way(client, out, UP)),
            asyncio.ensure_future(self._way(server, self._writers[0], DOWN)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def reset(self) -> None:
        """Close both sides with RST."""
        for writer in self._writers:
            socket_of = writer.get_extra_info("socket")
            if socket_of is not None and socket_of.fileno() >= 0:
                socket_of.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _way(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: Direction) -> None:
        road = self.roads[direction]
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        arriving = asyncio.ensure_future(self._arrive(under_way, sink, road))
        try:
            await self._depart(source, under_way, road)
            await under_way.join()
        finally:
            arriving.cancel()
            await asyncio.gather(arriving, return_exceptions=True)

    async def _depart(self, source: asyncio.StreamReader, under_way: Any, road: Road) -> None:
        clock, last = asyncio.get_running_loop().time, 0.0
        while True:
            await road.open.wait()
            data = await source.read(CHUNK if not road.rate else max(1, int(road.rate / 20)))
            if not data:
                return
            if road.rate:
                await asyncio.sleep(len(data) / road.rate)
            # Never before what went ahead: it is one TCP stream.
            last = max(last, clock() + self._proxy.spread(road))
            await under_way.put((last, data))

    async def _arrive(self, under_way: Any, sink: asyncio.StreamWriter, road: Road) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await under_way.get()
            if due > clock():
                await asyncio.sleep(due - clock())
            await road.open.wait()
            if road.cut_after is not None:
                data, road.cut_after = data[: road.cut_after], max(0, road.cut_after - len(data))
            sink.write(data)
            await sink.drain()
            under_way.task_done()
            if road.cut_after == 0:
                self.reset()
                return


def _like(road: Road) -> Road:
    new = Road(road.delay, road.jitter, road.rate)
    if not road.open.is_set():
        new.open.clear()
    return new


@contextmanager
def proxy_to(target: tuple[str, int]) -> Iterator[ChaosProxy]:
    """Run a proxy for the length of a block."""
    proxy = ChaosProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()

"""The results of a run: its event stream, what of it the API reference documents, and the values in it.

A stream survives a lost connection and a restarted head: it asks for what comes after the last event it has seen,
and drops what it has seen already. Messages have the documented types and keys, no others; the richer log (retries,
placement, warnings) is for readers of `/api/v1/runs/{id}/events`. Nothing is printed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from maze.errors import HeadUnavailableError, NotAMazeHeadError, UnknownRunError, UnknownTaskError
from maze_protocol.ids import is_id

if TYPE_CHECKING:
    import aiohttp

    from maze_protocol.http import ClientEvent

__all__ = ["Collector", "Entry", "EventStream", "OpaqueValue", "RunRecord", "fresh"]

RECONNECT_SECONDS: Final = 60.0
READ_AHEAD: Final = 10_000
GATHER_SECONDS: Final = 0.01
MIN_PREFIX: Final = 8
_SEALING: Final = ("finish_workflow", "cancel_workflow")
_NAMES: Final = ("msgpack", "pickle")
_HEADLINE = re.compile(r"[A-Za-z_][\w.]*(: |$)")


@dataclass(frozen=True, slots=True)
class OpaqueValue:
    """An output value that could not be decoded here; everything around it could.

    Attributes:
        type: how it is encoded: `pickle` or `msgpack`.
        size: its encoded size in bytes.
        reason: why it could not be decoded.
    """

    type: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented message, with the one line that people read of an error."""

    message: dict[str, Any]
    error: str = ""


@dataclass(slots=True)
class RunRecord:
    """Everything that was said about a run, complete."""

    run_id: str
    entries: list[Entry] = field(default_factory=list)
    total: int = 0
    skipped: int = 0
    cancelled: bool = False

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages as a list of the caller's own."""
        return [fresh(entry.message) for entry in self.entries]

    def task_result(self, task_id: str) -> dict[str, Any] | None:
        """Return how a task ended, or None if it did not; ids may be shortened.

        Raises:
            UnknownTaskError: a `ValueError`: a shortened id fits several tasks.
        """
        ended = {
            entry.message["data"]["task_id"]: entry.message
            for entry in self.entries
            if entry.message["type"] in {"finish_task", "task_exception"}
        }
        found = _match(task_id, list(ended))
        if found is None:
            return None
        data = ended[found]["data"]
        if ended[found]["type"] == "finish_task":
            return {"task_id": found, "result": fresh(data["result"]), "status": "success"}
        return {"task_id": found, "result": None, "status": "exception", "error": data["result"]}

    def summary(self) -> dict[str, Any]:
        """Return what `show_results` returns."""
        results, failed, completed = {}, [], False
        for entry in self.entries:
            kind, data = entry.message["type"], entry.message["data"]
            if kind == "finish_task":
                results[data["task_id"]] = fresh(data["result"])
            elif kind == "task_exception":
                failed.append(data["task_id"])
            elif kind == "finish_workflow":
                completed = True
        return {
            "task_results": results,
            "workflow_completed": completed,
            "has_exception": bool(failed),
            "exception_tasks": failed,
        }


class Collector:
    """Turns events into documented messages, and keeps them until the run is over."""

    def __init__(self, run_id: str) -> None:
        self.record = RunRecord(run_id)
        self.done = 0
        self._started: dict[str, None] = {}
        self._allow_pickle = os.environ.get("MAZE_NO_PICKLE", "") not in {"1", "true", "yes"}

    def add(self, event: ClientEvent) -> Entry | None:
        """Take one event; return what it says in the reference's words, if anything."""
        data = event.data
        match event.type:
            case "start_task":
                # A retried task starts again; the documented stream says it once.
                if data["task_id"] in self._started:
                    return None
                self._started[data["task_id"]] = None
                return self._keep("start_task", data, node_ip=data["node_ip"])
            case "finish_task":
                self.done += 1
                return self._keep("finish_task", data, result=self._values(data["result"]))
            case "task_exception":
                self.done += 1
                return self._keep("task_exception", data, _short(data), result=data["result"])
            case "task_cancelled" if data["was_running"]:
                self.done += 1
                text = f"Cancelled: {data['reason']}"
                return self._keep("task_exception", data, text, result=text)
            case "finish_workflow":
                entry = Entry({"type": "finish_workflow", "data": {}})
                self.record.entries.append(entry)
                return entry
            case other:
                self._note(other, data)
                return None

    def show(self, events: Iterable[ClientEvent], show: Callable[[Entry], None]) -> None:
        """Take events and show what they say."""
        for event in events:
            entry = self.add(event)
            if entry is not None:
                show(entry)

    def _note(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "run_submitted":
            self.record.total = data["tasks"]
        elif kind == "task_skipped":
            self.done += 1
            self.record.skipped += 1
        elif kind == "cancel_workflow":
            self.record.cancelled = True

    def _keep(self, kind: str, data: Mapping[str, Any], error: str = "", **facts: Any) -> Entry:
        about = {"workflow_id": data["workflow_id"], "task_id": data["task_id"], **facts}
        entry = Entry({"type": kind, "data": about}, error)
        self.record.entries.append(entry)
        return entry

    def _values(self, result: Mapping[str, tuple[int, bytes]]) -> dict[str, Any]:
        return {key: self._value(codec, body) for key, (codec, body) in result.items()}

    def _value(self, codec: int, body: bytes) -> Any:
        from maze._values import ValueDecodeError, decode

        try:
            return decode(codec, body, allow_pickle=self._allow_pickle)
        except ValueDecodeError as error:
            name = _NAMES[codec] if 0 <= codec < len(_NAMES) else f"codec {codec}"
            return OpaqueValue(name, len(body), error.reason)


class EventStream:
    """The events of one run from the beginning, each once, in order. Runs on the loop thread.

    A task reads ahead, and a busy stream is handed over at most a hundred times a second: waking another thread costs
    more than decoding an event. The last events are never held back.
    """

    def __init__(self, url: str, run_id: str) -> None:
        self.url = url
        self.run_id = run_id
        self.sealed = False
        self._after = 0
        self._events: list[ClientEvent] = []
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._returned_at = 0.0
        self._reader: asyncio.Task[None] | None = None
        self._lost_at: float | None = None
        self._pause = 0.0

    async def next(self, seconds: float | None = None) -> list[ClientEvent] | None:
        """Return the next events, at least one; an empty list after `seconds`; None once all were returned.

        Raises:
            HeadUnavailableError: the head went away and did not come back for a minute.
            UnknownRunError: the run has been removed.
        """
        if self._reader is None:
            self._reader = asyncio.ensure_future(self._read())
        await _wait(self._news, seconds)
        if self._events:
            await _wait(self._over, self._returned_at + GATHER_SECONDS - time.monotonic())
            self._returned_at = time.monotonic()
            events, self._events = self._events, []
            self._room.set()
            if not self._reader.done():
                self._news.clear()
            return events
        if not self._reader.done():
            return []
        self._reader.result()
        return None

    async def close(self) -> None:
        """Leave the stream; the run does not care."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        """Read to the end of the log, over as many connections as it takes."""
        try:
            while not self.sealed:
                socket = await self._connect()
                try:
                    await self._receive(socket)
                finally:
                    await socket.close()
        finally:
            self._news.set()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        import aiohttp

        while not self.sealed:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                # 1000 comes after the last event of the log; anything else is to be resumed.
                self.sealed = socket.close_code == 1000
                return
            self._take(message.data)
            if len(self._events) >= READ_AHEAD:
                self._room.clear()
                await self._room.wait()

    def _take(self, frame: bytes) -> None:
        import msgspec

        from maze_protocol.http import ClientEvent

        self._lost_at, self._pause = None, 0.0
        new = [event for event in msgspec.msgpack.decode(frame, type=list[ClientEvent]) if event.seq > self._after]
        if new:
            self._after = new[-1].seq
            self.sealed = new[-1].type in _SEALING
            self._events += new
            self._news.set()
            if self.sealed:
                self._over.set()

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        import aiohttp

        from maze._http import connection, path

        known, where = connection(self.url), path("runs", self.run_id, "events")
        while True:
            await asyncio.sleep(self._pause)
            self._pause = min(1.0, self._pause * 2 or 0.05)
            try:
                return await known.websocket(where, after=str(self._after), format="msgpack")
            except aiohttp.WSServerHandshakeError as error:
                self._refused(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._lost(known.unreachable(error), error)

    def _refused(self, error: aiohttp.WSServerHandshakeError) -> None:
        if error.status in {404, 410}:
            raise UnknownRunError(
                f"no run {self.run_id!r} any more", code="run_not_found", run_id=self.run_id
            ) from error
        if error.status not in {429, 503}:
            raise NotAMazeHeadError(f"{self.url} refuses the event stream: HTTP {error.status}") from error
        self._lost(HeadUnavailableError(f"the head at {self.url} takes no readers: HTTP {error.status}"), error)

    def _lost(self, final: HeadUnavailableError, error: Exception) -> None:
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if now - self._lost_at > RECONNECT_SECONDS:
            raise final from error


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def fresh(value: Any) -> Any:
    """Copy the lists and dictionaries of a value, and nothing else.

    What a caller does to his copy stays his; NaN and objects without `==` stay the same objects, so that two
    readings of one run are equal.
    """
    try:
        return _copy(value, {})
    except RecursionError:
        return value


def _copy(value: Any, seen: dict[int, Any]) -> Any:
    kind = type(value)
    if kind is not list and kind is not dict:
        return value
    if id(value) in seen:
        return seen[id(value)]
    if kind is list:
        items: list[Any] = []
        seen[id(value)] = items
        items += [_copy(item, seen) for item in value]
        return items
    table: dict[Any, Any] = {}
    seen[id(value)] = table
    table |= {key: _copy(item, seen) for key, item in value.items()}
    return table


def _short(data: Mapping[str, Any]) -> str:
    """Return the one line that tells most: `ValueError: bad thing`."""
    kind, message = data.get("error_type", ""), str(data.get("error_message", ""))
    if kind:
        return f"{kind}: {message.strip().splitlines()[0]}" if message.strip() else str(kind)
    lines = [line for line in str(data["result"]).splitlines() if line.strip()]
    heads = [line for line in lines if _HEADLINE.match(line)]
    return (heads or lines or [""])[-1]


def _match(task_id: str, known: list[str]) -> str | None:
    """Return the task that an id or a beginning of one (8 hex digits or more) names."""
    if task_id in known:
        return task_id
    digits = str(task_id).removeprefix("task_")
    if len(digits) < MIN_PREFIX or is_id(task_id, "task"):
        return None
    fitting = [each for each in known if each.startswith(f"task_{digits}")]
    if len(fitting) > 1:
        raise UnknownTaskError(f"task id {task_id!r} is ambiguous: it fits {', '.join(fitting)}", code="ambiguous_task")
    return fitting[0] if fitting else None

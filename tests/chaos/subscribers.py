"""Readers of a run's log, each by another road, all of whom must read the same: pages, WebSockets, the SDK.

A subscriber reads in a thread until the log is sealed, over as many connections as that takes, and never gives up:
the head may be dead at any moment. It asks for what comes after the last event it has; nothing is sorted or dropped
here, because a repetition or a gap is what the checker looks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import urllib.request
from abc import abstractmethod
from typing import Any

import aiohttp

from chaos.history import SEALING, Event, History
from maze import HeadUnavailableError, MaClient
from maze._daemon.access import bearer, find_access

PAUSE = 0.25
"""Between connections: a crowd that knocks all the time would be the heaviest load of its test."""


class Subscriber(threading.Thread):
    """One reader of one run."""

    kind = ""

    def __init__(self, url: str, run_id: str, history: History, number: int = 0) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.run_id = run_id
        self.events: list[Event] = []
        self.connections = 0
        self.shown = bearer(find_access(url).token)
        self._given_up = threading.Event()
        history.keep_log(run_id, f"{self.kind}-{number}", self.events)
        self.start()

    @property
    def sealed(self) -> bool:
        """Whether the end of the log was read."""
        return bool(self.events) and self.events[-1]["type"] in SEALING

    @property
    def path(self) -> str:
        after = self.events[-1]["seq"] if self.events else 0
        return f"/api/v1/runs/{self.run_id}/events?after={after}"

    def run(self) -> None:
        while not self.sealed and not self._given_up.is_set():
            self.connections += 1
            with contextlib.suppress(OSError, aiohttp.ClientError, TimeoutError):
                self.read()
            time.sleep(PAUSE)

    def finish(self, timeout: float = 60.0) -> list[Event]:
        """Wait for the end of the log; return all that was read."""
        self.join(timeout)
        self._given_up.set()
        return self.events

    @abstractmethod
    def read(self) -> None:
        """Read over one connection, until it breaks or the log ends."""


class Pages(Subscriber):
    """Long polls."""

    kind = "pages"

    def read(self) -> None:
        request = urllib.request.Request(self.url + self.path + "&wait=2", headers=self.shown)
        with urllib.request.urlopen(request, timeout=10) as response:
            self.events += json.load(response)["events"]


class Socket(Subscriber):
    """A WebSocket of JSON frames, by a client that is not ours."""

    kind = "websocket"

    def read(self) -> None:
        asyncio.run(self._read())

    async def _read(self) -> None:
        async with (
            aiohttp.ClientSession(headers=self.shown) as session,
            session.ws_connect(self.url + self.path) as socket,
        ):
            while not self._given_up.is_set():
                message = await socket.receive(timeout=10)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                self.events += json.loads(message.data)


class Sdk(Subscriber):
    """The SDK's own subscription, over one of its transports. One call shall do, whatever happens to the head."""

    transport = "websocket"
    kind = "sdk-websocket"

    def read(self) -> None:
        after = self.events[-1]["seq"] if self.events else 0
        try:
            with MaClient(self.url).subscribe(self.run_id, after=after, transport=self.transport) as stream:
                for event in stream:
                    # As it would look in JSON, to compare it with what the others read.
                    self.events.append(json.loads(json.dumps(event)))
        except HeadUnavailableError as error:
            raise OSError(str(error)) from error


class SdkPublished(Sdk):
    """The SDK's subscription over ZeroMQ."""

    transport = "zmq"
    kind = "sdk-zmq"


def subscribe(url: str, run_id: str, history: History, *, each: int = 1) -> list[Subscriber]:
    """Start `each` readers of every kind."""
    kinds: tuple[Any, ...] = (Pages, Socket, Sdk, SdkPublished)
    return [kind(url, run_id, history, number) for kind in kinds for number in range(each)]

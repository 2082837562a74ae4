"""A head that serves outputs and has faults: what a client's download meets."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from maze._http import close_connection
from maze_head.api.errors import catch_errors
from maze_head.api.pieces import MemoryBody, send
from maze_head.core.errors import Gone, NotFound, Rejected, Unavailable
from maze_protocol.http import MSGPACK_TYPE
from support.api_double import INFO, running

Fault = int | Rejected | bytes
"""Cut the connection after so many bytes, refuse, or have other bytes from now on."""


class ValueServer:
    """Serves the values of `values` by key; each request meets the next fault, if there is one."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.ranges: list[str] = []
        self.open = self.most_open = 0
        self.url = ""
        self.app = web.Application(middlewares=[catch_errors])
        self.app.router.add_get("/api/v1/info", self._info)
        self.app.router.add_get("/api/v1/runs/{run_id}/tasks/{task_id}/outputs/{key}", self._output)

    async def _info(self, request: web.Request) -> web.Response:
        return web.Response(body=msgspec.msgpack.encode(INFO), content_type=MSGPACK_TYPE)

    async def _output(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers.get("Range", ""))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(0)
            return await self._answer(request, request.match_info["key"])
        finally:
            self.open -= 1

    async def _answer(self, request: web.Request, key: str) -> web.StreamResponse:
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Rejected):
            raise fault
        if isinstance(fault, bytes):
            self.values[key] = fault
        if key not in self.values:
            raise NotFound("no_such_output", f"no {key}")
        data = self.values[key]
        if isinstance(fault, int):
            return await _cut(request, data, fault)
        return await send(request, MemoryBody(data), {}, asyncio.Event())


async def _cut(request: web.Request, data: bytes, after: int) -> web.StreamResponse:
    """Begin a right answer and break off."""
    start = int(request.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
    status = 206 if "Range" in request.headers else 200
    response = web.StreamResponse(status=status)
    response.headers["ETag"] = f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"'
    response.content_length = len(data) - start
    await response.prepare(request)
    await response.write(data[start : start + after])
    assert request.transport is not None
    # Closed, not aborted: what was written arrives.
    request.transport.close()
    return response


@asynccontextmanager
async def serving_values(**values: bytes) -> AsyncIterator[ValueServer]:
    """Serve values on a free port; the process's connection to it is closed in the end."""
    server = ValueServer()
    server.values = dict(values)
    async with running(server.app) as (port, _):
        server.url = f"http://127.0.0.1:{port}"
        try:
            yield server
        finally:
            await asyncio.to_thread(close_connection, server.url)


GONE = Gone("value_expired", "nobody holds it", hint="keep=True")
NOT_NOW = Unavailable("stopping", "not now")

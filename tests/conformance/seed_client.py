"""A replica of what the original client puts on the wire: its HTTP calls and the way it reads the result stream.

It decides as that client did: any status but 200 is a failure, `status` must be "success", and a WebSocket has ended
well only if the whole payload of the close frame, read as one big-endian number, is 1000.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import cloudpickle

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL = 1000


class SeedError(Exception):
    """What the original client raised."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class SeedClient:
    """The calls of the original client, one method each."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, body: object = None, content_type: str = "application/json") -> dict[str, Any]:
        """Send a request as the original did."""
        data = json.dumps(body).encode() if body is not None else b""
        return self._answer(urllib.request.Request(self.url + path, data, {"Content-Type": content_type}))

    def get(self, path: str) -> dict[str, Any]:
        """Send a GET as the original did."""
        return self._answer(urllib.request.Request(self.url + path))

    def _answer(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                answer: dict[str, Any] = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            raise SeedError(f"Request failed, status code: {error.code}, response: {text}", error.code) from None
        if answer.get("status") != "success":
            raise SeedError(f"Failed: {answer.get('message')}")
        return answer

    def create_workflow(self) -> str:
        """Return the id of a new workflow; the original sent no body at all."""
        return str(self.post("/create_workflow")["workflow_id"])

    def add_task(self, workflow_id: str, name: str | None = None) -> str:
        """Return the id of a new, empty task."""
        body = {"workflow_id": workflow_id, "task_type": "code", "task_name": name}
        return str(self.post("/add_task", body)["task_id"])

    def save(self, ids: tuple[str, str], code: dict[str, Any], inputs: dict[str, Any], outputs: list[str]) -> None:
        """Save a task as the maze client did: an input written `id.output.key` is a reference and makes an edge."""
        self.post("/save_task_and_add_edge", self.task_body(ids, code, inputs, outputs))

    def task_body(
        self, ids: tuple[str, str], code: dict[str, Any], inputs: dict[str, Any], outputs: list[str]
    ) -> dict[str, Any]:
        """Return the body of both ways to save a task."""
        parameters = {str(n): self._parameter(*item) for n, item in enumerate(inputs.items(), 1)}
        results = {str(n): {"key": key, "data_type": "str"} for n, key in enumerate(outputs, 1)}
        return {
            "workflow_id": ids[0],
            "task_id": ids[1],
            "task_input": {"input_params": parameters},
            "task_output": {"output_params": results},
            "resources": {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0},
            **code,
        }

    def _parameter(self, key: str, value: object) -> dict[str, object]:
        schema = "from_task" if isinstance(value, str) and ".output." in value else "from_user"
        return {"key": key, "input_schema": schema, "data_type": "str", "value": value}

    def run(self, workflow_id: str) -> str:
        """Return the id of a new run."""
        return str(self.post("/run_workflow", {"workflow_id": workflow_id})["run_id"])

    def results(self, workflow_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all messages, or raise as the original did if the close frame displeases it."""
        messages = []
        for opcode, payload in frames(self.url, f"/get_workflow_res/{workflow_id}/{run_id}"):
            if opcode == TEXT:
                messages.append(json.loads(payload))
            elif opcode == CLOSE and int.from_bytes(payload, "big") != NORMAL:
                raise SeedError("an exception occurred while the workflow was executed")
        return messages


def pickled(function: Any) -> dict[str, Any]:
    """Return a function in the encoding of the decorator, as one that was defined in the user's script."""
    function.__module__ = "__main__"
    return {"code_ser": base64.b64encode(cloudpickle.dumps(function)).decode(), "code_str": "def never(params): 1 / 0"}


def source(text: str) -> dict[str, Any]:
    """Return a function in the encoding of the legacy flow."""
    return {"code_str": text, "code_ser": None}


def frames(url: str, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield the data frames of a WebSocket, then its close frame; answer pings."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = socket.create_connection((address.hostname, address.port), timeout=30)
    with closing(connection), connection.makefile("rb") as stream:
        _upgrade(connection, stream, address.netloc, path)
        while True:
            opcode, payload = _frame(stream)
            if opcode == PING:
                _send(connection, PONG, payload)
                continue
            yield opcode, payload
            if opcode == CLOSE:
                _send(connection, CLOSE, payload)
                return


def _upgrade(connection: socket.socket, stream: Any, host: str, path: str) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    status = stream.readline().split()
    if status[1] != b"101":
        raise SeedError(f"handshake status {status[1].decode()}", int(status[1]))
    while stream.readline() not in (b"\r\n", b""):
        continue


def _frame(stream: Any) -> tuple[int, bytes]:
    head = stream.read(2)
    if len(head) < 2:
        raise SeedError("the connection was lost without a close frame")
    assert head[0] & 0x80, "the original's library joins fragments; this replica need not"
    size = head[1] & 0x7F
    if size >= 126:
        size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
    return head[0] & 0x0F, stream.read(size)


def _send(connection: socket.socket, opcode: int, payload: bytes) -> None:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[position % 4] for position, byte in enumerate(payload))
    connection.sendall(struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload)) + mask + masked)

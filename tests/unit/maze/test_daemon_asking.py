"""One request to a head, against a server of the standard library."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from maze._daemon.asking import ask
from maze._daemon.errors import HeadRefused, HeadUnreachable


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.seen.append((self.command, self.path, self.headers.get("Authorization"), json.loads(body or b"null")))
        status, answer = server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    do_DELETE = do_POST

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server: Any = http
        server.daemon_threads = True
        server.seen, server.answer = [], (200, b'{"fine": 1}')
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        http.shutdown()
        thread.join()


def test_what_is_asked_and_answered_is_json(server: Any) -> None:
    assert ask(server.url, "t" * 20, "POST", "/node-keys", {"key": "k"}) == {"fine": 1}
    assert ask(server.url, "", "DELETE", "/node-keys/n1") == {"fine": 1}
    assert server.seen == [
        ("POST", "/api/v1/node-keys", f"Bearer {'t' * 20}", {"key": "k"}),
        ("DELETE", "/api/v1/node-keys/n1", None, None),
    ]


def test_a_refusal_keeps_its_code_and_says_what_to_do(server: Any) -> None:
    server.answer = (409, b'{"error": {"code": "node_exists", "message": "taken", "hint": "revoke it"}}')
    with pytest.raises(HeadRefused, match=r"^taken; revoke it$") as caught:
        ask(server.url, "", "POST", "/node-keys", {})
    assert (caught.value.status, caught.value.code) == (409, "node_exists")


@pytest.mark.parametrize(
    "answer",
    [(200, b"<html>"), (200, b"[]"), (404, b"nothing"), (500, b"{}"), (302, b""), (200, b'{"a": '), (400, b"[1]")],
)
def test_who_is_no_head_is_told_apart_and_never_followed(server: Any, answer: tuple[int, bytes]) -> None:
    server.answer = answer
    with pytest.raises(HeadUnreachable, match=f"another server answers there: HTTP {answer[0]}"):
        ask(server.url, "", "POST", "/node-keys", {})
    assert len(server.seen) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://[::1", "https://127.0.0.1:1"])
def test_nobody_there_is_told(url: str) -> None:
    with pytest.raises(HeadUnreachable, match="no Maze head answers at"):
        ask(url, "", "POST", "/node-keys", {})

"""The commands' HTTP client against a server of the standard library."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click
import pytest

from maze.cli._api import ApiError, Head, HeadUnreachable

INFO = {"name": "maze", "version": "0", "nodes_ready": 1}


@pytest.fixture
def server():
    """A server that answers paths from a table of (status, body)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status, body = self.server.answers.get(self.path, (404, b"nothing here"))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.server.seen.append((self.command, self.path, self.client_address[1]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Maze-Log-Offset", "7")
            self.end_headers()
            self.wfile.write(data)

        do_DELETE = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.answers = {"/api/v1/info": (200, INFO)}
        http.seen = []
        http.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http
        http.shutdown()
        thread.join()


@pytest.fixture
def head(server):
    client = Head(server.url + "/")
    yield client
    client.close()


def test_answers_over_one_connection(server, head):
    server.answers["/api/v1/runs?limit=5"] = (200, {"runs": []})
    server.answers["/api/v1/runs/run_1"] = (202, b"")
    assert head.info() == INFO
    assert head.get("/runs", limit=5, before=None) == {"runs": []}
    assert head.delete("/runs/run_1") is None
    assert [method for method, _, _ in server.seen] == ["GET", "GET", "DELETE"]
    assert len({port for _, _, port in server.seen}) == 1


def test_raw_bodies_come_with_headers(server, head):
    server.answers["/api/v1/x"] = (200, b"\xff\x00")
    body, headers = head.raw("/x")
    assert (body, headers["Maze-Log-Offset"]) == (b"\xff\x00", "7")


def test_a_url_may_have_a_path(server):
    server.answers["/maze/api/v1/info"] = (200, INFO)
    head = Head.find(server.url + "/maze/")
    head.close()


def test_a_refusal_shows_message_and_hint(server, head):
    error = {"error": {"code": "unknown_run", "message": "no run run_1", "hint": "maze ps"}}
    server.answers["/api/v1/runs/run_1"] = (404, error)
    with pytest.raises(ApiError) as caught:
        head.get("/runs/run_1")
    assert (caught.value.status, caught.value.code, caught.value.message) == (
        404,
        "unknown_run",
        "no run run_1\nmaze ps",
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("body", [b"boom", b"[]", b'{"error": 3}'])
def test_a_refusal_in_another_form(server, head, body):
    server.answers["/api/v1/x"] = (500, body)
    with pytest.raises(ApiError, match="HTTP 500: "):
        head.get("/x")


def test_an_answer_that_is_not_json(server, head):
    server.answers["/api/v1/x"] = (200, b"<html>")
    with pytest.raises(ApiError, match="did not answer in JSON"):
        head.get("/x")


@pytest.mark.parametrize("answer", [(404, b"no"), (200, {"name": "other"}), (200, [1]), (200, b"<html>")])
def test_another_server_on_the_port_is_told_as_such(server, head, answer):
    server.answers["/api/v1/info"] = answer
    with pytest.raises(HeadUnreachable, match="another server answers there") as caught:
        head.info()
    assert caught.value.exit_code == 69


def test_nobody_there_names_the_way_out():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(HeadUnreachable, match="refused") as caught:
            Head.find(url)
    assert url in caught.value.message
    assert "maze up" in caught.value.message
    assert "maze run SCRIPT" in caught.value.message


def test_a_server_that_hangs_up(server):
    with socket.create_server(("127.0.0.1", 0)) as rude:
        thread = threading.Thread(target=lambda: rude.accept()[0].close())
        thread.start()
        with pytest.raises(HeadUnreachable):
            Head.find(f"http://127.0.0.1:{rude.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "http://", "http://h:port", "http://[::1"])
def test_what_is_no_url_is_a_usage_error(url):
    with pytest.raises(click.UsageError, match="is not a URL"):
        Head(url)

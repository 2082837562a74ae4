"""What a client makes of whatever answers at an address. Raw sockets stand in for others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest

from maze import _http
from maze._address import STARTING
from maze._daemon.secret_files import create_secret
from maze._http import close_connection, connection, path
from maze._loop import call
from maze.errors import (
    AccessError,
    HeadUnavailableError,
    MazeError,
    NotAMazeHeadError,
    ProtocolMismatchError,
    RequestError,
)
from maze_protocol.cluster import InfoBody
from maze_protocol.http import ErrorBody, ErrorDetail, RunList

INFO = InfoBody(
    "maze", "0.1.0", "v1", "1.0", "c", 1, "process", False, "3.11", 1, 0.0, {}, 1, {}
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAZE_TOKEN", "MAZE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def server(*answers: bytes, seen: list[bytes] | None = None) -> Iterator[str]:
    """Answer one request after the other with these bytes, each on a connection of its own; then hang up on all."""
    listener = socket.create_server(("127.0.0.1", 0))
    left = list(answers)

    def serve() -> None:
        while True:
            peer, _ = listener.accept()
            with peer:
                request = peer.recv(65_536)
                if request == b"stop":
                    return
                if seen is not None:
                    seen.append(request)
                peer.sendall(left.pop(0) if left else b"")

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield url
    finally:
        with socket.create_connection(listener.getsockname()) as last:
            last.sendall(b"stop")
        thread.join(10)
        listener.close()
        close_connection(url)


def response(body: bytes, status: str = "200 OK", kind: str = "application/msgpack", extra: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{extra}\r\n"
    )
    return head.encode() + body


def packed(body: msgspec.Struct, status: str = "200 OK", extra: str = "") -> bytes:
    return response(msgspec.msgpack.encode(body), status, extra=extra)


def ask(url: str) -> RunList:
    return call(connection(url).request("GET", path("runs"), RunList))


def test_an_answer_of_a_head_is_returned() -> None:
    with server(packed(INFO), packed(RunList([], "7"))) as url:
        assert ask(url).next == "7"


@pytest.mark.parametrize(
    "answer",
    [
        response(b"<html>hello</html>", kind="text/html"),
        response(b"", "404 Not Found", "text/plain"),
        response(b"{}", kind="application/json"),
        packed(msgspec.structs.replace(INFO, name="other")),
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + b"\0" * 32,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
    ids=["page", "404", "json", "other name", "zmtp", "ssh", "nothing"],
)
def test_what_is_not_a_head_is_told(answer: bytes) -> None:
    with server(answer) as url, pytest.raises(NotAMazeHeadError, match=f"answers at {url}, but it is not a Maze head"):
        ask(url)


@pytest.mark.parametrize(("api", "minor"), [("v1", 0), ("v1.1", 1), ("v1.12", 12), ("v1.x", 0)])
def test_what_came_to_the_api_later_is_told_by_its_second_number(api: str, minor: int) -> None:
    with server(packed(msgspec.structs.replace(INFO, api=api)), packed(INFO)) as url:
        assert [call(connection(url).minor()) for _ in range(2)] == [minor, minor]
        assert call(connection(url).minor(anew=True)) == 0


def test_another_api_is_told_with_both_versions() -> None:
    other = packed(msgspec.structs.replace(INFO, api="v2", version="9.0"))
    with server(other) as url, pytest.raises(ProtocolMismatchError, match=r"Maze 9.0\) speaks API v2"):
        ask(url)


def test_a_refused_connection_names_the_ways_to_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(HeadUnavailableError, match="connection refused") as caught:
        ask(url)
    for way in ("maze up", "maze run SCRIPT", "MaClient.local()"):
        assert way in str(caught.value)


def test_an_unknown_host_is_told() -> None:
    with pytest.raises(HeadUnavailableError, match=r"no Maze head answers at http://head.invalid:1"):
        ask("http://head.invalid:1")


def test_a_refusal_carries_what_the_head_said() -> None:
    detail = ErrorDetail("cycle", "a -> b -> a", "try less", "$.ops[3]", 3)
    answers = (packed(INFO), packed(ErrorBody(detail), "409 Conflict"))
    with server(*answers) as url, pytest.raises(RequestError, match="a -> b -> a") as caught:
        ask(url)
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.hint, refusal.field, refusal.op) == (
        409, "cycle", "try less", "$.ops[3]", 3,
    )  # fmt: skip


def test_a_busy_head_is_asked_again() -> None:
    busy = packed(ErrorBody(ErrorDetail("too_many_pending_tasks", "wait")), "429 Too Many", "Retry-After: 0\r\n")
    with server(packed(INFO), busy, busy, packed(RunList([]))) as url:
        assert ask(url).runs == []


def test_a_lost_answer_is_asked_for_again() -> None:
    with server(packed(INFO), b"", packed(RunList([]))) as url:
        assert ask(url).runs == []


def test_a_head_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "RETRY_SECONDS", 0.0)
    with server(packed(INFO), b"") as url, pytest.raises(HeadUnavailableError, match="it answered before"):
        ask(url)


def test_paths_are_quoted() -> None:
    assert path("runs", "../x y", "events") == "/api/v1/runs/..%2Fx%20y/events"


def test_every_failure_is_a_maze_error() -> None:
    failing: Callable[[], object] = lambda: ask("http://127.0.0.1:1")  # noqa: E731 -- a name for what is tried
    with pytest.raises(MazeError):
        failing()


def test_a_head_that_starts_beside_us_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STARTING, "http://127.0.0.1:1")
    assert "no answer within 60 s" in str(connection("http://127.0.0.1:1").unreachable(TimeoutError()))
    assert "no answer within 5 s" in str(connection("http://127.0.0.1:2").unreachable(TimeoutError()))


NO_TOKEN = packed(ErrorBody(ErrorDetail("unauthorized", "it answers only who shows a token")), "401 Unauthorized")
TOKEN = "t" * 43


def shown(seen: list[bytes]) -> list[bool]:
    return [f"Authorization: Bearer {TOKEN}\r\n".encode() in request for request in seen]


def test_the_token_is_sent_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_TOKEN", TOKEN)
    seen: list[bytes] = []
    with server(packed(INFO), packed(RunList([], "7")), seen=seen) as url:
        ask(url)
        call(exchanged(url))
    assert len(seen) >= 3  # aiohttp itself repeats what was not answered
    assert all(shown(seen))
    assert all(TOKEN.encode() not in request.split(b"\r\n")[0] for request in seen)


async def exchanged(url: str) -> None:
    with suppress(aiohttp.ClientError):
        async with connection(url).exchange("GET", "/x"):
            pass


def test_no_token_is_told_with_what_to_do() -> None:
    with server(NO_TOKEN, NO_TOKEN) as url, pytest.raises(AccessError, match="shown no token") as caught:
        ask(url)
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    assert "MAZE_TOKEN_FILE" in str(caught.value)
    assert isinstance(caught.value, PermissionError)


def test_a_wrong_token_is_told_by_where_it_was_found_and_not_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_TOKEN", TOKEN)
    with server(NO_TOKEN) as url, pytest.raises(AccessError, match="the token of MAZE_TOKEN") as caught:
        ask(url)
    assert TOKEN not in str(caught.value)


def test_a_token_that_was_changed_is_looked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_TOKEN", "old" * 10)
    seen: list[bytes] = []
    with server(packed(INFO), NO_TOKEN, packed(RunList([], "7")), seen=seen) as url:
        call(probed(url))
        monkeypatch.setenv("MAZE_TOKEN", TOKEN)
        assert ask(url).next == "7"
    assert shown(seen) == [False, False, True]


async def probed(url: str) -> InfoBody:
    return await connection(url).probe()


def test_a_token_file_that_cannot_be_used_is_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").touch(0o600)
    monkeypatch.setenv("MAZE_TOKEN_FILE", str(tmp_path / "token"))
    seen: list[bytes] = []
    with server(seen=seen) as url, pytest.raises(AccessError, match="is empty"):
        ask(url)
    assert seen == []


def test_the_token_of_an_own_head_counts_more_than_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAZE_TOKEN", "other" * 6)
    file = tmp_path / "token"
    create_secret(file, TOKEN)
    seen: list[bytes] = []
    with server(packed(INFO), packed(RunList([], "7")), seen=seen) as url:
        _http.own_head(url, file)
        ask(url)
        _http.own_head(url, None)
    assert shown(seen) == [True, True]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_a_token_follows_no_redirect(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_TOKEN", TOKEN)
    seen: list[bytes] = []
    with server(seen=seen) as there:
        elsewhere = response(b"", status, extra=f"Location: {there}/x\r\n")
        with server(packed(INFO), elsewhere, elsewhere) as url:
            with pytest.raises(NotAMazeHeadError):
                ask(url)
            with pytest.raises(aiohttp.WSServerHandshakeError):
                call(opened(url))
    assert seen == []


async def opened(url: str) -> object:
    return await connection(url).websocket("/api/v1/events")

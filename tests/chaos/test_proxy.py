"""The proxy itself: what it lets through, holds back, slows down and breaks."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from chaos.proxy import DOWN, UP, ChaosProxy, proxy_to


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(65_536):
                self.request.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy() -> Iterator[ChaosProxy]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        with proxy_to(("127.0.0.1", server.server_address[1])) as running:
            yield running
    finally:
        server.shutdown()
        server.server_close()


def connect(proxy: ChaosProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def echo(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return exactly(client, len(data))


def exactly(client: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (more := client.recv(count - len(got))):
        got += more
    return got


def silent(client: socket.socket, seconds: float = 0.2) -> bool:
    client.settimeout(seconds)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


def test_everything_passes_unchanged(proxy: ChaosProxy) -> None:
    data = bytes(range(256)) * 2_000
    with closing(connect(proxy)) as client:
        assert echo(client, data) == data
        assert (proxy.accepted, proxy.live) == (1, 1)


def test_delay_and_jitter_slow_down_and_keep_the_order(proxy: ChaosProxy) -> None:
    proxy.shape(delay=0.05, jitter=0.02)
    with closing(connect(proxy)) as client:
        started = time.monotonic()
        lines = [f"{number:04}".encode() for number in range(50)]
        for line in lines:
            client.sendall(line)
        assert exactly(client, 200) == b"".join(lines)
        assert time.monotonic() - started >= 0.06


def test_a_rate_is_a_rate(proxy: ChaosProxy) -> None:
    proxy.shape(UP, rate=100_000)
    with closing(connect(proxy)) as client:
        started = time.monotonic()
        assert echo(client, b"x" * 20_000) == b"x" * 20_000
        assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize("directions", [(), (UP,), (DOWN,)])
def test_what_a_black_hole_holds_arrives_after_healing(proxy: ChaosProxy, directions: tuple) -> None:
    with closing(connect(proxy)) as client:
        assert echo(client, b"before") == b"before"
        proxy.blackhole(*directions)
        client.sendall(b"during")
        assert silent(client)
        proxy.heal()
        assert exactly(client, 6) == b"during"


def test_a_connection_made_into_a_black_hole_is_half_open(proxy: ChaosProxy) -> None:
    proxy.blackhole()
    with closing(connect(proxy)) as client:
        client.sendall(b"hello")
        assert silent(client)
        proxy.heal()
        assert exactly(client, 5) == b"hello"


def test_a_one_way_cut_lets_the_other_way_through(proxy: ChaosProxy) -> None:
    with closing(connect(proxy)) as client:
        proxy.blackhole(DOWN)
        client.sendall(b"there")
        assert silent(client)
        proxy.blackhole(UP)
        client.sendall(b"stuck")
        proxy.shape(delay=0.0)
        proxy.heal()
        assert exactly(client, 10) == b"therestuck"


def test_reset_is_a_reset(proxy: ChaosProxy) -> None:
    with closing(connect(proxy)) as client:
        assert echo(client, b"x") == b"x"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with closing(connect(proxy)) as again:
        assert echo(again, b"y") == b"y"


def test_a_connection_is_cut_in_the_middle_of_its_bytes(proxy: ChaosProxy) -> None:
    with closing(connect(proxy)) as client:
        assert echo(client, b"x") == b"x"
        proxy.cut_after(3, DOWN)
        client.sendall(b"abcdef")
        got = b""
        try:
            while byte := client.recv(1):
                got += byte
        except ConnectionResetError:
            reset = True
        assert reset
        assert b"abc".startswith(got)


def test_a_proxy_can_refuse(proxy: ChaosProxy) -> None:
    proxy.refusing = True
    with pytest.raises(ConnectionResetError), closing(connect(proxy)) as client:
        client.recv(1)
    proxy.refusing = False
    with closing(connect(proxy)) as client:
        assert echo(client, b"x") == b"x"

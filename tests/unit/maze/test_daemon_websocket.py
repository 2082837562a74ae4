"""Both ends of a WebSocket, joined: any cut of the bytes gives the same messages, and who breaks the rules is told."""

from __future__ import annotations

import asyncio
import logging

import pytest
from websockets.frames import Close, Frame, Opcode

from maze._daemon.websocket import BINARY, TEXT, Frames, Side, proof

LIMIT = 100_000
KEY = bytes(4)


class Line(asyncio.WriteTransport):
    """Keeps what is written."""

    def __init__(self, *, half_closes: bool = True) -> None:
        self.data = b""
        self.half_closes = half_closes
        self.ended = False
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        assert not self.closed
        self.data += data

    def can_write_eof(self) -> bool:
        return self.half_closes

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data


def ends() -> tuple[Frames, Line, Frames, Line]:
    there, here = Line(), Line()
    return Frames(there, Side.CLIENT), there, Frames(here, Side.SERVER, LIMIT), here


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def told(line: Line) -> int:
    """Return the code of the close frame that was written."""
    data = line.take()
    assert data[0] == 0x80 | Opcode.CLOSE
    return int(Close.parse(data[2:]).code)


@pytest.mark.parametrize("step", [1, 3, 126, 1_000, 1_000_000])
@pytest.mark.parametrize("from_client", [True, False])
def test_bytes_may_come_in_any_pieces(step: int, from_client: bool) -> None:
    client, there, server, here = ends()
    sender, line, receiver = (client, there, server) if from_client else (server, here, client)
    sent = [(BINARY, b"one"), (BINARY, b""), (TEXT, b"x" * 126), (BINARY, bytes(70_000))]
    for kind, message in sent:
        assert sender.send(message, kind)
    data = line.take()
    assert [each for at in range(0, len(data), step) for each in receiver.receive(data[at : at + step])] == sent


def test_a_message_is_put_together_and_pings_come_between_its_parts() -> None:
    _, _, server, here = ends()
    assert server.receive(masked(Opcode.BINARY, b"", fin=False) + masked(Opcode.CONT, b"a", fin=False)) == []
    assert server.receive(masked(Opcode.PING, b"?")) == []
    assert here.take() == b"\x8a\x01?"
    assert server.receive(masked(Opcode.CONT, b"b") + masked(Opcode.TEXT, b"c")) == [(BINARY, b"ab"), (TEXT, b"c")]


def test_a_sign_of_life_is_given_by_itself() -> None:
    client, there, server, here = ends()
    client.ping()
    assert server.receive(there.take()) == []
    assert client.receive(here.take()) == []
    assert (client.is_open, server.is_open) == (True, True)


@pytest.mark.parametrize("parts", [1, 2])
def test_what_is_too_big_is_refused_and_what_came_before_it_is_heard(parts: int) -> None:
    _, _, server, here = ends()
    big = bytes(LIMIT + 1)
    frames = masked(Opcode.BINARY, big)
    if parts == 2:
        frames = masked(Opcode.BINARY, big[:9], fin=False) + masked(Opcode.CONT, big[9:])
    assert server.receive(masked(Opcode.TEXT, b"before") + frames) == [(TEXT, b"before")]
    assert (server.broken, told(here), here.ended) == (1009, 1009, True)
    assert not server.left
    assert not server.send(b"after")
    assert server.receive(masked(Opcode.BINARY, b"too late")) == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x00",  # it is not masked
        b"\x80\x80" + KEY,  # it goes on with nothing
        b"\x02\x80" + KEY + b"\x82\x80" + KEY,  # a message begins within another one
        b"\x09\x80" + KEY,  # a control frame in parts
        b"\xc2\x80" + KEY,  # a reserved bit: nothing was agreed that uses it
        b"\x83\x80" + KEY,  # an opcode of the future
    ],
)
def test_broken_rules_are_told(data: bytes) -> None:
    _, _, server, here = ends()
    assert server.receive(data) == []
    assert (server.broken, told(here)) == (1002, 1002)


@pytest.mark.parametrize("code", [1000, 4408])
def test_who_says_goodbye_is_answered_with_the_same_code(code: int) -> None:
    client, there, server, here = ends()
    server.send(b"last")
    server.goodbye(code)
    server.goodbye(1001)
    assert client.receive(here.take()) == [(BINARY, b"last")]
    assert (client.left, server.left) == (True, False)
    assert not client.send(b"nobody is there")
    assert server.receive(there.take()) == []
    assert (server.left, here.ended, there.ended) == (True, True, False)
    assert (client.broken, server.broken) == (None, None)


def test_where_no_half_can_be_closed_all_is() -> None:
    client, there, _, _ = ends()
    here = Line(half_closes=False)
    server = Frames(here, Side.SERVER)
    client.goodbye(1000)
    server.receive(there.take())
    assert (here.closed, told(here)) == (True, 1000)
    server.ping()
    assert not server.send(b"it is closing")
    assert not here.data


def test_what_users_send_is_logged_at_no_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client, there, server, _ = ends()
    client.send(b"secret")
    client.goodbye(1000)
    server.receive(there.take())
    assert not caplog.records


def test_the_example_of_the_rfc_proves_a_handshake() -> None:
    assert proof("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

"""One end of an open WebSocket: the library `websockets` knows frames, masks, limits, and what pings and farewells ask.

Here is what it leaves to its callers: what it has to say is written at once, and the parts of a message are put
together. Who opens the connection, reads from it, and waits for signs of life is the business of the SDK and of the
head (docs/adr/0031).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Event, Protocol, Side, State

__all__ = ["BINARY", "TEXT", "Frames", "Message", "Side", "proof"]

TEXT: Final = Opcode.TEXT
BINARY: Final = Opcode.BINARY
Message = tuple[int, bytes]
"""TEXT or BINARY, and what it holds."""
_CONTROL: Final = (Opcode.PING, Opcode.PONG, Opcode.CLOSE)
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LOGGER: Final = logging.getLogger(__name__)
_LOGGER.setLevel(logging.WARNING)  # below that it is told frames, which hold the values of users


def proof(key: str) -> str:
    """Return by which a server shows that it has understood a handshake with that key (RFC 6455, section 1.3)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class Frames:
    """What goes over a connection after the handshake.

    Args:
        transport: where to write.
        side: which end this is.
        limit: bytes of a message of the other end at most; None: any.
    """

    def __init__(self, transport: asyncio.WriteTransport, side: Side, limit: int | None = None) -> None:
        self._transport = transport
        self._protocol = Protocol(side, max_size=limit, logger=_LOGGER)
        self._kind = BINARY
        self._parts: list[bytes | bytearray | memoryview] = []
        """Of the message that has begun to come."""

    @property
    def is_open(self) -> bool:
        """Tell whether messages may be sent."""
        return self._protocol.state is State.OPEN and not self._transport.is_closing()

    @property
    def left(self) -> bool:
        """Tell whether the other end has said goodbye, which is answered."""
        return self._protocol.close_rcvd is not None

    @property
    def broken(self) -> int | None:
        """Return the code by which the other end was told that it breaks the rules; nothing more is heard then."""
        sent = self._protocol.close_sent
        return None if self._protocol.parser_exc is None or sent is None else int(sent.code)

    def receive(self, data: bytes) -> list[Message]:
        """Take bytes, answer what is to be answered, and return the messages that are whole now."""
        self._protocol.receive_data(data)
        self._write()
        return self._whole(self._protocol.events_received())

    def send(self, data: bytes, kind: int = BINARY) -> bool:
        """Send a message; return False if nobody is there any more."""
        if not self.is_open:
            return False
        if kind == BINARY:
            self._protocol.send_binary(data)
        else:
            self._protocol.send_text(data)
        self._write()
        return True

    def ping(self) -> None:
        """Ask the other end for a sign of life."""
        if self.is_open:
            self._protocol.send_ping(b"")
            self._write()

    def goodbye(self, code: int) -> None:
        """Say goodbye, once."""
        if self.is_open:
            self._protocol.send_close(code)
            self._write()

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._hang_up()

    def _hang_up(self) -> None:
        """Let the other end know that nothing more will come."""
        if self._transport.can_write_eof():
            with suppress(OSError, RuntimeError):  # it is gone
                self._transport.write_eof()
        else:
            self._transport.close()

    def _whole(self, frames: Iterable[Event]) -> list[Message]:
        found: list[Message] = []
        for frame in frames:
            assert isinstance(frame, Frame), "the handshake is over"
            if frame.opcode in _CONTROL:
                continue
            if frame.opcode is not Opcode.CONT:
                self._kind = frame.opcode
            if frame.data:
                self._parts.append(frame.data)
            if frame.fin:
                found.append((self._kind, b"".join(self._parts)))
                self._parts.clear()
        return found

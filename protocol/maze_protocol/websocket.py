"""Frames of a WebSocket (RFC 6455), without I/O and without extensions: bytes in, messages out, and the way back.

What comes is put together to whole messages here, in the call that has their last byte; control frames between the
parts of a message come before it. Who breaks the rules is told why by a close code, and nothing after that is read.
"""

from __future__ import annotations

import struct
from typing import Final

from maze_protocol.errors import RemoteProtocolError

__all__ = [
    "BINARY", "CLOSE", "NO_CODE", "PING", "PONG", "TEXT", "BadWebSocket", "FrameReader", "close_code", "frame",
]  # fmt: skip

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
NO_CODE: Final = 1005
"""Stands for the code of a close frame that has none."""
PROTOCOL_ERROR: Final = 1002
TOO_BIG: Final = 1009

_CONTINUATION: Final = 0
_DATA: Final = frozenset((_CONTINUATION, TEXT, BINARY))
_CONTROL: Final = frozenset((CLOSE, PING, PONG))
_CONTROL_BYTES: Final = 125
_FIN: Final = 0x80
_MASKED: Final = 0x80
_KEY_BYTES: Final = 4
_SHORT: Final = 126
_LONG: Final = 127
_U16: Final = struct.Struct("!H")
_U64: Final = struct.Struct("!Q")
Message = tuple[int, bytes]
"""What it is (TEXT, BINARY, CLOSE, PING, PONG), and what it holds."""


class BadWebSocket(RemoteProtocolError):
    """Bytes that are no frames, or too many; `close` is the code to close with."""

    def __init__(self, code: str, message: str, close: int) -> None:
        super().__init__(code, message)
        self.close = close


class _Header:
    """What stands before the payload of a frame."""

    __slots__ = ("body", "end", "final", "kind")

    def __init__(self, kind: int, *, final: bool, body: int, end: int) -> None:
        self.kind = kind
        self.final = final
        self.body = body
        """Where the payload begins, counted from the beginning of the frame, or its masking key if there is one."""
        self.end = end


class FrameReader:
    """Puts messages together from bytes as they come.

    Args:
        masked: what is read comes from a client, which masks it; a server does not.
        limit: bytes of a message at most; 0: any.
    """

    def __init__(self, *, masked: bool, limit: int = 0) -> None:
        self._masked = masked
        self._limit = limit
        self._waiting = bytearray()
        """The beginning of a frame of which more is to come."""
        self._header: _Header | None = None
        """Of that frame, if that much of it is here."""
        self._kind = 0
        """Of the message of which parts have come."""
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes; return the messages that are whole now.

        Raises:
            BadWebSocket: they break the rules.
        """
        if not self._waiting and not self._kind:
            whole = self._short(data)
            if whole is not None:
                return [(BINARY, whole)]
        if self._waiting:
            self._waiting += data
            if self._header is not None and len(self._waiting) < self._header.end:
                return []
            data = bytes(self._waiting)
            self._waiting.clear()
        found: list[Message] = []
        start, size = 0, len(data)
        while start < size:
            header = self._header or self._read_header(data, start)
            if header is None or start + header.end > size:
                self._header = header
                self._waiting += data[start:]
                break
            self._header = None
            self._take(header, self._payload(header, data, start), found)
            start += header.end
        return found

    def _short(self, data: bytes) -> bytes | None:
        """Return what a binary message holds, if the bytes are just that and not long: they mostly are."""
        key = _KEY_BYTES if self._masked else 0
        size = len(data)
        if size < 2 or data[0] != _FIN | BINARY or bool(data[1] & _MASKED) is not self._masked:
            return None
        length, body = data[1] & 0x7F, 2 + key
        if length == _SHORT and size > 4:
            length, body = data[2] << 8 | data[3], 4 + key
        if size != body + length or length >= 1 << 16 or (self._limit and length > self._limit):
            return None
        return _masked(data[body:], data[body - key : body]) if key else data[body:]

    def _read_header(self, data: bytes, start: int) -> _Header | None:
        """Return the header of the frame that begins there, or None if it is not whole."""
        if len(data) < start + 2:
            return None
        first, second = data[start], data[start + 1]
        self._check(first, bool(second & _MASKED))
        length, body = second & 0x7F, 2
        if length == _SHORT:
            if len(data) < start + 4:
                return None
            (length,), body = _U16.unpack_from(data, start + 2), 4
        elif length == _LONG:
            if len(data) < start + 10:
                return None
            (length,), body = _U64.unpack_from(data, start + 2), 10
        self._measure(first, length)
        end = body + length + (_KEY_BYTES if self._masked else 0)
        return _Header(first & 0x0F, final=bool(first & _FIN), body=body, end=end)

    def _check(self, first: int, masked: bool) -> None:
        kind = first & 0x0F
        if first & 0x70:
            raise _broken("a reserved bit is set")
        if masked is not self._masked:
            raise _broken("it is masked" if masked else "it is not masked")
        if kind in _DATA:
            if (kind == _CONTINUATION) is not bool(self._kind):
                raise _broken("a message goes on that has not begun, or begins in another one")
        elif kind not in _CONTROL:
            raise _broken(f"there is no opcode {kind}")

    def _measure(self, first: int, length: int) -> None:
        if first & 0x0F in _CONTROL:
            if not first & _FIN or length > _CONTROL_BYTES:
                raise _broken("a control frame is cut, or too long")
        elif self._limit and self._size + length > self._limit:
            raise BadWebSocket("too_big", f"a message has more than {self._limit:,} bytes", TOO_BIG)

    def _payload(self, header: _Header, data: bytes, start: int) -> bytes:
        payload = data[start + header.body : start + header.end]
        return _masked(payload[_KEY_BYTES:], payload[:_KEY_BYTES]) if self._masked else payload

    def _take(self, header: _Header, payload: bytes, found: list[Message]) -> None:
        if header.kind in _CONTROL or (header.final and header.kind):
            found.append((header.kind, payload))
            return
        self._kind = self._kind or header.kind
        self._parts.append(payload)
        self._size += len(payload)
        if header.final:
            found.append((self._kind, b"".join(self._parts)))
            self._kind, self._parts, self._size = 0, [], 0


def frame(kind: int, payload: bytes, key: bytes = b"") -> bytes:
    """Return a message as one frame.

    Args:
        kind: TEXT, BINARY, CLOSE, PING or PONG.
        payload: what it holds.
        key: four bytes that nobody can foresee, if a client sends it.
    """
    size, masked = len(payload), _MASKED if key else 0
    if size < _SHORT:
        header = bytes((_FIN | kind, masked | size))
    elif size < 1 << 16:
        header = bytes((_FIN | kind, masked | _SHORT)) + _U16.pack(size)
    else:
        header = bytes((_FIN | kind, masked | _LONG)) + _U64.pack(size)
    return header + key + _masked(payload, key) if key else header + payload


def close_code(payload: bytes) -> int:
    """Return the code that a close frame holds."""
    return int(_U16.unpack_from(payload)[0]) if len(payload) >= _U16.size else NO_CODE


def _masked(payload: bytes, key: bytes) -> bytes:
    """Mask a payload, or take the mask off."""
    # As two large numbers: byte by byte takes a hundred times as long.
    size = len(payload)
    keys = (key * (size // _KEY_BYTES + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")


def _broken(why: str) -> BadWebSocket:
    return BadWebSocket("bad_websocket", f"this is no frame of a WebSocket: {why}", PROTOCOL_ERROR)

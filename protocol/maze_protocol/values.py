"""How a user value appears in messages: a codec number, a size, and the bytes or where they are.

The bytes themselves are opaque here (only the SDK and worker processes encode and decode them: `maze._values`).
MSGPACK bodies are plain MessagePack without ext types, save ext 1 for holes (see `Input`); PICKLE bodies start
with the Python version that made them. Small bodies ride in the message, larger ones in a payload frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from maze_protocol.bounds import Count, Many, Token
from maze_protocol.errors import BadMessage
from maze_protocol.limits import FLUSH_BYTES, INLINE_VALUE, MAX_FRAMES

__all__ = [
    "FILE",
    "HOLE_EXT",
    "MSGPACK",
    "PICKLE",
    "Holder",
    "Input",
    "ObjectKey",
    "ObjectRef",
    "OutputValue",
    "Value",
    "ValuePacker",
    "body_of",
    "key_of",
]

MSGPACK: Final = 0
PICKLE: Final = 1
FILE: Final = 2
"""The body is a file or a directory (maze/_values); opaque here as all others."""
HOLE_EXT: Final = 1
"""MessagePack ext code whose body, a big-endian u32, is an index into the references of an input."""


Holder = tuple[str, str, bytes]
"""(endpoint of its ROUTER for peers, its CURVE server key or nothing, ticket) of a node that serves an object."""


class ObjectRef(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An immutable value kept by nodes or by the head, too large to ride in messages.

    What tasks return is named by (producing lease, output number), never by content; what clients upload by content.
    """

    lease: Token
    """0: an upload, named by `hash`."""
    output: Count
    """The number of the output among those of the attempt, from 0."""
    size: Count
    crc: Count
    """zlib.crc32 of all of it; 0: not computed."""
    holders: Many[Holder] = ()
    """Where to fetch it, the best first; then the head, which has it or gets it."""
    hash: bytes = b""
    """blake2b (32 bytes) of an upload."""


class ObjectKey(NamedTuple):
    """What an object is called: by its producing lease and number, or by its content."""

    lease: int
    output: int
    hash: bytes = b""


def key_of(ref: ObjectRef) -> ObjectKey:
    """Return what an object is called."""
    return ObjectKey(ref.lease, ref.output, ref.hash)


class Value(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One encoded value. Exactly one of `body` (frame 0), a payload frame (frame >= 1) or `ref` holds the bytes."""

    codec: Count
    size: Count
    body: bytes = b""
    frame: Count = 0
    ref: ObjectRef | None = None
    offset: Count = 0
    """Where the body starts in its payload frame; frames are fewer than values may be."""


class OutputValue(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A named output of a task."""

    key: str
    value: Value
    type: str = ""
    """Of an object: the qualified name of its class, or what kind of file it is; for people."""


class Input(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A named input as a worker gets it.

    With `template` None the value is `parts[0]`. Otherwise the template is decoded and each hole i in it is
    replaced by the decoded `parts[i]`; without holes `parts` is empty.
    """

    name: str
    template: Value | None
    parts: Many[Value] = ()


class ValuePacker:
    """Builds the values of one message, moving large bodies to payload frames.

    Use one packer per message; `payloads` is what goes after the meta frame. Any number of values fits: small ones
    beyond 256 KiB, and large ones when the frames are used up, share one frame.
    """

    def __init__(self) -> None:
        self.inline = 0
        self._frames: list[bytes | bytearray] = []
        self._shared = bytearray()
        self._shared_frame = 0

    @property
    def payloads(self) -> list[bytes]:
        """The payload frames so far."""
        return [bytes(frame) for frame in self._frames]

    def takes_inline(self, size: int) -> bool:
        """Count bodies of that size together as packed, if that means to leave them where they are; tell whether."""
        if size > INLINE_VALUE or self.inline + size > FLUSH_BYTES:
            return False
        self.inline += size
        return True

    def fits(self, sizes: Sequence[int]) -> bool:
        """Tell whether bodies of these sizes still have room without sharing a frame."""
        if self.inline + sum(sizes) <= FLUSH_BYTES and len(self._frames) < _OWN_FRAMES - len(sizes):
            return True
        large = sum(1 for size in sizes if size > INLINE_VALUE)
        small = sum(size for size in sizes if size <= INLINE_VALUE)
        return len(self._frames) + large <= _OWN_FRAMES and self.inline + small <= FLUSH_BYTES

    def pack(self, value: Value, body: bytes) -> Value:
        """Return `value` with its body placed in the message or in a payload frame; a reference stays one."""
        if value.ref is not None:
            return value
        size = len(body)
        small = size <= INLINE_VALUE
        if small and self.inline + size <= FLUSH_BYTES:
            self.inline += size
            return Value(value.codec, size, body)
        if small or len(self._frames) >= _OWN_FRAMES:
            return self._share(value.codec, body)
        self._frames.append(body)
        return Value(value.codec, size, b"", len(self._frames))

    def _share(self, codec: int, body: bytes) -> Value:
        if not self._shared_frame:
            self._frames.append(self._shared)
            self._shared_frame = len(self._frames)
        offset = len(self._shared)
        self._shared += body
        return Value(codec, len(body), b"", self._shared_frame, None, offset)


_OWN_FRAMES: Final = MAX_FRAMES - 3
"""Without preamble and meta, and one for those that share."""


def body_of(value: Value, payloads: Sequence[bytes]) -> bytes:
    """Return the bytes of a value that came with its message.

    Raises:
        BadMessage: a frame is missing, or its bytes are not of the announced size.
    """
    if value.frame == 0:
        body = value.body
    elif value.frame <= len(payloads):
        # A slice of all of a `bytes` is the same object: a frame of one value costs no copy.
        body = payloads[value.frame - 1][value.offset : value.offset + value.size]
    else:
        raise BadMessage("payload_missing", f"value refers to payload frame {value.frame} of {len(payloads)}")
    if len(body) != value.size:
        raise BadMessage("payload_size", f"value announces {value.size} bytes, {len(body)} came")
    return body

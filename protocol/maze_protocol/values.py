"""How a user value appears in messages: a codec number, a size, and the bytes or where they are.

The bytes themselves are opaque here (only the SDK and worker processes encode and decode them: `maze._values`).
MSGPACK bodies are plain MessagePack without ext types, save ext 1 for holes (see `Input`); PICKLE bodies start
with the Python version that made them. Small bodies ride in the message, larger ones in a payload frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from maze_protocol.errors import BadMessage
from maze_protocol.limits import INLINE_VALUE, MAX_FRAMES

__all__ = [
    "HOLE_EXT",
    "MSGPACK",
    "PICKLE",
    "Input",
    "ObjectRef",
    "OutputValue",
    "Value",
    "ValuePacker",
    "body_of",
]

MSGPACK: Final = 0
PICKLE: Final = 1
HOLE_EXT: Final = 1
"""MessagePack ext code whose body, a big-endian u32, is an index into the references of an input."""


class ObjectRef(msgspec.Struct, array_like=True, frozen=True):
    """An immutable value kept by a node: (producing lease, output number), never a content hash."""

    lease: int
    output: int
    size: int
    crc: int
    holders: tuple[tuple[str, str, bytes], ...] = ()
    """(endpoint, server key, ticket) of nodes that serve it."""


class Value(msgspec.Struct, array_like=True, frozen=True):
    """One encoded value. Exactly one of `body` (frame 0), a payload frame (frame >= 1) or `ref` holds the bytes."""

    codec: int
    size: int
    body: bytes = b""
    frame: int = 0
    ref: ObjectRef | None = None


class OutputValue(msgspec.Struct, array_like=True, frozen=True):
    """A named output of a task."""

    key: str
    value: Value


class Input(msgspec.Struct, array_like=True, frozen=True):
    """A named input as a worker gets it.

    With `template` None the value is `parts[0]`. Otherwise the template is decoded and each hole i in it is
    replaced by the decoded `parts[i]`; without holes `parts` is empty.
    """

    name: str
    template: Value | None
    parts: tuple[Value, ...] = ()


class ValuePacker:
    """Builds the values of one message, moving large bodies to payload frames.

    Use one packer per message; `payloads` is what goes after the meta frame.
    """

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.inline = 0

    def fits(self, sizes: Sequence[int]) -> bool:
        """Tell whether bodies of these sizes still have room for payload frames."""
        large = sum(1 for size in sizes if size > INLINE_VALUE)
        return len(self.payloads) + large <= MAX_FRAMES - 2

    def pack(self, value: Value, body: bytes) -> Value:
        """Return `value` with its body placed in the message or in a new payload frame."""
        if len(body) <= INLINE_VALUE:
            self.inline += len(body)
            return Value(value.codec, len(body), body)
        self.payloads.append(body)
        return Value(value.codec, len(body), b"", len(self.payloads))


def body_of(value: Value, payloads: Sequence[bytes]) -> bytes:
    """Return the bytes of a value that came with its message.

    Raises:
        BadMessage: the frame is missing or its length is not the announced one.
    """
    if value.frame == 0:
        body = value.body
    elif 1 <= value.frame <= len(payloads):
        body = payloads[value.frame - 1]
    else:
        raise BadMessage("payload_missing", f"value refers to payload frame {value.frame} of {len(payloads)}")
    if len(body) != value.size:
        raise BadMessage("payload_size", f"value announces {value.size} bytes, {len(body)} came")
    return body

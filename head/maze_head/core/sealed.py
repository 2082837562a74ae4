"""What stays of a run that is over: in memory, and in the journal, so that recovery need not read its log again.

Everything else about the run is in its log, which readers fold (fold.py).
"""

from __future__ import annotations

import msgspec

from maze_protocol.http import RunBody

__all__ = ["Sealed", "pack_sealed", "unpack_sealed"]


class Sealed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The summary of a run; fields are only appended."""

    body: RunBody
    attempts: dict[int, int]
    """Of tasks that had more than one."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sealed).decode


def pack_sealed(sealed: Sealed) -> bytes:
    """Return the journal row of a summary."""
    return _encode(sealed)


def unpack_sealed(packed: bytes) -> Sealed:
    """Read the journal row of a summary.

    Raises:
        msgspec.DecodeError: the row is damaged.
    """
    return _decode(packed)

"""Sockets over which objects travel: one profile of options, and frames without a copy of the piece they carry.

Outside a session: envelopes are all zeros. What comes is bounded: one piece per message, of MAX_PIECE_FRAME bytes, and
whatever is not a message about objects is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import zmq

from maze_protocol.codec import Envelope
from maze_protocol.errors import RemoteProtocolError
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.limits import CHUNK, MIB
from maze_protocol.transfers import BlobHello, Chunk, Denied, Fetch, Unknown

__all__ = ["MAX_PIECE_FRAME", "ObjectMessage", "decode", "make_socket", "receive_some", "send"]

ObjectMessage = Fetch | Chunk | Unknown | Denied | BlobHello

MAX_PIECE_FRAME: Final = 8 * MIB
RECEIVE: Final = 16
"""Messages that are taken from one socket before the others are looked at."""
COPY_BELOW: Final = 65_536
_PROFILE: Final = (
    (zmq.LINGER, 0),
    (zmq.IPV6, 1),
    (zmq.MAXMSGSIZE, MAX_PIECE_FRAME),
    (zmq.HANDSHAKE_IVL, 5000),
    (zmq.HEARTBEAT_IVL, 1000),
    (zmq.HEARTBEAT_TIMEOUT, 5000),
    (zmq.HEARTBEAT_TTL, 5000),
    (zmq.CONNECT_TIMEOUT, 3000),
    (zmq.TCP_KEEPALIVE, 1),
    (zmq.TCP_KEEPALIVE_IDLE, 30),
    (zmq.TCP_KEEPALIVE_INTVL, 10),
    (zmq.TCP_KEEPALIVE_CNT, 3),
)


def make_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    """Return a ROUTER or DEALER with these options; a DEALER connects once and not again by itself."""
    made = context.socket(kind)
    for option, value in _PROFILE:
        made.setsockopt(option, value)
    if kind == zmq.ROUTER:
        made.setsockopt(zmq.ROUTER_MANDATORY, 1)
    else:
        made.setsockopt(zmq.RECONNECT_IVL, -1)
    return made


def receive_some(opened: zmq.Socket[bytes]) -> Iterator[list[zmq.Frame]]:
    """Yield messages that came, as many as one turn allows."""
    for _ in range(RECEIVE):
        try:
            yield opened.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return


def decode(frames: list[zmq.Frame]) -> tuple[ObjectMessage, memoryview] | None:
    """Return a message about objects and its piece; None for anything else."""
    if not 2 <= len(frames) <= 3:
        return None
    try:
        decoded = decode_frames([frame.buffer for frame in frames[:2]])
    except RemoteProtocolError:
        return None
    if decoded is None or not isinstance(decoded[0].message, ObjectMessage):
        return None
    piece = frames[2].buffer if len(frames) == 3 else memoryview(b"")
    return (decoded[0].message, piece) if len(piece) <= CHUNK else None


def send(
    opened: zmq.Socket[bytes], message: ObjectMessage, piece: memoryview | None = None, to: bytes | None = None
) -> zmq.MessageTracker | None:
    """Send without waiting; `to` is the routing id on a ROUTER. A tracker tells when a large piece has left.

    Raises:
        zmq.ZMQError: EHOSTUNREACH or EAGAIN, if it cannot be sent now.
    """
    frames = [*([to] if to is not None else []), *encode_frames(Envelope(0, 0, 0, message))]
    if piece is None:
        opened.send_multipart(frames, zmq.NOBLOCK)
        return None
    opened.send_multipart(frames, zmq.NOBLOCK | zmq.SNDMORE)
    if len(piece) < COPY_BELOW:
        opened.send(piece, zmq.NOBLOCK)
        return None
    return opened.send(piece, zmq.NOBLOCK, copy=False, track=True)

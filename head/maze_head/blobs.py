"""The blob port: a ROUTER that answers every FETCH with UNKNOWN. The head holds no objects yet; its nodes may ask.

Whatever else arrives is dropped. The port and its field exist so that nodes and connection files need not change when
large values get their own road.
"""

from __future__ import annotations

import zmq

from maze_head.sockets import Pump
from maze_protocol.codec import Envelope
from maze_protocol.errors import RemoteProtocolError
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import Fetch, Unknown

__all__ = ["BlobPort"]


class BlobPort:
    """Owns a bound ROUTER. Made and used on the event loop."""

    def __init__(self, router: zmq.Socket[bytes]) -> None:
        self._router = router
        self._pump = Pump(router, self._take)

    def close(self) -> None:
        """Stop and close the socket."""
        self._pump.close()
        self._router.close(0)

    def tick(self) -> None:
        """Look for missed wake-ups."""
        self._pump.check()

    def _take(self) -> bool:
        try:
            link, *frames = self._router.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        try:
            decoded = decode_frames(frames)
        except RemoteProtocolError:
            return True
        if decoded is not None and isinstance(decoded[0].message, Fetch):
            self._answer(link, Unknown(decoded[0].message.request))
        return True

    def _answer(self, link: bytes, message: Unknown) -> None:
        try:
            self._router.send_multipart([link, *encode_frames(Envelope(0, 0, 0, message))], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
        self._pump.nudge()

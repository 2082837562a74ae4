"""What libFuzzer calls with bytes: every decoder that bytes from outside reach first. Run by fuzz/decoders.py."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["maze_protocol", "maze_head.api.bodies"]):
    from maze_head.api.bodies import parse, parse_json
    from maze_protocol.codec import decode_body, decode_envelope
    from maze_protocol.framing import decode_frames
    from maze_protocol.topics import parse_topic

from maze_head.api.routes import ROUTES
from maze_head.core.errors import Rejected
from maze_protocol.errors import RemoteProtocolError

KINDS = sorted(
    {route.request for route in ROUTES if route.request not in (None, bytes)}, key=lambda kind: str(kind.__name__)
)


def one(data: bytes) -> None:
    """Decode bytes by the decoder that the first of them names; whatever else is raised is a finding."""
    if not data:
        return
    which, rest = data[0] % 6, data[1:]
    try:
        if which == 0:
            decode_body(rest)
        elif which == 1:
            decode_envelope(rest)
        elif which == 2:
            cut = rest[0] if rest else 0
            decode_frames([rest[1 : 1 + cut], rest[1 + cut :]])
        elif which == 3:
            parse_topic(rest)
        elif which == 4:
            parse_json(rest)
        else:
            kind = KINDS[rest[0] % len(KINDS)] if rest else KINDS[0]
            parse(rest[2:], kind, msgpack=bool(len(rest) > 1 and rest[1] & 1))
    except (RemoteProtocolError, Rejected):
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()

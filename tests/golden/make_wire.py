"""Write the golden frames of the present protocol version: `PYTHONPATH=tests python tests/golden/make_wire.py`.

Run it for a new version only. Files of a released version never change: old nodes send exactly these bytes.
"""

from __future__ import annotations

from pathlib import Path

from maze_protocol.codec import Envelope
from maze_protocol.framing import encode_frames
from maze_protocol.limits import PROTOCOL_MAJOR, PROTOCOL_MINOR
from maze_protocol.messages import MESSAGES, TYPE_OF, Assign, Hello, Outcome, Result
from maze_protocol.values import Input, OutputValue, Value
from support.messages import make_assignment, minimal, sample

SESSION = 5 << 32 | 7
DIRECTORY = Path(__file__).parent / "wire" / f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"


def envelopes() -> dict[str, tuple[Envelope, tuple[bytes, ...]]]:
    """Return one envelope of each message, and some that show defaults and payload frames."""
    found = {}
    for kind in MESSAGES:
        numbers = (0, 0, 0) if kind is Hello else (SESSION, 2, 1)
        found[f"{TYPE_OF[kind]:02d}-{kind.__name__}"] = (Envelope(*numbers, sample(kind)), ())
    found["short-Hello"] = (Envelope(0, 0, 0, minimal(Hello)), ())
    inputs = (
        Input("whole", None, (Value(0, 5, b"", 1),)),
        Input("holed", Value(0, 7, b"\x91\xd6\x01\0\0\0\0"), (Value(1, 3, b"", 2, None, 4),)),
    )
    work = Assign((make_assignment(SESSION, inputs=inputs),))
    found["payloads-Assign"] = (Envelope(SESSION, 1, 0, work), (b"first", b"skipped"))
    result = Result((Outcome(SESSION, 0, 1.0, 2.5, (OutputValue("y", Value(0, 4, b"", 1)),)),))
    found["payloads-Result"] = (Envelope(SESSION, 1, 1, result), (b"\xa3out",))
    return found


def text_of(envelope: Envelope, payloads: tuple[bytes, ...]) -> str:
    """Return a golden file: the envelope as a comment, then one frame per line in hex."""
    frames = encode_frames(envelope, payloads)
    return "\n".join([f"# {envelope!r}", *(frame.hex() for frame in frames)]) + "\n"


if __name__ == "__main__":
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, (envelope, payloads) in envelopes().items():
        (DIRECTORY / f"{name}.hex").write_text(text_of(envelope, payloads))

"""Golden frames: what a released version sends is read for ever, and the present version sends exactly its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_protocol import messages, resources, values
from maze_protocol.codec import Envelope
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.limits import PROTOCOL_MAJOR, PROTOCOL_MINOR
from maze_protocol.messages import MESSAGES

ROOT = Path(__file__).parents[2] / "golden" / "wire"
NAMES = {**vars(messages), **vars(resources), **vars(values), "Envelope": Envelope}
FILES = sorted(ROOT.glob("*/*.hex"))
PRESENT = ROOT / f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"


def read(path: Path) -> tuple[Envelope, list[bytes]]:
    """Return the envelope that a file tells in words, and the frames that it holds."""
    comment, *lines = path.read_text().splitlines()
    return eval(comment.removeprefix("# "), dict(NAMES)), [bytes.fromhex(line) for line in lines]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_frames_are_read(path: Path) -> None:
    envelope, frames = read(path)
    assert decode_frames(frames) == (envelope, tuple(frames[2:]))


@pytest.mark.parametrize("path", sorted(PRESENT.glob("*.hex")), ids=lambda path: path.stem)
def test_the_present_version_sends_these_bytes(path: Path) -> None:
    envelope, frames = read(path)
    assert [bytes(frame).hex() for frame in encode_frames(envelope, frames[2:])] == [frame.hex() for frame in frames]


def test_every_message_of_the_present_version_has_its_frames() -> None:
    kinds = {type(read(path)[0].message) for path in PRESENT.glob("*.hex")}
    assert kinds == set(MESSAGES)

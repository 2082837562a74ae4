"""The private frames of a node."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maze_node.frames import (
    Fork,
    FrameBuffer,
    Kill,
    ReportFrame,
    decode_packet,
    decode_report,
    encode_frame,
    encode_packet,
)


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 7))
def test_a_stream_cut_anywhere_gives_the_same_frames(texts: list[bytes], step: int) -> None:
    frames = [ReportFrame(number, 0, 1.0, warnings=(text.hex(),)) for number, text in enumerate(texts)]
    stream = b"".join(map(encode_frame, frames))
    buffer = FrameBuffer()
    found = [body for start in range(0, len(stream), step) for body in buffer.feed(stream[start : start + step])]
    assert [decode_report(body) for body in found] == frames


def test_packets_know_their_type() -> None:
    assert decode_packet(encode_packet(Fork(3))) == Fork(3)
    assert decode_packet(encode_packet(Kill(3, 9))) == Kill(3, 9)

"""The private frames of a node."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maze_node.frames import (
    LENGTH,
    Fork,
    FrameBuffer,
    Kill,
    LikeFrame,
    ReportFrame,
    TaskFrame,
    decode_packet,
    decode_report,
    decode_task,
    encode_frame,
    encode_packet,
)
from maze_protocol.values import Input, Value


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 7))
def test_a_stream_cut_anywhere_gives_the_same_frames(texts: list[bytes], step: int) -> None:
    frames = [ReportFrame(number, 0, 1.0, warnings=(text.hex(),)) for number, text in enumerate(texts)]
    stream = b"".join(map(encode_frame, frames))
    buffer = FrameBuffer()
    found = [body for start in range(0, len(stream), step) for body in buffer.feed(stream[start : start + step])]
    assert [decode_report(body) for body in found] == frames


def test_a_worker_knows_whether_a_task_is_told_whole() -> None:
    inputs = (Input("x", None, (Value(0, 1, b"\x01"),)),)
    for frame in (
        TaskFrame(1, "t", b"h", None, (), inputs, (), True, {}, objects=2),
        LikeFrame(2, inputs, b"t" * 16, 3, 9.5),
    ):
        assert decode_task(encode_frame(frame)[LENGTH.size :]) == frame
    assert LikeFrame(2, inputs, b"t" * 16, 3, 9.5).objects == 0


def test_packets_know_their_type() -> None:
    assert decode_packet(encode_packet(Fork(3))) == Fork(3)
    assert decode_packet(encode_packet(Kill(3, 9))) == Kill(3, 9)

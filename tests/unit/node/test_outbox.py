"""Outcomes until they are acknowledged, in messages that always fit."""

from __future__ import annotations

from maze_node.core.outbox import Outbox
from maze_protocol.codec import Envelope
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import OK, ErrorInfo, Outcome
from maze_protocol.values import OutputValue, Value, body_of


def outcome(lease: int, *sizes: int, **fields: object) -> Outcome:
    outputs = tuple(
        OutputValue(f"k{index}", Value(1, size, bytes([index % 251]) * size)) for index, size in enumerate(sizes)
    )
    return Outcome(lease, OK, 1.0, 1.0, outputs, **fields)  # type: ignore[arg-type]


def sent(outbox: Outbox) -> dict[int, list[bytes]]:
    """Send everything through the real framing; return the bodies that arrive."""
    arrived = {}
    for result, payloads in outbox.messages():
        decoded = decode_frames(encode_frames(Envelope(1, 1, 0, result), payloads))
        assert decoded is not None
        for item in decoded[0].message.items:
            arrived[item.lease] = [body_of(each.value, decoded[1]) for each in item.outputs]
    return arrived


def test_small_outcomes_share_a_message() -> None:
    outbox = Outbox()
    for lease in range(1, 101):
        outbox.keep(outcome(lease, 10))
    assert len(list(outbox.messages())) == 1
    assert list(outbox.messages()) == []


def test_whatever_a_task_returns_fits_and_arrives() -> None:
    outbox = Outbox()
    shapes = {1: [8 * 2**20], 2: [60_000] * 130, 3: [100_000] * 50, 4: [0], 5: [65_536, 65_537], 6: [], 7: [1] * 1000}
    for lease, sizes in shapes.items():
        outbox.keep(outcome(lease, *sizes))
    arrived = sent(outbox)
    assert {lease: [len(body) for body in bodies] for lease, bodies in arrived.items()} == shapes
    assert arrived[3][49] == b"\x31" * 100_000


def test_long_texts_and_logs_are_spread_over_messages() -> None:
    outbox = Outbox()
    for lease in range(1, 41):
        error = ErrorInfo("user", "E", "m" * 8192, "ü" * 65_536)
        outbox.keep(outcome(lease, error=error, stdout_tail=b"x" * 65_536))
    assert len(sent(outbox)) == 40


def test_a_new_session_sends_everything_again() -> None:
    outbox = Outbox()
    outbox.keep(outcome(1, 1))
    outbox.keep(outcome(2, 1))
    sent(outbox)
    outbox.forget(1)
    outbox.restart()
    assert list(sent(outbox)) == [2]
    outbox.send_again(2)
    outbox.send_again(9)
    assert list(sent(outbox)) == [2]
    assert len(outbox) == 1
    assert [held.lease for held in outbox.inventory()] == [2]


def test_a_renamed_outcome_goes_out_under_its_new_lease() -> None:
    outbox = Outbox()
    outbox.keep(outcome(1, 1))
    sent(outbox)
    outbox.rename(1, 5)
    outbox.rename(7, 8)
    assert list(sent(outbox)) == [5]
    assert 5 in outbox
    assert 1 not in outbox

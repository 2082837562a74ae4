"""maze_protocol.ordering."""

from __future__ import annotations

import pytest

from maze_protocol.codec import Envelope
from maze_protocol.messages import Credit, Message, Recall
from maze_protocol.ordering import Ordering, Verdict

RELIABLE, LOOSE = Recall(()), Credit(1)


def judge(ordering: Ordering, seq: int, message: Message = RELIABLE, ack: int = 0, now: float = 0.0) -> Verdict:
    return ordering.judge(Envelope(1, seq, ack, message), now)


def test_each_class_is_numbered_on_its_own() -> None:
    ordering = Ordering(3.0)
    seqs = [ordering.wrap(9, message, 0.0).seq for message in (RELIABLE, LOOSE, RELIABLE, LOOSE, LOOSE)]
    assert seqs == [1, 1, 2, 2, 3]
    assert ordering.unacked == 2


def test_reliable_messages_come_once_and_without_gaps() -> None:
    ordering = Ordering(3.0)
    verdicts = [judge(ordering, seq) for seq in (1, 1, 2, 1, 4, 3)]
    new, duplicate = Verdict.NEW, Verdict.DUPLICATE
    assert verdicts == [new, duplicate, new, duplicate, Verdict.GAP, new]


def test_the_others_only_move_forward() -> None:
    ordering = Ordering(3.0)
    verdicts = [judge(ordering, seq, LOOSE) for seq in (2, 1, 2, 7, 7, 0)]
    new, duplicate = Verdict.NEW, Verdict.DUPLICATE
    assert verdicts == [new, duplicate, duplicate, new, duplicate, duplicate]


def test_what_came_is_acknowledged_with_everything_sent() -> None:
    ordering = Ordering(3.0)
    judge(ordering, 1)
    judge(ordering, 2)
    judge(ordering, 9, LOOSE)
    assert [ordering.wrap(1, message, 0.0).ack for message in (RELIABLE, LOOSE)] == [2, 2]


def test_an_acknowledgement_of_what_was_never_sent_is_a_fault() -> None:
    ordering = Ordering(3.0)
    ordering.wrap(1, RELIABLE, 0.0)
    assert judge(ordering, 1, ack=1) is Verdict.NEW
    assert ordering.unacked == 0
    assert judge(ordering, 2, ack=2) is Verdict.BAD_ACK


@pytest.mark.parametrize(("times", "last"), [((1.0, 2.0, 3.1), Verdict.STALL), ((1.0, 2.0, 3.0), Verdict.NEW)])
def test_talking_on_without_acknowledging_is_a_fault_after_a_while(times: tuple, last: Verdict) -> None:
    ordering = Ordering(3.0)
    ordering.wrap(1, RELIABLE, 0.0)
    assert [judge(ordering, number + 1, LOOSE, now=now) for number, now in enumerate(times)][-1] is last


def test_one_old_frame_after_a_pause_of_our_own_proves_nothing() -> None:
    ordering = Ordering(3.0)
    ordering.wrap(1, RELIABLE, 0.0)
    assert judge(ordering, 1, LOOSE, now=60.0) is Verdict.NEW
    assert judge(ordering, 2, LOOSE, now=60.0) is Verdict.NEW
    assert judge(ordering, 3, LOOSE, ack=1, now=60.0) is Verdict.NEW


def test_progress_restarts_the_patience() -> None:
    ordering = Ordering(3.0)
    ordering.wrap(1, RELIABLE, 0.0)
    ordering.wrap(1, RELIABLE, 0.0)
    for second in range(1, 4):
        judge(ordering, second, LOOSE, now=float(second))
    judge(ordering, 4, LOOSE, ack=1, now=3.0)
    assert [judge(ordering, 4 + second, LOOSE, ack=1, now=3.0 + second) for second in range(1, 5)] == [
        Verdict.NEW, Verdict.NEW, Verdict.NEW, Verdict.STALL
    ]  # fmt: skip


def test_a_new_message_after_silence_starts_the_patience_then() -> None:
    ordering = Ordering(3.0)
    ordering.wrap(1, RELIABLE, 100.0)
    assert [judge(ordering, n, LOOSE, now=100.0 + n / 10) for n in range(1, 6)] == [Verdict.NEW] * 5

"""Batches: what one turn commits, and the order in which it is read back."""

from __future__ import annotations

import pytest

from maze_head.batch import RunSegment
from maze_head.core.effects import Append, AppendCluster, CopyAccepted, SaveCode, SaveGraph, SaveLog
from support.head_shells import accept, batch_of, begin, finished, note, sealed, submitted


def test_an_empty_batch_is_false_and_any_row_makes_it_true() -> None:
    assert not batch_of()
    rows = (begin(1), accept(1, 0), CopyAccepted(1, 2, (0,)), SaveGraph(b"w", 1, b""), SaveCode(b"h", b""), note(1))
    for row in (*rows, SaveLog(1, 0, 1, b"", b"", 0, 0)):
        assert batch_of(row)


def test_events_of_one_run_become_one_segment() -> None:
    batch = batch_of(begin(1), begin(2), Append(1, 2, (finished(0), finished(1))), Append(1, 4, (sealed(2),)))
    (first_no, first), (second_no, second) = batch.segments()
    assert (first_no, second_no) == (1, 2)
    assert first.events == (submitted(1), finished(0), finished(1), sealed(2))
    assert (first.epoch, first.time, first.first_seq) == (5, 1000.0, 1)
    assert second.events == (submitted(2),)


def test_events_that_leave_a_gap_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="run 1: event 3 after 1"):
        batch_of(begin(1), Append(1, 3, (finished(0),)))


def test_segments_are_read_back_after_the_graphs_they_run() -> None:
    batch = batch_of(begin(1), SaveGraph(b"w", 1, b"g"), note(7))
    assert [type(row) for row in batch.ordered] == [SaveGraph, AppendCluster, RunSegment]

"""Spells without the cycle collector: it is as it was afterwards."""

from __future__ import annotations

import gc

import pytest

from maze._burst import Burst
from maze._collector import Collector
from maze._results import Entry, RunRecord
from support.run_story import messages


def test_the_collector_is_off_within_and_on_afterwards() -> None:
    with Burst():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="in the batch"), Burst():
        raise ValueError("in the batch")
    assert gc.isenabled()


def test_a_collector_that_somebody_has_turned_off_stays_off() -> None:
    gc.disable()
    try:
        with Burst():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_nested_spells_end_with_the_outer_one() -> None:
    with Burst():
        with Burst():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_results_are_read_without_collections() -> None:
    seen: list[bool] = []

    class Shown:
        def __iter__(self) -> Shown:
            return self

        def __next__(self) -> None:
            seen.append(gc.isenabled())
            raise StopIteration

    Collector("run_1").show(Shown(), lambda step: None)  # type: ignore[arg-type]  # only asked for the next one
    assert seen == [False]
    record = RunRecord("run_1", [Entry({"type": "finish_workflow", "data": {}})] * 2_000)
    before = gc.get_stats()[0]["collections"]
    messages(record)
    assert gc.get_stats()[0]["collections"] <= before + 1
    assert gc.isenabled()

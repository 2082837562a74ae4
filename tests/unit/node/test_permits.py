"""Bytes in a pipe that say what a worker may begin."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from maze_node.permits import BEGIN, SKIP, Permits


@pytest.fixture
def permits() -> Iterator[Permits]:
    made = Permits()
    yield made
    made.close()


def test_what_is_left_can_be_taken_back_and_is_skipped(permits: Permits) -> None:
    permits.give(5)
    assert os.read(permits.far_end, 2) == BEGIN * 2
    assert permits.take_back(4) == 3, "one of the four has begun"
    assert os.read(permits.far_end, 10) == SKIP * 3


def test_of_what_is_left_the_last_ones_are_taken(permits: Permits) -> None:
    permits.give(3)
    assert permits.take_back(2) == 2
    permits.give(2)
    assert permits.take_back(1) == 1
    assert os.read(permits.far_end, 10) == BEGIN + SKIP * 2 + BEGIN + SKIP


def test_from_an_empty_pipe_nothing_is_taken_and_nobody_waits(permits: Permits) -> None:
    assert permits.take_back(3) == 0


def test_the_worker_waits_and_finds_the_end(permits: Permits) -> None:
    assert os.get_blocking(permits.far_end), "its reads wait, although those of the agent do not"
    permits.give(1)
    permits.end()
    assert [os.read(permits.far_end, 1), os.read(permits.far_end, 1)] == [BEGIN, b""]


def test_closing_twice_does_no_harm() -> None:
    permits = Permits()
    permits.close_far_end()
    permits.close()
    permits.close()

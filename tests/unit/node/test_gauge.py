"""How much went through a pipe, asked from its other end."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterator

import pytest

from maze_node.gauge import Gauge


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def gauges() -> Iterator[tuple[Gauge, Gauge]]:
    agent = Gauge()
    worker = Gauge(os.dup(agent.descriptor))
    yield agent, worker
    for gauge in (agent, worker):
        os.close(gauge.descriptor)
        gauge.close()


def test_what_was_read_and_what_is_left_make_what_was_written(gauges, pipe) -> None:
    (agent, worker), (read, write) = gauges, pipe
    assert worker.written(0, write) == 0
    os.write(write, b"hello")
    assert worker.written(0, write) == 5
    assert agent.read(0, read, 3) == b"hel"
    os.write(write, b"!")
    assert (worker.written(0, write), worker.written(1, write)) == (6, 3), "streams count for themselves"


def test_a_read_that_finds_nothing_leaves_the_count_even(gauges, pipe) -> None:
    (agent, worker), (read, write) = gauges, pipe
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        agent.read(1, read, 10)
    os.write(write, b"x")
    assert worker.written(1, write) == 1


def test_a_stray_write_to_the_page_is_refused(gauges) -> None:
    _, worker = gauges
    with pytest.raises(PermissionError):
        os.write(worker.descriptor, b"garbage")


def test_the_sum_is_right_while_the_agent_reads(gauges, pipe) -> None:
    (agent, worker), (read, write) = gauges, pipe
    total = 200_000

    os.set_blocking(read, False)

    def drain() -> None:
        left = total
        while left:
            select.select([read], [], [])
            with contextlib.suppress(BlockingIOError):
                left -= len(agent.read(0, read, 97))

    reader = threading.Thread(target=drain)
    reader.start()
    written = 0
    while written < total:
        written += os.write(write, b"x" * min(1000, total - written))
        assert worker.written(0, write) == written
    reader.join()

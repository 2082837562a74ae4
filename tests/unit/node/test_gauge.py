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
def pipes() -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Ends to read from, and ends to write to."""
    both = os.pipe(), os.pipe()
    yield tuple(zip(*both, strict=True))
    for end in (*both[0], *both[1]):
        os.close(end)


@pytest.fixture
def gauges() -> Iterator[tuple[Gauge, Gauge]]:
    agent = Gauge()
    worker = Gauge(os.dup(agent.descriptor))
    yield agent, worker
    for gauge in (agent, worker):
        os.close(gauge.descriptor)
        gauge.close()


def test_what_was_read_and_what_is_left_make_what_was_written(gauges, pipes) -> None:
    (agent, worker), ((read, read_other), writes) = gauges, pipes
    assert worker.written(writes) == (0, 0)
    os.write(writes[0], b"hello")
    assert worker.written(writes) == (5, 0)
    assert agent.read(0, read, 3) == b"hel"
    os.write(writes[0], b"!")
    os.write(writes[1], b"no")
    assert worker.written(writes) == (6, 2), "streams count for themselves"
    assert agent.read(1, read_other, 1) == b"n"
    assert worker.written(writes) == (6, 2)


def test_a_read_that_finds_nothing_leaves_the_count_even(gauges, pipes) -> None:
    (agent, worker), ((_, read), writes) = gauges, pipes
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        agent.read(1, read, 10)
    os.write(writes[1], b"x")
    assert worker.written(writes) == (0, 1)


def test_a_stray_write_to_the_page_is_refused(gauges) -> None:
    _, worker = gauges
    with pytest.raises(PermissionError):
        os.write(worker.descriptor, b"garbage")


@pytest.mark.parametrize("stream", [0, 1])
def test_the_sum_is_right_while_the_agent_reads(gauges, pipes, stream: int) -> None:
    (agent, worker), (reads, writes) = gauges, pipes
    total, read = 200_000, reads[stream]

    os.set_blocking(read, False)

    def drain() -> None:
        left = total
        while left:
            select.select([read], [], [])
            with contextlib.suppress(BlockingIOError):
                left -= len(agent.read(stream, read, 97))

    reader = threading.Thread(target=drain)
    reader.start()
    written = 0
    while written < total:
        written += os.write(writes[stream], b"x" * min(1000, total - written))
        assert worker.written(writes)[stream] == written
    reader.join()

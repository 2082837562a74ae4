"""Surveys in a thread: one at a time, never in the way."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from maze_node.core.offer import Survey
from maze_node.watch import Watch
from maze_protocol.resources import Capacity

SURVEY = Survey(Capacity(1000, 0))


def test_surveys_come_when_asked_for_one_at_a_time() -> None:
    found: SimpleQueue[Survey] = SimpleQueue()
    entered, release = SimpleQueue[bool](), SimpleQueue[bool]()

    def look() -> Survey:
        entered.put(True)
        release.get(timeout=10)
        return SURVEY

    watch = Watch(look, found.put)
    watch.ask()
    entered.get(timeout=10)
    for _ in range(3):
        watch.ask()  # the driver is slow: nothing piles up
    release.put(True)
    assert found.get(timeout=10) is SURVEY
    watch.stop()
    _wait_for_end()
    assert entered.empty()


def test_a_failure_is_logged_and_the_next_survey_is_made(caplog) -> None:
    found: SimpleQueue[Survey] = SimpleQueue()
    done = threading.Event()

    def look() -> Survey:
        if not done.is_set():
            done.set()
            raise RuntimeError("driver on fire")
        return SURVEY

    watch = Watch(look, found.put)
    watch.ask()
    assert done.wait(10)
    while found.empty():
        watch.ask()
    assert found.get() is SURVEY
    assert "driver on fire" in caplog.text
    watch.stop()
    _wait_for_end()


def _wait_for_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "maze-watch":
            thread.join(10)
            assert not thread.is_alive()

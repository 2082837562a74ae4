"""File descriptors: the limit is raised, and their lack is told now and then."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from maze_head.descriptors import TELL_EVERY, tell_rarely


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def exhausted() -> dict[str, object]:
    return {"message": "accept", "exception": OSError(errno.EMFILE, os.strerror(errno.EMFILE))}


def test_the_soft_limit_becomes_the_hard_one() -> None:
    script = """if True:
        import resource
        from maze_head.descriptors import raise_limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
        raise_limit()
        print(resource.getrlimit(resource.RLIMIT_NOFILE))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "(200, 200)\n"


def test_it_is_told_once_in_a_while(loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    loop.time = lambda: now  # type: ignore[method-assign]
    tell_rarely(loop)
    for _ in range(100):
        loop.call_exception_handler(exhausted())
    assert [record.name for record in caplog.records] == ["maze_head.descriptors"]
    now += TELL_EVERY
    loop.call_exception_handler(exhausted())
    assert len(caplog.records) == 2


def test_other_errors_are_told_as_ever(loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture) -> None:
    tell_rarely(loop)
    for error in (OSError(errno.EPIPE, "x"), ValueError("y")):
        loop.call_exception_handler({"message": "z", "exception": error})
    assert [record.name for record in caplog.records] == ["asyncio", "asyncio"]

"""Once drains, twice stops now; the end of stdin counts as the parent's end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from maze._daemon import signals
from maze._daemon.processes import EMBEDDED_HOME
from maze._daemon.signals import Stop, exit_with_stdin, install_stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_drains_second_stops(number):
    async def scenario() -> None:
        stop = install_stop_signals(asyncio.get_running_loop())
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)
        assert stop.reason == signal.Signals(number).name
        assert not stop.now.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.now.wait(), 5)
        assert stop.reason == signal.Signals(number).name

    asyncio.run(scenario())


def test_the_end_of_stdin_drains_and_then_stops(monkeypatch):
    monkeypatch.setattr(signals, "ORPHAN_GRACE", 0.0)

    async def scenario() -> None:
        stop = Stop()
        ours, parents = os.pipe()
        exit_with_stdin(asyncio.get_running_loop(), stop, ours)
        os.write(parents, b"anything is ignored")
        assert not stop.is_set()
        os.close(parents)
        await asyncio.wait_for(stop.wait(), 5)
        assert stop.reason == "the parent process is gone"
        await asyncio.wait_for(stop.now.wait(), 5)
        os.close(ours)

    asyncio.run(scenario())


def test_a_stdin_that_is_no_pipe_or_closed_has_ended():
    async def scenario(descriptor: int) -> None:
        stop = Stop()
        exit_with_stdin(asyncio.get_running_loop(), stop, descriptor)
        await asyncio.wait_for(stop.wait(), 5)

    with open(os.devnull, "rb") as null:
        asyncio.run(scenario(null.fileno()))
        closed = null.fileno()
    asyncio.run(scenario(closed))


def test_the_temporary_directory_of_an_embedded_daemon_goes_with_it(tmp_path, monkeypatch):
    registered = []
    monkeypatch.setattr(signals.atexit, "register", lambda *args, **kwargs: registered.append((args, kwargs)))
    monkeypatch.setenv(EMBEDDED_HOME, str(tmp_path))

    async def scenario() -> None:
        stop = Stop()
        with open(os.devnull, "rb") as null:
            exit_with_stdin(asyncio.get_running_loop(), stop, null.fileno())
            await asyncio.wait_for(stop.wait(), 5)

    asyncio.run(scenario())
    assert registered == [((signals.shutil.rmtree, str(tmp_path)), {"ignore_errors": True})]
    assert EMBEDDED_HOME not in os.environ

"""One queue for what happens to children and to us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from maze.cli._supervise import Ended, Ready, Signalled, Supervisor, describe_exit, shell_status


def start(code: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)


def close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def test_ready_then_ended():
    process = start("import sys; from maze._daemon.ready import announce; announce({'a': 1}); sys.stdin.read()")
    with Supervisor() as supervisor:
        supervisor.watch("head", process, ready=True)
        assert supervisor.next() == Ready("head", {"a": 1})
        process.kill()
        assert supervisor.next() == Ended("head", -signal.SIGKILL)
    close(process)


def test_a_child_that_never_gets_ready_is_only_reported_as_ended():
    process = start("raise SystemExit(4)")
    with Supervisor() as supervisor:
        supervisor.watch("head", process, ready=True)
        assert supervisor.next() == Ended("head", 4)
    close(process)


def test_a_silent_child_is_ended(monkeypatch):
    monkeypatch.setattr("maze.cli._supervise.START_SECONDS", 0.01)
    process = start("import sys; sys.stdin.read()")
    with Supervisor() as supervisor:
        supervisor.watch("head", process, ready=True)
        assert supervisor.next() == Ended("head", -signal.SIGTERM)
    close(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_reported_and_their_handlers_given_back(number):
    before = signal.getsignal(number)
    with Supervisor() as supervisor:
        os.kill(os.getpid(), number)
        assert supervisor.next() == Signalled(number)
    assert signal.getsignal(number) is before


def test_logs_are_copied_with_the_name_before_each_line(capfd):
    process = start("import os; os.write(2, b'one\\ntwo\\nunfinished')")
    with Supervisor(["head", "node-1"]) as supervisor:
        supervisor.copy_log("head", process.stderr)
        supervisor.watch("head", process)
        supervisor.next()
    close(process)
    assert capfd.readouterr().err == "head   | one\nhead   | two\nhead   | unfinished"


def test_exit_statuses_in_words_and_as_shells_count():
    assert (describe_exit(3), describe_exit(-9), describe_exit(-99)) == ("exit code 3", "SIGKILL", "signal 99")
    assert (shell_status(3), shell_status(-2), shell_status(-15)) == (3, 130, 143)

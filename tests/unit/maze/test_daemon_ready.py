"""The READY line, as it is printed and as a parent reads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from maze._daemon.errors import NotReady
from maze._daemon.ready import announce, wait_ready


@pytest.fixture
def run():
    """Start Python code with its stdout piped; ended and closed afterwards."""
    started = []

    def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *arguments, "-c", code]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_what_is_announced_is_received(run):
    process = run(
        "import sys; from maze._daemon.ready import announce; announce({'url': 'http://h:1'}); sys.stdin.read()"
    )
    assert wait_ready(process, 30) == {"url": "http://h:1"}
    assert process.poll() is None


def test_the_line_is_flushed_at_once(capfd):
    announce({"pid": 1})
    assert capfd.readouterr().out == 'MAZE-READY {"pid": 1}\n'


def test_other_lines_and_split_writes_do_not_confuse_the_reader(run):
    code = """if True:
        import os, sys
        os.write(1, b'noise\\nMAZE-REA')
        sys.stdin.buffer.read(1)
        os.write(1, b'DY {"a": 1}\\nmore')
    """
    process = run(code)
    process.stdin.write(b"x")
    assert wait_ready(process, 30) == {"a": 1}


def test_a_child_that_ends_first_is_told_with_its_status(run):
    with pytest.raises(NotReady, match="ended with exit code 7") as caught:
        wait_ready(run("raise SystemExit(7)"), 30)
    assert caught.value.status == 7


def test_a_child_that_stays_silent_is_given_up_and_left_alone(run):
    process = run("import sys; sys.stdin.read()")
    with pytest.raises(NotReady, match=r"was not ready within 0\.05 s"):
        wait_ready(process, 0.05)
    assert process.poll() is None


def test_a_module_is_known_by_its_command():
    process = subprocess.Popen(
        [sys.executable, "-m", "maze_nothing"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with pytest.raises(NotReady, match=r"^maze-nothing ended"):
        wait_ready(process, 30)
    process.communicate()

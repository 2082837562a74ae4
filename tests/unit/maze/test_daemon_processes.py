"""Children: started apart from our terminal, ended in steps."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from maze._daemon import processes
from maze._daemon.processes import (
    default_ports_free,
    head_command,
    listen,
    listen_on_default_port,
    node_command,
    start,
    stop,
)

WAIT = "import sys; print('up', flush=True); sys.stdin.read()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"
TWICE = """if True:
    import signal, sys
    def first(*_):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
    signal.signal(signal.SIGTERM, first)
    print('up', flush=True)
    while True:
        signal.pause()
"""


def child(code: str) -> subprocess.Popen[bytes]:
    process = start([sys.executable, "-c", code], subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    return process


def test_commands_do_not_import_from_the_working_directory():
    assert head_command("--port=0") == [sys.executable, "-P", "-m", "maze_head", "--exit-with-stdin", "--port=0"]
    assert node_command()[3] == "maze_node"


def test_a_child_has_a_process_group_of_its_own():
    process = child(WAIT)
    assert os.getpgid(process.pid) == process.pid != os.getpgrp()
    stop([process])


def test_one_signal_is_enough_for_the_obedient():
    children = [child(WAIT), child(WAIT)]
    stop(children)
    assert [process.returncode for process in children] == [-signal.SIGTERM] * 2
    assert all(process.stdin.closed and process.stdout.closed for process in children)


def test_the_second_signal_means_now():
    process = child(TWICE)
    stop([process], drain=0.2)
    assert process.returncode == 9


def test_the_stubborn_are_killed():
    process = child(STUBBORN)
    stop([process], drain=0.05, now=0.05)
    assert process.returncode == -signal.SIGKILL


def test_stopping_what_has_ended_or_nothing_is_harmless():
    process = child(WAIT)
    process.kill()
    process.wait()
    stop([process])
    stop([])


@pytest.fixture
def port(monkeypatch):
    """A free port in the place of the default ones."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = probe.getsockname()[1]
    monkeypatch.setattr(processes, "DEFAULT_PORTS", (number,))
    return number


def test_free_ports(port):
    assert default_ports_free()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_listened_on_is_taken(port, address):
    with socket.create_server((address, port)):
        assert not default_ports_free()


def test_a_default_port_that_is_held_for_a_head_is_taken_for_others(port):
    with listen_on_default_port() as held:
        assert held.getsockname() == ("127.0.0.1", port)
        assert listen_on_default_port() is None
        with pytest.raises(OSError, match="in use"):
            listen(port)
    with listen_on_default_port():
        pass

"""What an embedded cluster does when a daemon does not start; tests/integration/test_cli_run.py shows that they do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maze._daemon import embedded
from maze._daemon.embedded import EmbeddedCluster
from maze._daemon.errors import DaemonError
from maze._daemon.processes import listen

FAIL = """
import os, shutil, sys
print('port 8000 is taken', file=sys.stderr)
shutil.rmtree(os.environ['HOME_DIR'])
sys.exit(2)
"""
SERVE = """
import sys
print('MAZE-READY {"url": "http://127.0.0.1:1", "node": "n", "blob": "b", "events": "e", "pid": 1}', flush=True)
sys.stdin.read()
"""
WAIT = "import sys; sys.stdin.read()"
ACCEPT = """
import socket, sys
inherited = socket.socket(fileno=int(next(flag for flag in sys.argv if flag.startswith('--http-fd=')).split('=')[1]))
inherited.accept()[0].sendall(b'hello')
sys.stdin.read()
"""


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EmbeddedCluster]]:
    """Make clusters whose head runs a script; `free` tells whether the default port is."""
    made: list[EmbeddedCluster] = []

    def make(script: str, *, free: bool = True) -> EmbeddedCluster:
        def head(*flags: str) -> list[str]:
            assert {"--node-port=0", "--blob-port=0", "--event-port=0"} <= set(flags)
            return [sys.executable, "-c", script, *flags]

        monkeypatch.setattr(embedded, "listen_on_default_port", lambda: listen() if free else None)
        monkeypatch.setattr(embedded, "EMBEDDED_HOME", "HOME_DIR")
        monkeypatch.setattr(embedded, "head_command", head)
        monkeypatch.setattr(embedded, "node_command", lambda *flags: [sys.executable, "-c", WAIT])
        made.append(EmbeddedCluster())
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.mark.parametrize("free", [True, False])
def test_a_head_that_serves_tells_where(scripted: Callable[..., EmbeddedCluster], free: bool) -> None:
    assert scripted(SERVE, free=free).start().url == "http://127.0.0.1:1"


def test_the_reason_is_told_though_the_head_took_its_log_along(scripted: Callable[..., EmbeddedCluster]) -> None:
    cluster = scripted(FAIL, free=False)
    with pytest.raises(DaemonError, match="port 8000 is taken"):
        cluster.start()
    assert cluster.head is None


def test_whoever_comes_before_the_head_serves_is_kept_waiting_not_refused(
    scripted: Callable[..., EmbeddedCluster],
) -> None:
    cluster = scripted(ACCEPT)
    cluster.begin()
    host, _, port = cluster.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as early:
        assert early.recv(5) == b"hello"


def test_nobody_waits_for_a_head_that_is_gone(scripted: Callable[..., EmbeddedCluster]) -> None:
    cluster = scripted(FAIL)
    cluster.begin()
    assert cluster.head is not None
    cluster.head.wait()
    host, _, port = cluster.url.removeprefix("http://").partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_nothing_is_left_behind(scripted: Callable[..., EmbeddedCluster]) -> None:
    cluster = scripted(SERVE, free=False)
    cluster.start()
    directory: Path = cluster.directory
    processes = cluster.processes
    assert directory.exists()
    cluster.close()
    assert not directory.exists()
    assert all(process.poll() is not None for process in processes.values())

"""What a node is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maze._daemon.connection import ConnectionInfo, write_connection
from maze_node.config import Settings, check_endpoint, parse_labels, parse_preload, parse_share
from maze_node.errors import UsageError


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [("tcp://h:1", "tcp://h:1"), ("10.0.0.1:8001", "tcp://10.0.0.1:8001"), ("tcp://[::1]:8001", "tcp://[::1]:8001")],
)
def test_endpoints(text: str, endpoint: str) -> None:
    assert check_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "h", "h:", ":1", "http://h:1", "h:0", "h:99999", "h:x"])
def test_bad_endpoints_are_told_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="for example tcp://"):
        check_endpoint(text)


def test_labels() -> None:
    assert parse_labels(("a=1", "b=", "c=x=y")) == {"a": "1", "b": "", "c": "x=y"}
    for bad in ("a", "=1"):
        with pytest.raises(UsageError, match="KEY=VALUE"):
            parse_labels((bad,))


def test_modules_to_preload() -> None:
    assert parse_preload("numpy, torch.nn,numpy") == ("numpy", "torch.nn")
    for bad in ("", "numpy,", "a-b", "a b", ".a"):
        with pytest.raises(UsageError, match="no name of a module"):
            parse_preload(bad)


def test_shares() -> None:
    assert parse_share("2/3") == (2, 3)
    for bad in ("", "2", "0/2", "3/2", "a/b", "1/"):
        with pytest.raises(UsageError, match="expected I/N"):
            parse_share(bad)


def test_the_head_is_looked_up_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "connection.json"
    settings = Settings(connection_file=file)
    assert settings.find_head() is None
    for port in (1, 2):
        write_connection(file, ConnectionInfo("u", f"tcp://h:{port}", "", "", os.getpid()))
        assert settings.find_head() == (f"tcp://h:{port}", None)
    assert Settings(head="tcp://x:1", connection_file=file).find_head() == ("tcp://x:1", None)
    assert Settings(connection_file=file, head_pid=os.getpid()).find_head() == ("tcp://h:2", None)
    assert Settings(connection_file=file, head_pid=1).find_head() is None


def test_names() -> None:
    assert Settings(name="n1").node_id() == "n1"
    assert Settings().node_id() != Settings().node_id()

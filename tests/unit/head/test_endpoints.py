"""The four bound sockets: all or none, the same free ports again, and the address that others are told."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from maze_head.config import HeadConfig
from maze_head.endpoints import Endpoints, advertised_host, listen
from maze_head.errors import Misconfigured, PortBusy

HOST = "127.0.0.1"


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(0)


def config(tmp_path: Path, **given: Any) -> HeadConfig:
    ports = {"port": 0, "node_port": 0, "blob_port": 0, "event_port": 0} | given
    return HeadConfig(state_dir=tmp_path, connection_file=tmp_path / "c", **ports)


def close(opened: Endpoints) -> None:
    opened.http.close()
    for one in (opened.node, opened.blob, opened.events):
        one.close(0)


def test_all_four_listen_and_say_where(tmp_path: Path, context: zmq.Context[Any]) -> None:
    opened = listen(config(tmp_path), HOST, context)
    assert len(set(opened.ports.values())) == 4
    assert opened.addresses == {
        "url": f"http://127.0.0.1:{opened.ports['url']}",
        "node": f"tcp://127.0.0.1:{opened.ports['node']}",
        "blob": f"tcp://127.0.0.1:{opened.ports['blob']}",
        "events": f"tcp://127.0.0.1:{opened.ports['events']}",
    }
    for port in opened.ports.values():
        socket.create_connection((HOST, port)).close()
    close(opened)


def test_free_ports_are_taken_again_at_the_next_start(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with zmq.Context() as context:  # its end waits until the ports are free
            opened = listen(config(tmp_path), HOST, context)
            seen.append(opened.ports)
            close(opened)
    assert seen[0] == seen[1]


def test_remembered_ports_that_are_busy_give_way_to_others(tmp_path: Path, context: zmq.Context[Any]) -> None:
    first = listen(config(tmp_path), HOST, context)
    second = listen(config(tmp_path), HOST, context)
    assert not set(second.ports.values()) & set(first.ports.values())
    close(first)
    close(second)


def test_a_socket_that_was_handed_over_is_served_and_not_remembered(tmp_path: Path, context: zmq.Context[Any]) -> None:
    with socket.create_server((HOST, 0)) as held:
        opened = listen(config(tmp_path, http_fd=os.dup(held.fileno())), HOST, context)
        assert opened.ports["url"] == held.getsockname()[1]
    assert not os.get_inheritable(opened.http.fileno())
    assert not (tmp_path / "ports.json").exists()
    close(opened)


def test_a_descriptor_that_is_no_socket_is_a_mistake_of_who_gave_it(tmp_path: Path, context: zmq.Context[Any]) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(Misconfigured, match="--http-fd"):
        listen(config(tmp_path, http_fd=file), HOST, context)
    os.close(file)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"url": "x"}', '{"url": 99999999}', "null"])
def test_a_useless_memory_is_ignored(tmp_path: Path, context: zmq.Context[Any], content: str) -> None:
    (tmp_path / "ports.json").write_text(content)
    close(listen(config(tmp_path), HOST, context))
    assert set(json.loads((tmp_path / "ports.json").read_text())) == {"url", "node", "blob", "events"}


@pytest.mark.parametrize(
    ("option", "flag"),
    [("port", "--port"), ("node_port", "--node-port"), ("blob_port", "--blob-port"), ("event_port", "--event-port")],
)
def test_a_busy_port_is_named_and_nothing_stays_bound(
    tmp_path: Path, context: zmq.Context[Any], option: str, flag: str
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortBusy, match=f"port {port} .*{flag} "):
            listen(config(tmp_path, **{option: port}), HOST, context)
    assert not (tmp_path / "ports.json").exists()


def test_others_are_told_the_given_host_else_the_bound_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert advertised_host("head.example", "0.0.0.0") == "head.example"
    assert advertised_host(None, "10.1.2.3") == "10.1.2.3"
    monkeypatch.setattr("maze_head.endpoints._outward_address", lambda: "10.9.9.9")
    assert advertised_host(None, "0.0.0.0") == "10.9.9.9"
    monkeypatch.setattr("maze_head.endpoints._outward_address", lambda: "")
    assert advertised_host(None, "::") == socket.gethostname()


def test_the_outward_address_is_a_text() -> None:
    assert isinstance(advertised_host(None, "0.0.0.0"), str)

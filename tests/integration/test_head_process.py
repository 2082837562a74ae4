"""The head as a process: how it starts, refuses, serves, and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from maze._daemon.connection import read_connection
from maze._daemon.processes import release
from maze._daemon.ready import wait_ready
from maze_protocol.keys import is_key
from support.head_process import FREE_PORTS, command, environment, run_to_its_end, running_head


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_it_says_where_it_serves_on_one_line_and_answers_there(state: Path) -> None:
    with running_head(state) as head:
        assert set(head.ready) >= {"url", "node", "blob", "events", "pid"}
        assert head.ready["pid"] == head.process.pid
        assert all(head.ready[name].startswith("tcp://127.0.0.1:") for name in ("node", "blob", "events"))
        status, info = head.request("GET", "/api/v1/info")
        assert (status, info["name"], info["pid"], info["durability"]) == (200, "maze", head.process.pid, "process")
        assert info["endpoints"] == {name: head.ready[name] for name in ("url", "node", "blob", "events")}
        head.signal(signal.SIGTERM)
        assert head.wait() == 0
        assert head.process.stdout is not None
        assert head.process.stdout.read() == b""


def test_the_connection_file_is_private_and_goes_with_the_head(state: Path) -> None:
    path = state / "connection.json"
    with running_head(state) as head:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        info = read_connection(path)
        assert info is not None
        assert info.to_dict() == head.ready
        head.signal(signal.SIGINT)
        assert head.wait() == 0
    assert not path.exists()


def test_the_connection_file_may_be_elsewhere(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "c.json"
    with running_head(state, f"--connection-file={path}", "--embedded") as head:
        info = read_connection(path)
        assert info is not None
        assert info.embedded
        assert head.request("GET", "/api/v1/info")[1]["embedded"] is True
        assert not (state / "connection.json").exists()


def test_a_second_head_is_refused_and_the_first_goes_on(state: Path) -> None:
    with running_head(state) as head:
        code, out, err = run_to_its_end(state, *FREE_PORTS)
        assert (code, out) == (3, "")
        assert f"pid {head.process.pid}" in err
        assert "--state-dir" in err
        assert head.request("GET", "/api/v1/livez")[0] == 200


def test_a_busy_port_is_one_line_with_the_remedy(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, out, err = run_to_its_end(state, *FREE_PORTS, f"--node-port={port}")
        assert (code, out) == (2, "")
        (line,) = [line for line in err.splitlines() if line.startswith("Error")]
        assert f"port {port} on 127.0.0.1 is in use" in line
        assert "--node-port" in line
        assert "Traceback" not in err


def test_other_machines_are_kept_out_unless_told_otherwise(state: Path) -> None:
    code, _, err = run_to_its_end(state, "--host=0.0.0.0", "--no-token", *FREE_PORTS)
    assert code == 2
    assert "leave --no-token out" in err
    assert not state.exists()
    with running_head(state, "--host=0.0.0.0") as head:
        assert is_key(head.ready["head_key"])
        assert "(--insecure)" not in head.log
    with running_head(state, "--host=0.0.0.0", "--insecure", "--advertise=head.example") as head:
        assert "(--insecure)" in head.log
        port = head.ready["url"].rpartition(":")[2]
        assert head.ready["url"] == f"http://head.example:{port}"
        assert head.ready["node"].startswith("tcp://head.example:")
        head.ready["url"] = f"http://127.0.0.1:{port}"
        assert head.request("GET", "/api/v1/livez")[0] == 200


def test_a_state_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run_to_its_end(tmp_path / "file" / "state", *FREE_PORTS)
    assert code == 2
    assert str(tmp_path / "file" / "state") in err
    assert "Traceback" not in err


def test_a_damaged_journal_is_refused_and_left_alone(state: Path) -> None:
    state.mkdir()
    (state / "journal.db").write_bytes(b"precious" * 1000)
    code, _, err = run_to_its_end(state, *FREE_PORTS)
    assert code == 78
    assert "journal.db" in err
    assert "backup" in err
    assert (state / "journal.db").read_bytes() == b"precious" * 1000


def test_work_survives_a_restart_and_a_kill(state: Path) -> None:
    body = {"workflow_id": "workflow_" + "1" * 32, "name": "kept"}
    with running_head(state) as head:
        assert head.request("POST", "/api/v1/workflows", body)[0] in (200, 201)
        epoch = head.request("GET", "/api/v1/info")[1]["epoch"]
        cluster = head.ready["cluster_id"]
        head.signal(signal.SIGKILL)
        assert head.wait() == -signal.SIGKILL
    ports = head.ready["url"], head.ready["node"]
    with running_head(state) as head:
        status, workflow = head.request("GET", f"/api/v1/workflows/{body['workflow_id']}")
        assert (status, workflow["name"]) == (200, "kept")
        assert head.request("GET", "/api/v1/info")[1]["epoch"] > epoch
        assert head.ready["cluster_id"] == cluster
        assert (head.ready["url"], head.ready["node"]) == ports


def hung_up_on(host: str, port: int, sent: bytes) -> bool:
    """Send bytes and tell whether the other side hangs up."""
    with socket.create_connection((host, port), timeout=20) as connection:
        try:
            connection.sendall(sent)
            while connection.recv(4096):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
    return True


def test_garbage_on_the_zeromq_ports_is_hung_up_on_and_disturbs_nobody(state: Path) -> None:
    with running_head(state) as head:
        for name in ("node", "blob", "events"):
            host, port = head.ready[name].removeprefix("tcp://").split(":")
            for garbage in (
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                os.urandom(4096),
                b"\xff" * 64,
                b"\x16\x03\x01" * 100,
            ):
                assert hung_up_on(host, int(port), garbage)
        assert head.request("GET", "/api/v1/livez")[0] == 200
        assert head.request("GET", "/api/v1/readyz")[0] == 200
        head.signal(signal.SIGTERM)
        assert head.wait() == 0
        assert f"before it said anything http={head.ready['url']}" in head.log
        assert "Traceback" not in head.log
        assert "ERROR" not in head.log


def test_it_ends_with_its_parent_if_told_to(state: Path) -> None:
    process = subprocess.Popen(
        [*command(state, *FREE_PORTS), "--exit-with-stdin"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(), bufsize=0,
    )  # fmt: skip
    wait_ready(process, 60)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0
    release(process)


def test_logs_are_json_if_asked_and_never_on_stdout(state: Path) -> None:
    with running_head(state, "--log-format=json") as head:
        head.signal(signal.SIGTERM)
        head.wait()
        lines = [json.loads(line) for line in head.log.splitlines()]
        assert {"recovered", "ready", "stopping"} <= {line["message"] for line in lines}

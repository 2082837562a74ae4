"""Each check of `maze doctor`, and the exit code."""

from __future__ import annotations

import json
import os
import platform
import sys

import pytest

from maze._daemon.connection import ConnectionInfo, write_connection
from maze._daemon.guarantees import Guarantee
from maze.cli import doctor as module
from maze.cli._api import ApiError
from maze.cli.doctor import Finding, check_config, check_files, check_head, check_platform, check_ports, check_python


@pytest.fixture(autouse=True)
def plain(tmp_path, monkeypatch):
    monkeypatch.delenv("MAZE_URL", raising=False)
    monkeypatch.delenv("MAZE_CONNECTION_FILE", raising=False)
    monkeypatch.setenv("MAZE_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("MAZE_STATE_DIR", str(tmp_path))


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        module.doctor.main(arguments, standalone_mode=True)
    return caught.value.code


def test_a_fit_machine(capsys):
    assert run(["--json"]) == 0
    checks = [finding["check"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    assert checks == [
        "python", "versions", "platform", "open files", "shared memory", "ports", "configuration", "head",
        "end of a node", "strays of tasks", "suspend", "lack of memory", "claims of memory", "claims of GPU memory",
        "limits", "waiting results",
    ]  # fmt: skip


def test_a_guarantee_that_does_not_hold_is_a_warning_with_its_reason(monkeypatch, capsys):
    broken = Guarantee("x", "all is well", False, "no kernel", "get one")
    monkeypatch.setattr(module, "guarantees", lambda: [broken, broken._replace(name="y", holds=True)])
    assert run([]) == 0
    out = capsys.readouterr().out
    assert "x\twarn\tnot here: all is well (no kernel)\tget one" in out
    assert "y\tok\tall is well (no kernel)\n" in out.replace("\t\n", "\n")


def test_a_failing_check_gives_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(module, "_CHECKS", (lambda: Finding("x", "fail", "broken", "mend it"),))
    assert run([]) == 1
    assert "x\tfail\tbroken\tmend it" in capsys.readouterr().out


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert check_python().level == "fail"


@pytest.mark.parametrize(("system", "level"), [("Linux", "ok"), ("Darwin", "warn"), ("Windows", "warn")])
def test_platforms(monkeypatch, system, level):
    monkeypatch.setattr(platform, "system", lambda: system)
    assert check_platform().level == level


@pytest.mark.parametrize(("soft", "level"), [(256, "warn"), (65_536, "ok"), (-1, "ok")])
def test_open_files(monkeypatch, soft, level):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert check_files().level == level


@pytest.mark.parametrize(("free", "level"), [(True, "ok"), (False, "warn")])
def test_ports(monkeypatch, free, level):
    monkeypatch.setattr(module, "default_ports_free", lambda: free)
    assert check_ports().level == level


def test_the_connection_file(tmp_path):
    assert "no connection file" in check_config().found
    write_connection(tmp_path / "connection.json", ConnectionInfo("http://127.0.0.1:9", "", "", "", 1))
    assert check_config().level == "ok"
    (tmp_path / "connection.json").chmod(0o666)
    assert check_config().level == "warn"


def test_a_broken_configuration(tmp_path, monkeypatch):
    (tmp_path / "c.toml").write_text("[haed]")
    monkeypatch.setenv("MAZE_CONFIG_FILE", str(tmp_path / "c.toml"))
    assert check_config().level == "fail"
    assert check_head().level == "warn" or check_config().level == "fail"


def answering(info):
    class FakeHead:
        def __init__(self, url):
            pass

        def info(self):
            return info

    return FakeHead


@pytest.mark.parametrize(
    ("info", "level"),
    [
        ({"version": module.__version__, "nodes_ready": 2}, "ok"),
        ({"version": module.__version__, "nodes_ready": 0}, "warn"),
        ({"version": "0.0.0", "nodes_ready": 2}, "warn"),
    ],
)
def test_the_head(monkeypatch, info, level):
    assert "none configured" in check_head().found
    monkeypatch.setenv("MAZE_URL", "http://h:1")
    monkeypatch.setattr(module, "Head", answering(info))
    assert check_head().level == level


def test_a_head_that_refuses_us(monkeypatch):
    def refusing(url):
        raise ApiError(401, "unauthorized", "this head answers only who shows a token\nsend one")

    monkeypatch.setenv("MAZE_URL", "http://h:1")
    monkeypatch.setattr(module, "Head", refusing)
    found = check_head()
    assert (found.level, found.found) == ("warn", "it refuses: this head answers only who shows a token")
    assert "MAZE_TOKEN" in found.advice


def test_a_head_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("MAZE_URL", "nonsense")
    assert check_head().level == "warn"

"""The command: flags to settings, without starting anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from maze_node import cli
from maze_node.config import Settings
from maze_node.identity import own_pair

KEY = "0" * 40


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    monkeypatch.setenv("MAZE_CONFIG_FILE", "/dev/null")
    calls: list[Settings] = []
    monkeypatch.setattr(cli, "_serve", lambda settings, **_: calls.append(settings) or 0)
    return calls


def invoke(*words: str) -> click.testing.Result:
    return CliRunner().invoke(cli.node, words, standalone_mode=False)


def test_every_flag_arrives(served: list[Settings], tmp_path: Path) -> None:
    words = (
        "--head h:1 --cpus 1.5 --memory 100 --gpus 2 --gpu-mem 50 --name n --label a=1 --label b=2 --workers 3"
        " --advertise x --no-peer-port --drain-timeout 1 --orphan-timeout 2 --share 2/3"
        " --head-timeout 3 --result-memory 4 --object-memory 5 --spool-dir /s --time-limit 1-02:00:00 --idle-timeout 5m"
        " --affinity --detect mem,cpus --insecure --preload a,b.c --head-pid 7 --isolation bwrap"
        " --node-dir"
    )
    assert invoke(*words.split(), str(tmp_path), "--head-key", KEY).exception is None
    assert served == [
        Settings("tcp://h:1", None, "n", 1.5, 100, 2, 50, 3, {"a": "1", "b": "2"}, "x", None, 1.0, 2.0, (2, 3), 3.0, 4,
             5, Path("/s"), 93_600.0, 300.0, True, frozenset(("cpus", "mem")), True, ("a", "b.c"), 7, KEY,
                 tmp_path, "bwrap"),
    ]  # fmt: skip


def test_defaults(served: list[Settings]) -> None:
    invoke()
    assert served == [Settings()]


@pytest.mark.parametrize("source", ["environment", "file"])
def test_time_limits_come_from_the_environment_and_the_configuration_too(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path, source: str
) -> None:
    limits = {"drain_timeout": 1.5, "orphan_timeout": 2.5, "head_timeout": 3.5}
    if source == "environment":
        for name, value in limits.items():
            monkeypatch.setenv(f"MAZE_{name.upper()}", str(value))
    else:
        lines = [f"{name} = {value}" for name, value in limits.items()]
        (tmp_path / "maze.toml").write_text("\n".join(["[node]", *lines]))
        monkeypatch.setenv("MAZE_CONFIG_FILE", str(tmp_path / "maze.toml"))
    invoke()
    assert served == [Settings(**limits)]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--head", "nonsense"], "expected tcp://HOST:PORT"),
        (["--label", "x"], "KEY=VALUE"),
        (["--head", "h:1", "--connection-file", "f"], "exclude each other"),
        (["--cpus", "0"], "x>0"),
        (["--nonsense"], "No such option"),
        (["--time-limit", "soon"], "--time-limit: 'soon' is no duration"),
        (["--detect", "cpu"], "expected all, none, or some of cpus,mem,gpus"),
        (["--idle-timeout", "0s"], "must be longer than nothing"),
        (["--preload", "a-b"], "'a-b' is no name of a module"),
        (["--head", "h:1", "--head-key", "secret"], "--head-key: no public key"),
    ],
)
def test_mistakes_are_usage_errors(served: list[Settings], words: list[str], text: str) -> None:
    error = invoke(*words).exception
    assert isinstance(error, click.UsageError)
    assert text in error.format_message()
    assert served == []


def test_a_key_that_others_can_read_stops_the_node_before_it_starts(served: list[Settings], tmp_path: Path) -> None:
    own_pair(tmp_path)
    (tmp_path / "node.key").chmod(0o640)
    error = invoke("--head", "h:1", "--head-key", KEY, "--node-dir", str(tmp_path)).exception
    assert isinstance(error, click.UsageError)
    assert error.format_message() == (
        f"{tmp_path}/node.key is open to other users (mode 640); chmod 600 {tmp_path}/node.key"
    )
    assert served == []


def test_a_time_limit_may_be_found(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("--time-limit", "auto")
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1700000060")
    assert served[0].find_limit(1_700_000_000.0) == (60.0, "SLURM_JOB_END_TIME")
    monkeypatch.delenv("SLURM_JOB_END_TIME")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert served[0].find_limit(0.0) == (None, "--time-limit auto: no end is known here")
    assert Settings(time_limit=9.0).find_limit(0.0) == (9.0, "--time-limit")
    assert Settings().find_limit(0.0) == (None, "")


def test_detect_prints_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_CONFIG_FILE", "/dev/null")
    text = invoke("detect", "--cpus", "3", "--gpus", "1", "--gpu-mem", "10").output
    assert "CPUs:    3               (--cpus)" in text
    assert "GPU 0: " in text
    found = json.loads(invoke("detect", "--json", "--memory", "7").output)
    assert (found["cpu_mem"], found["origins"]["memory"]) == (7, "--memory")


def test_doctor_tells_what_holds_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_CONFIG_FILE", "/dev/null")
    assert "workers end with their node, kill -9 included" in invoke("doctor").output
    found = json.loads(invoke("doctor", "--json").output)["guarantees"]
    assert {"name", "promise", "holds", "found", "without"} == found[0].keys()


def test_help_shows_examples() -> None:
    text = invoke("--help").output
    assert "maze-node --head tcp://10.0.0.1:8001" in text
    assert "--drain-timeout" in text
    assert "75 the head cannot be reached, 78 the head refuses this node" in text


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom maze_node.cli import node\n"
        "try: node(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('zmq', 'msgspec', 'psutil', 'asyncio', 'pynvml') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"

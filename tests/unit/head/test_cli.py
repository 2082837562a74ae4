"""The command line: help without anything heavy, settings from flags and variables, errors as one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from maze_head import errors
from maze_head.cli import command
from maze_head.config import HeadConfig


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[HeadConfig]:
    """Collect the settings of heads that would have started."""
    configs: list[HeadConfig] = []

    def run(config: HeadConfig) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr("maze_head.app.run", run)
    monkeypatch.setattr("maze._daemon.logging.setup_logging", lambda *args, **kwargs: None)
    for name in [name for name in os.environ if name.startswith("MAZE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MAZE_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("MAZE_STATE_DIR", str(tmp_path / "state"))
    return configs


def invoke(*flags: str, **env: str) -> Any:
    return CliRunner().invoke(command, list(flags), env=env)


def test_defaults(started: list[HeadConfig], tmp_path: Path) -> None:
    assert invoke().exit_code == 0
    (config,) = started
    assert config == HeadConfig(tmp_path / "state", tmp_path / "state" / "connection.json")


def test_flags_win_over_variables(started: list[HeadConfig], tmp_path: Path) -> None:
    result = invoke("--port", "9001", "--state-dir", str(tmp_path / "x"), MAZE_PORT="9000", MAZE_DURABILITY="power")
    assert result.exit_code == 0, result.output
    (config,) = started
    assert (config.port, config.durability, config.state_dir) == (9001, "power", tmp_path / "x")
    assert config.connection_file == tmp_path / "x" / "connection.json"


def test_how_long_a_node_may_be_silent_can_be_told(started: list[HeadConfig]) -> None:
    assert invoke("--heartbeat", "0.2", "--suspect-after=0.6", MAZE_LOST_AFTER="2").exit_code == 0
    (config,) = started
    assert (config.heartbeat, config.suspect_after, config.lost_after) == (0.2, 0.6, 2.0)
    assert invoke("--heartbeat=0").exit_code == 2


def test_how_long_a_restarted_head_waits_can_be_told(started: list[HeadConfig]) -> None:
    assert invoke("--recovery-grace=2.5").exit_code == 0
    assert started[0].recovery_grace == 2.5
    assert invoke("--recovery-grace=0").exit_code == 2


def test_how_much_work_may_wait_can_be_told(started: list[HeadConfig]) -> None:
    assert invoke(MAZE_MAX_PENDING_TASKS="7").exit_code == 0
    assert invoke("--max-pending-tasks=8").exit_code == 0
    assert [config.max_pending_tasks for config in started] == [7, 8]
    assert invoke("--max-pending-tasks=0").exit_code == 2


def test_the_order_can_be_told(started: list[HeadConfig]) -> None:
    assert invoke(MAZE_ORDER="critical").exit_code == 0
    assert invoke("--order=hacs").exit_code == 0
    assert [config.order for config in started] == ["critical", "hacs"]


@pytest.mark.parametrize("flags", [("--port", "x"), ("--port", "70000"), ("--durability", "hope"), ("--prot", "1")])
def test_impossible_flags_are_usage_errors(started: list[HeadConfig], flags: tuple[str, ...]) -> None:
    assert invoke(*flags).exit_code == 2
    assert started == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Misconfigured("no", remedy="so"), 2),
        (errors.PortBusy("no", remedy="so"), 2),
        (errors.StateDirUnusable("no", remedy="so"), 2),
        (errors.AlreadyRunning("/s", 7), 3),
        (errors.JournalUnusable("no", remedy="so"), 78),
        (errors.JournalFailed("no", remedy="so"), 75),
    ],
)
def test_a_head_that_cannot_start_says_why_in_one_line(
    started: list[HeadConfig], monkeypatch: pytest.MonkeyPatch, error: errors.HeadError, code: int
) -> None:
    def run(config: HeadConfig) -> int:
        raise error

    monkeypatch.setattr("maze_head.app.run", run)
    result = invoke()
    assert result.exit_code == code
    assert result.stderr.strip() == f"Error: {error}"


def test_the_refusal_of_a_second_head_names_the_first() -> None:
    assert "pid 7" in str(errors.AlreadyRunning("/s", 7))
    assert "another head" in str(errors.AlreadyRunning("/s", None))


def test_help_shows_examples_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom maze_head.cli import command\n"
        "command(['--help'], standalone_mode=False)\n"
        "heavy = {'asyncio', 'aiohttp', 'zmq', 'msgspec', 'sqlite3', 'maze_head.app'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Examples:" in done.stdout
    assert "maze-head --durability power" in done.stdout
    assert "--embedded" not in done.stdout
    assert done.stdout.endswith("heavy: []\n")

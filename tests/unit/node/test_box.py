"""The command that makes a box, and its home on disk; real boxes are in tests/integration/test_isolation.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from maze_node import box
from maze_node.box import Box, Plan, outer_pid


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TMPDIR", raising=False)
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def pairs(command: list[str], flag: str) -> list[tuple[str, str]]:
    """Return what follows each use of a flag."""
    return [(command[at + 1], command[at + 2]) for at, word in enumerate(command) if word == flag]


def test_everything_is_read_only_but_directories_of_its_own(base: Path) -> None:
    with Plan(base).make() as made:
        command = made.command(["python", "-P"])
        assert command[-3:] == ["--", "python", "-P"]
        assert pairs(command, "--ro-bind")[0] == ("/", "/")
        writable = pairs(command, "--bind")
        assert {target for _, target in writable} == {"/tmp", "/var/tmp", str(base)}
        assert all(Path(source).parent == made.home and not any(Path(source).iterdir()) for source, _ in writable)
        # Outer directories first: what lies in one of them must not be covered by it.
        assert [target for _, target in writable] == sorted(target for _, target in writable)
        assert {"--unshare-pid", "--unshare-ipc", "--die-with-parent"} < set(command)
        assert command[command.index("--cap-drop") + 1] == "ALL"
    assert not made.home.exists()


def test_what_is_to_be_hidden_is_covered_last(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "_WRITABLE", ("/var/tmp",))
    state, connection = tmp_path / "state", tmp_path / "connection.json"
    state.mkdir()
    connection.touch()
    with Plan(base, (state, connection, tmp_path / "absent")).make() as made:
        command = made.command(["x"])
    assert command[-5:] == ["--ro-bind", os.devnull, str(connection), "--", "x"]
    assert command[command.index("--tmpfs") + 1] == str(state)
    assert str(tmp_path / "absent") not in command
    (base / "state").mkdir()
    with Plan(base, (base / "state",)).make() as made:
        assert "--tmpfs" not in made.command(["x"]), "nobody sees it anyway"


def test_an_interpreter_in_a_covered_place_is_shown_again(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv, project = base / "venv", base / "project"
    venv.mkdir()
    project.mkdir()
    monkeypatch.setattr(sys, "prefix", str(venv))
    monkeypatch.setattr(sys, "path", [str(project), *sys.path])
    with Plan(base).make() as made:
        assert {(str(venv),) * 2, (str(project),) * 2} <= set(pairs(made.command(["x"]), "--ro-bind"))
        monkeypatch.chdir(project)
        assert (str(project),) * 2 not in pairs(made.command(["x"]), "--ro-bind"), "where it was started is no library"
        monkeypatch.setenv("PYTHONPATH", str(project))
        assert (str(project),) * 2 in pairs(made.command(["x"]), "--ro-bind")


def test_homes_of_killed_nodes_are_removed_and_no_others(base: Path) -> None:
    plan = Plan(base)
    dead, alive = plan.make(), plan.make()
    os.close(dead._lock)  # as the kernel does when a process ends
    (dead.home / "0" / "left").touch()
    unmarked = base / "maze-box-starting"
    unmarked.mkdir()
    with plan.make():
        assert not dead.home.exists()
        assert alive.home.exists()
        assert unmarked.exists(), "it may be another node's that has not locked it yet"
    alive.close()


def test_without_the_program_the_reason_says_what_to_install(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(base))
    assert Plan(base).trouble() == ("bwrap is not installed (the package is called bubblewrap)", "")


def test_without_a_place_for_its_home_the_reason_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box.shutil, "which", lambda name: f"/usr/bin/{name}")
    wrong, _ = Plan(tmp_path / "absent").trouble()
    assert wrong == f"no place for it in {tmp_path / 'absent'}: No such file or directory"


def test_of_a_process_that_is_gone_there_is_no_other_name() -> None:
    assert outer_pid(os.getpid(), 3) == 0


def test_a_box_has_a_home_of_its_own(base: Path) -> None:
    with Plan(base).make() as one, Plan(base).make() as other:
        assert isinstance(one, Box)
        assert one.home != other.home
        assert one.home.stat().st_mode & 0o077 == 0

"""Files of one attempt: where inputs land, and which outputs are files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maze import File
from maze._values import decode, encode
from maze_node.declared import Declared
from maze_node.errors import TaskFault
from maze_node.spawning import WORK_DIR
from maze_node.workspace import Workspace
from maze_protocol.messages import OutputDecl


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(WORK_DIR, str(tmp_path / "work"))
    return tmp_path / "here"


def workspace(*outputs: str) -> Workspace:
    declared = tuple(OutputDecl(*name.split(":", 1)) for name in outputs)
    return Workspace(Declared(declared).files, 5)


def test_attempts_without_files_get_no_directory(here: Path) -> None:
    one = workspace("out", "more:str")
    assert one.received([1]) == [1]
    outputs = {"out": Path("absent"), "more": "x"}
    assert one.given(outputs) is outputs or one.given(outputs) == outputs
    assert os.getcwd() == str(here)
    assert os.listdir(here.parent / "work") == []


def test_inputs_land_in_a_directory_that_goes_with_the_attempt(here: Path) -> None:
    (here / "data").write_text("x")
    one = workspace("out")
    files = [decode(*encode(File(here / "data"))) for _ in range(2)]
    assert [one.received(file) is file for file in files] == [True, True]
    assert [file.path.name for file in files] == ["data", "2-data"]
    assert Path("data").read_text() == "x"
    made = Path.cwd()
    os.chdir(here)
    one.remove()
    assert not made.exists()


@pytest.mark.parametrize("kind", ["file", "file:image"])
def test_a_declared_file_is_one_by_any_name(kind: str) -> None:
    one = workspace(f"out:{kind}")
    Path("made").write_text("x")
    os.mkdir("folder")
    for value in ("made", Path("made"), File("made"), str(Path("made").absolute()), Path("folder")):
        given = one.given({"out": value})["out"]
        assert type(given) is File
        assert given.name in ("made", "folder")
    for other in ("absent", None, 1):
        assert one.given({"out": other}) == {"out": other}
    assert one.warnings == ["output 'out' is declared as a file, and nothing is at 'absent': it stays a text"]


def test_an_undeclared_path_is_a_file_if_it_names_one(here: Path) -> None:
    (here / "made").write_text("x")
    given = workspace("a", "b", "c").given({"a": Path("made"), "b": Path("absent"), "c": Path(), "d": "made"})
    assert type(given["a"]) is File
    assert {key: value for key, value in given.items() if key != "a"} == {"b": Path("absent"), "c": Path(), "d": "made"}


def test_no_room_is_the_nodes_fault(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "data").write_text("x")
    monkeypatch.setenv(WORK_DIR, str(here / "absent"))
    with pytest.raises(TaskFault, match="no working directory for files"):
        workspace("out").received(decode(*encode(File(here / "data"))))

"""Result files in a directory of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from maze import File
from maze._downloads import files_of, save_files
from maze._results import Entry, RunRecord
from maze._values import decode, encode


def received(path: Path) -> Any:
    return decode(*encode(File(path)))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "made" / "tree").mkdir(parents=True)
    (tmp_path / "made" / "a.txt").write_text("A")
    (tmp_path / "made" / "tree" / "b").write_text("B")
    return tmp_path / "made"


def test_files_of_a_run_are_found_in_the_order_of_its_story(source: Path) -> None:
    first, second = received(source / "a.txt"), received(source / "tree")
    results = [{"x": 1, "file": first}, {"tree": second, "none": None}]
    messages = [{"type": "start_task", "data": {"task_id": "t"}}]
    messages += [{"type": "finish_task", "data": {"task_id": "t", "result": result}} for result in results]
    assert files_of(RunRecord("r", [Entry(message) for message in messages])) == [first, second]


def test_nothing_is_made_for_nothing(tmp_path: Path) -> None:
    assert list(save_files([], str(tmp_path / "out"), bars=False)) == []
    assert not (tmp_path / "out").exists()


def test_names_of_one_call_differ_and_files_of_earlier_calls_are_replaced(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    for _ in range(2):
        files = [received(source / "a.txt"), received(source / "a.txt")]
        assert [path.name for path in save_files(files, str(out), bars=False)] == ["a.txt", "2-a.txt"]
        assert [file.path for file in files] == [out / "a.txt", out / "2-a.txt"]
    assert sorted(os.listdir(out)) == ["2-a.txt", "a.txt"]


def test_directories_never_replace_what_is_there(source: Path, tmp_path: Path) -> None:
    for name in ("tree", "2-tree"):
        (path,) = save_files([received(source / "tree")], str(tmp_path / "out"), bars=False)
        assert (path.name, (path / "b").read_text()) == (name, "B")


def test_a_bar_is_drawn_for_what_is_large(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    (source / "large").write_bytes(b"x" * (1 << 20))
    assert list(save_files([received(source / "large")], str(tmp_path), bars=True)) == [tmp_path / "large"]
    assert "large" in capsys.readouterr().out

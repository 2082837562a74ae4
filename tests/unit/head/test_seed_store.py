"""Uploaded files of the original's front client: nothing outside of their workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_head.seed_store import SeedStore

A, B = b"a" * 16, b"b" * 16


def put(store: SeedStore, workflow: bytes, name: str, data: bytes = b"x") -> Path:
    file, path = store.create(workflow, name)
    with file:
        file.write(data)
    return path


def test_a_file_is_found_by_its_path_in_its_workflow_only(tmp_path: Path) -> None:
    store = SeedStore(tmp_path)
    path = put(store, A, "cat.png", b"miau")
    found = store.open(A, str(path))
    assert found is not None
    with found:
        assert found.read() == b"miau"
    assert path.name == "cat.png"
    assert store.open(B, str(path)) is None


def test_files_of_one_name_are_apart_and_go_with_their_workflow(tmp_path: Path) -> None:
    store = SeedStore(tmp_path)
    first, second, other = put(store, A, "x"), put(store, A, "x"), put(store, B, "x")
    assert first != second
    store.remove(A)
    store.remove(A)
    assert [path.exists() for path in (first, second, other)] == [False, False, True]


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "..", "", "a\0b", "..\\..\\evil", "x" * 1000])
def test_a_name_is_one_word(tmp_path: Path, name: str) -> None:
    path = put(SeedStore(tmp_path), A, name)
    assert path.parent.parent == tmp_path / "files" / A.hex()


def test_nothing_else_is_opened(tmp_path: Path) -> None:
    store = SeedStore(tmp_path)
    path = put(store, A, "x")
    (tmp_path / "secret").write_text("s")
    (path.parent / "link").symlink_to(tmp_path / "secret")
    outside = (str(tmp_path / "secret"), f"{path.parent}/../../../secret", str(path.parent / "link"), "/etc/passwd", "")
    for wanted in (*outside, "\0", str(path) + "y"):
        assert store.open(A, wanted) is None

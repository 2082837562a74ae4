"""`File`: what it tells, where it is, and how it travels."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maze import File
from maze._values import ValueEncodeError, decode, encode
from maze_protocol.values import FILE


def received(path: Path) -> File:
    codec, body = encode(File(path))
    assert codec == FILE
    found = decode(codec, body)
    assert type(found) is File
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n" * 100)
    return path


def test_it_tells_the_same_here_and_there(source: Path) -> None:
    for file in (File(source), received(source)):
        assert (file.name, file.size, file.is_directory) == ("data.csv", 400, False)
        assert file.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
        assert file.read_bytes() == source.read_bytes()
        with file.open() as opened:
            assert opened.read(3) == b"a,b"
        assert repr(file) == "<File 'data.csv', 400 bytes>"


def test_what_was_received_has_a_path_once_it_is_asked_for(source: Path) -> None:
    file = received(source)
    assert file.path.read_bytes() == source.read_bytes()
    assert file.path == file.path
    assert file.path.name == "data.csv"


def test_what_clients_looked_at_goes_with_their_process(source: Path) -> None:
    code = (
        "import sys; from maze import File; from maze._values import decode, encode\n"
        "print(decode(*encode(File(sys.argv[1]))).path)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=True)
    assert "data.csv" in done.stdout
    assert not Path(done.stdout.strip()).parent.parent.exists()


def test_two_of_one_name_have_places_of_their_own(source: Path, tmp_path: Path) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    places = [received(source).place(directory).name for _ in range(3)]
    assert places == ["data.csv", "2-data.csv", "3-data.csv"]


def test_saving_replaces_a_file_and_goes_into_a_directory(source: Path, tmp_path: Path) -> None:
    for file in (File(source), received(source)):
        target = tmp_path / "copy.csv"
        target.write_text("old")
        assert file.save(target) == target
        assert target.read_bytes() == source.read_bytes()
        (tmp_path / "folder").mkdir(exist_ok=True)
        assert file.save(tmp_path / "folder") == tmp_path / "folder" / "data.csv"
    assert sorted(os.listdir(tmp_path)) == ["copy.csv", "data.csv", "folder"]


def test_a_directory_is_saved_whole(tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "a").write_text("A")
    for number, file in enumerate((File(tmp_path / "tree"), received(tmp_path / "tree"))):
        assert file.is_directory
        saved = file.save(tmp_path / f"copy{number}")
        assert (saved / "deep" / "a").read_text() == "A"
        with pytest.raises(IsADirectoryError, match="look into its path"):
            file.open()


def test_nothing_half_saved_is_left(source: Path, tmp_path: Path) -> None:
    file = received(source)
    (tmp_path / "full" / "target").mkdir(parents=True)
    (tmp_path / "full" / "target" / "data.csv").mkdir()
    (tmp_path / "full" / "target" / "data.csv" / "x").touch()
    with pytest.raises(IsADirectoryError):
        file.save(tmp_path / "full" / "target")
    assert os.listdir(tmp_path / "full" / "target") == ["data.csv"]


def test_a_path_where_nothing_is_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        File(tmp_path / "absent")


def test_one_that_has_gone_since_is_told(source: Path) -> None:
    file = File(source)
    source.unlink()
    with pytest.raises(ValueEncodeError, match="No such file"):
        encode(file)


def test_inside_another_value_it_does_not_travel(source: Path) -> None:
    with pytest.raises(ValueEncodeError, match="not inside another value"):
        encode([1, File(source)])

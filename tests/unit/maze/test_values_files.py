"""Bodies of files and directories: there and back, and nothing outside of where they are unpacked."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

from maze._values.errors import ValueDecodeError
from maze._values.files import HEADER_BYTES, Header, pieces_of, read_header, stream_of, unpack


def there_and_back(source: Path, target: Path) -> Header:
    body = b"".join(pieces_of(source))
    header = read_header(body)
    unpack(stream_of(body, header.length), header, target)
    return header


@pytest.mark.parametrize("size", [0, 1, 70_000, (1 << 20) + 1])
def test_a_file_keeps_bytes_name_and_permissions(tmp_path: Path, size: int) -> None:
    source = tmp_path / "däta.bin"
    source.write_bytes(os.urandom(size))
    source.chmod(0o750)
    header = there_and_back(source, tmp_path / "copy")
    assert header[:3] == ("däta.bin", 0o750, False)
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o750


def test_a_directory_keeps_what_is_in_it(tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "deep" / "empty").mkdir(parents=True)
    (source / "deep" / "a").write_text("A")
    (source / "run").write_text("#!/bin/sh")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("deep/a")
    header = there_and_back(source, tmp_path / "copy")
    assert (header.name, header.is_directory) == ("tree", True)
    assert sorted(str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")) == [
        "deep", "deep/a", "deep/empty", "link", "run",
    ]  # fmt: skip
    assert (tmp_path / "copy" / "link").read_text() == "A"
    assert (tmp_path / "copy" / "run").stat().st_mode & 0o777 == 0o755


def test_equal_directories_have_equal_contents(tmp_path: Path) -> None:
    for number, names in enumerate(("abc", "cba")):
        (tmp_path / str(number)).mkdir()
        for name in names:
            (tmp_path / str(number) / name).write_text(name)
            os.utime(tmp_path / str(number) / name, (1, 1))
    first, second = (b"".join(pieces_of(tmp_path / number)[1:]) for number in "01")
    assert first == second


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "inside/../../out"])
def test_nothing_of_a_directory_lands_outside_of_it(tmp_path: Path, name: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.addfile(tarfile.TarInfo(name))
    packed.seek(0)
    target = tmp_path / "a" / "target"
    target.parent.mkdir()
    before = Path("/tmp/out").exists()
    with suppress(ValueDecodeError):
        unpack(packed, Header("d", 0o700, True, 0), target)
    assert [path for path in tmp_path.rglob("out") if target not in path.parents] == []
    assert Path("/tmp/out").exists() == before


@pytest.mark.parametrize("goal", ["/etc/passwd", "../../secret"])
def test_nothing_of_a_directory_links_to_the_outside(tmp_path: Path, goal: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, goal
        file.addfile(link)
    packed.seek(0)
    with pytest.raises(ValueDecodeError, match="cannot be unpacked"):
        unpack(packed, Header("d", 0o700, True, 0), tmp_path / "target")
    assert not (tmp_path / "target" / "link").is_symlink()


def test_a_device_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        device = tarfile.TarInfo("null")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
        file.addfile(device)
    packed.seek(0)
    with pytest.raises(ValueDecodeError):
        unpack(packed, Header("d", 0o700, True, 0), tmp_path / "target")


@pytest.mark.parametrize(
    "body",
    [b"", b"MZF1", b"nonsense" * 10, b"MZF1\0\0\0\0\0\0\4a/b", b"MZF1\0\0\0\0\0\0\2..", b"MZF1\0\0\0\0\0\0\0",
     b"MZF1\0\0\0\0\0\0\2\xff\xff", b"MZF1\0\0\0\0\0\xff\xffa"],
)  # fmt: skip
def test_what_is_no_file_is_told(body: bytes) -> None:
    with pytest.raises(ValueDecodeError, match="it is no file"):
        read_header(body)


def test_the_longest_name_fits_the_header(tmp_path: Path) -> None:
    source = tmp_path / ("x" * 255)
    source.write_bytes(b"")
    (head,) = pieces_of(source)
    assert len(head) == HEADER_BYTES
    assert read_header(head).name == source.name


def test_a_large_file_and_a_large_directory_are_never_in_memory(tmp_path: Path) -> None:
    """Two hundred times 64 KiB here and there; the memory that is taken must not follow."""
    (tmp_path / "tree").mkdir()
    for number in range(200):
        (tmp_path / "tree" / str(number)).write_bytes(bytes([number]) * 65_536)
    (tmp_path / "file").write_bytes(b"x" * (200 * 65_536))
    tracemalloc.start()
    for name in ("tree", "file"):
        head, content = pieces_of(tmp_path / name)
        header = read_header(head)
        unpack(stream_of(content, 0), header, tmp_path / f"{name}-copy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert (tmp_path / "tree-copy" / "199").read_bytes() == b"\xc7" * 65_536

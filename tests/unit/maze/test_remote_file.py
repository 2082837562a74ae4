"""A file that is still at the head: asked for when it is wanted, and its content once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from maze import File, _remote_file
from maze._fetch import Place, Sink
from maze._remote_file import AtHead
from maze._values import encode

PLACE = Place("http://127.0.0.1:1", "run", "task", "key")


class Head:
    """Gives what it has, in pieces."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked: list[range] = []

    async def fetch(self, place: Place, sink: Sink, span: range) -> None:
        assert place == PLACE
        self.asked.append(span)
        found = self.body[span.start : span.stop]
        await sink.begin(len(found))
        for start in range(0, len(found), 300_000):
            await sink.write(found[start : start + 300_000])


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Head:
    (tmp_path / "data.bin").write_bytes(random.Random(1).randbytes(1_000_000))
    head = Head(encode(File(tmp_path / "data.bin"))[1])
    monkeypatch.setattr(_remote_file, "fetch", head.fetch)
    return head


def test_only_what_is_wanted_is_fetched_and_once(head: Head, tmp_path: Path) -> None:
    file = File.of(AtHead(PLACE, len(head.body)))
    assert head.asked == []
    assert (file.name, file.size, file.is_directory) == ("data.bin", 1_000_000, False)
    assert len(head.asked) == 1
    content = (tmp_path / "data.bin").read_bytes()
    with file.open() as first, file.open() as second:
        assert (first.read(10), second.read()) == (content[:10], content)
    assert file.save(tmp_path / "copy").read_bytes() == content
    assert len(head.asked) == 2


def test_progress_is_told_while_it_comes(head: Head, tmp_path: Path) -> None:
    file, told = File.of(AtHead(PLACE, len(head.body))), list[Any]()
    with file.watched(told.append):
        file.save(tmp_path / "copy")
    assert told == [300_000, 600_000, 900_000, 1_000_000]

"""How the body of a file begins."""

from __future__ import annotations

import pytest

from maze_protocol.files import HEADER_BYTES, Header, pack_header, parse_header


@pytest.mark.parametrize("name", ["a", "dät a.csv", "x" * 255])
def test_there_and_back(name: str) -> None:
    packed = pack_header(name, 0o100755, True)
    assert len(packed) <= HEADER_BYTES
    assert parse_header(packed + b"content") == Header(name, 0o755, True, len(packed))


def test_the_layout_stays() -> None:
    assert pack_header("a", 0o644, False) == b"MZF1\0\0\x01\xa4\0\0\x01a"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0", "x" * 256])
def test_names_that_are_paths_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="it is no file"):
        parse_header(pack_header(name, 0, False))


@pytest.mark.parametrize(
    "body", [b"", b"MZF1", b"MZF2" + pack_header("a", 0, False)[4:], pack_header("ab", 0, False)[:-1]]
)
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="it is no file"):
        parse_header(body)

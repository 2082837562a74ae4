"""Which head a client talks to."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from maze._address import DEFAULT_URL, resolve
from maze._daemon.connection import ConnectionInfo, write_connection
from maze._sync import MaClient
from maze.errors import AddressError


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests."""
    monkeypatch.delenv("MAZE_URL", raising=False)
    monkeypatch.setenv("MAZE_CONNECTION_FILE", str(tmp_path / "connection.json"))


def test_the_signature_shows_the_documented_default() -> None:
    default = inspect.signature(MaClient).parameters["server_url"].default
    assert default == "http://localhost:8000"
    assert repr(default) == repr("http://localhost:8000")


def test_an_omitted_url_is_the_variable_then_the_connection_file_then_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert resolve(DEFAULT_URL) == "http://localhost:8000"
    info = ConnectionInfo("http://127.0.0.1:1234", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3", 1)
    write_connection(tmp_path / "connection.json", info)
    assert resolve(DEFAULT_URL) == "http://127.0.0.1:1234"
    monkeypatch.setenv("MAZE_URL", "http://head:9000/")
    assert resolve(DEFAULT_URL) == "http://head:9000"


def test_an_explicit_url_is_used_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAZE_URL", "http://head:9000")
    assert MaClient("http://localhost:8000").server_url == "http://localhost:8000"
    assert MaClient("https://10.0.0.1:8000/").server_url == "https://10.0.0.1:8000"


@pytest.mark.parametrize(
    "url", ["localhost:8000", "10.0.0.1:8000", "ftp://head:8000", "http://", "http://h:x", "http://["]
)
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(AddressError, match="did you mean 'http://"):
        resolve(url)


def test_what_is_no_text_is_told() -> None:
    with pytest.raises(ValueError, match="NoneType"):
        resolve(None)  # type: ignore[arg-type]  # what a user might pass

"""Both formats of the process log, and who is heard at which level."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest

from maze._daemon.logging import setup_logging


@pytest.fixture(autouse=True)
def untouched_logging():
    """Give the test run its own handlers back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("maze", "maze_head", "maze_node", "maze_protocol"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def lines(fmt: str, level: str = "info") -> tuple[io.StringIO, logging.Logger]:
    stream = io.StringIO()
    setup_logging(level, fmt, stream)
    return stream, logging.getLogger("maze_head.driver")


def test_text():
    stream, log = lines("text")
    log.info("run %s", "sealed", extra={"run_id": "run_1", "tasks": 5})
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO  maze_head\.driver: run sealed run_id=run_1 tasks=5\n"
    assert re.fullmatch(pattern, stream.getvalue())


def test_json():
    stream, log = lines("json")
    log.warning("late", extra={"node_id": "node_1", "odd": {1, 2}, "level": "mine"})
    body = json.loads(stream.getvalue())
    assert body.pop("time").endswith("Z")
    assert body.pop("odd") == str({1, 2})
    assert body == {"level": "warning", "logger": "maze_head.driver", "message": "late", "node_id": "node_1"}


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_tracebacks_are_kept(fmt):
    stream, log = lines(fmt)
    try:
        raise ValueError("bad thing")
    except ValueError:
        log.exception("failed", stack_info=True)
    assert "ValueError: bad thing" in stream.getvalue()
    assert "Stack (most recent call last)" in stream.getvalue()
    if fmt == "json":
        assert len(stream.getvalue().splitlines()) == 1


def test_ours_at_the_level_asked_for_and_libraries_from_warnings_on():
    stream, log = lines("text", "debug")
    log.debug("ours")
    logging.getLogger("aiohttp").info("theirs")
    logging.getLogger("aiohttp").warning("their warning")
    text = stream.getvalue()
    assert "ours" in text
    assert "their warning" in text
    assert "theirs" not in text


def test_setting_up_again_replaces_the_handler():
    first, log = lines("text")
    second, _ = lines("text")
    log.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_a_file_is_rotated(tmp_path, monkeypatch):
    import maze._daemon.logging as ours

    monkeypatch.setattr(ours, "_ROTATE_BYTES", 200)
    setup_logging("info", "text", file=tmp_path / "logs" / "head.log")
    for number in range(40):
        logging.getLogger("maze").info("line %d", number)
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["head.log", *(f"head.log.{n}" for n in range(1, 6))]

"""Journals of every released schema are read by this version, to the same knowledge."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest

from maze_head.schema import MIGRATIONS

GOLDEN = Path(__file__).parents[2] / "golden"
VERSIONS = range(1, len(MIGRATIONS) + 1)


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_journal", GOLDEN / "make_journal.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_a_released_schema_replays_to_the_same_state(
    version: int, maker: ModuleType, tmp_path: Path
) -> None:
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.executescript((GOLDEN / "journal" / f"{version}.sql").read_text())
    connection.close()
    assert maker.knowledge(tmp_path) == json.loads((GOLDEN / "journal" / f"{version}.json").read_text())
    connection = sqlite3.connect(tmp_path / "journal.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_the_newest_file_is_what_this_version_writes(maker: ModuleType, tmp_path: Path) -> None:
    maker.write_history(tmp_path)
    made = maker.knowledge(tmp_path)
    assert made == json.loads((GOLDEN / "journal" / f"{len(MIGRATIONS)}.json").read_text())

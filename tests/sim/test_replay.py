"""The journal is the truth: any prefix of it gives one state, and reading it once more changes nothing (I19)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from maze_head.journal import Row
from sim.disk import Disk, SimJournal
from sim.replay import image, read, recover, story
from sim.world import World

GOLDEN = Path(__file__).parents[1] / "golden" / "history"
SEEDS = range(30)


def rows_of(seed: int) -> list[Row]:
    """Return the journal that the world of a seed leaves."""
    found: list[Row] = []

    def look(world: World) -> None:
        assert world.head is not None
        found.extend(world.head.journal.load(sparing=False))

    report = World(seed).run(look)
    assert report.ok, report.problem
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_every_prefix_can_be_recovered_from_and_read_twice(seed: int) -> None:
    rows = rows_of(seed)
    random = Random(seed)
    for length in sorted({random.randint(0, len(rows)) for _ in range(6)} | {len(rows)}):
        prefix = rows[:length]
        assert image(read(prefix)) == image(read(prefix))
        core, written = recover(prefix)
        again = read(written)
        assert image(again) == image(core), f"what recovery wrote after {length} rows does not give its state"


def load(path: Path) -> list[Row]:
    """Return the rows of a recorded journal."""
    disk = Disk("process")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(path.read_text())
        disk.connection = connection
        return list(SimJournal(disk, 1, lambda batch, done: None).load(sparing=False))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.sql")), ids=lambda path: path.stem)
def test_a_recorded_history_gives_what_it_gave_when_it_was_recorded(path: Path) -> None:
    rows = load(path)
    assert json.loads(path.with_suffix(".json").read_text()) == story(read(rows))
    core, written = recover(rows)
    assert image(read(written)) == image(core)


def test_there_are_recorded_histories() -> None:
    assert len(list(GOLDEN.glob("*.sql"))) >= 2

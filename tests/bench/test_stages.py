"""The stages of the budget are still in the code, and its steps alone go all the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from _alone import alone
from _stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
PLACES = sorted({place for stages in STAGES.values() for places in stages.values() for place in places})


@pytest.mark.parametrize("place", [place for place in PLACES if not place.startswith(("aiohttp/", "websockets/"))])
def test_what_a_stage_names_exists(place: str) -> None:
    file, _, function = place.partition(" ")
    parts = [ROOT / part for part in ("maze", "head", "node", "protocol", "bench")]
    found = [path for part in parts for path in part.rglob("*.py") if file in str(path)]
    assert found, "moved or renamed: the budget would lose it"
    name = function.split(".")[-1]
    assert any(f"def {name}(" in path.read_text() or f"class {name}" in path.read_text() for path in found) or not name


def test_the_steps_alone_take_every_task_to_its_end() -> None:
    found = alone(batch=8, tasks=40)
    assert set(found) >= {"submit parse", "admit", "decide", "encode", "result", "journal", "event", "worker"}
    assert found["together"] == pytest.approx(sum(found.values()) - found["together"], abs=0.1)

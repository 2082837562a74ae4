"""What `--order` finds, and what it says of what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_head.core.critical import CriticalPath
from maze_head.core.discipline import Fcfs
from maze_head.core.hacs import Hacs
from maze_head.core.observed import Observed
from maze_head.errors import Misconfigured
from maze_head.orders import BUILT_IN, find_order

MODULE = """
from maze_head.core.discipline import Fcfs

class LastFirst(Fcfs):
    name = "last"

    def rank(self, run, task, since):
        return -since

class Empty:
    name = "empty"

    def __init__(self, observed):
        pass

class Broken(Fcfs):
    def __init__(self, observed):
        raise RuntimeError("no luck")

number = 7
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_orders.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("raise KeyError('half')")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_three_of_the_core_are_found_by_name() -> None:
    assert [find_order(name) for name in ("fcfs", "hacs", "critical")] == [Fcfs, Hacs, CriticalPath]
    assert [make(Observed()).name for make in BUILT_IN.values()] == list(BUILT_IN)


def test_a_class_of_ones_own_is_found_by_module_and_name() -> None:
    made = find_order("my_orders:LastFirst")(Observed())
    assert made.name == "last"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lifo", "lifo is none of fcfs, hacs, critical; or give a class of yours as package.module:Class"),
        (":Class", "is none of"),
        ("my_orders:", "is none of"),
        ("not_there:Class", "ModuleNotFoundError.* PYTHONPATH"),
        ("my_broken:Class", "KeyError: 'half'"),
        ("my_orders:Nothing", "AttributeError"),
        ("my_orders:number", "cannot be made: TypeError"),
        ("my_orders:Broken", "cannot be made: RuntimeError: no luck"),
        ("my_orders:Empty", "is no discipline: it has no lane, rank, finished, closed, moved, generation"),
    ],
)
def test_what_is_wrong_is_told_before_the_head_starts(name: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        find_order(name)

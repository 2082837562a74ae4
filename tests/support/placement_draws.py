"""What random histories of placement are made of: capacities, labels, and tasks of a few kinds.

Few kinds and few amounts in one history, or tasks would seldom meet others of their shape, and nodes seldom be full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from maze_protocol.http import CodeBody
from maze_protocol.resources import Capacity, Device

__all__ = ["CODES", "WHOLE", "Kind", "Task", "capacities", "kinds", "labels", "tasks"]

WHOLE = Capacity(64_000, 64_000, tuple(Device(index, 24_000) for index in range(4)), 64)
"""Of a node on which everything fits."""


def _code(kind: str, minor: int) -> CodeBody:
    source = f"a {kind} for 3.{minor}".encode()
    return CodeBody(hashlib.blake2b(source, digest_size=16).hexdigest(), kind, (3, minor), source, "f")


CODES = {(3, 11): _code("pickle", 11), (3, 12): _code("pickle", 12), None: _code("source", 11)}

small_capacities = st.builds(
    lambda cpu, mem, devices, workers: Capacity(
        cpu, mem, tuple(Device(index, memory) for index, memory in devices.items()), workers
    ),
    st.sampled_from((1000, 1500, 2000, 4000)),
    st.sampled_from((0, 500, 1000, 2000)),
    st.dictionaries(st.integers(0, 3), st.sampled_from((0, 8000, 16000, 24000)), max_size=3),
    st.sampled_from((1, 2, 3, 8)),
)
capacities = st.one_of(*[small_capacities] * 4, st.just(WHOLE))
requests = st.fixed_dictionaries(
    {
        "cpu": st.sampled_from((0.25, 0.5, 1, 1, 1.5, 2)),
        "cpu_mem": st.sampled_from((0, 0, 0, 100, 400, 1000)),
    }
).flatmap(lambda amounts: st.sampled_from(GPU_PARTS).map(lambda part: amounts | part))
GPU_PARTS: tuple[dict[str, float], ...] = (
    {},
    {},
    {},
    {"gpu": 0.25},
    {"gpu": 0.5},
    {"gpu": 0.7},
    {"gpu": 0.5, "gpu_mem": 6000},
    {"gpu_mem": 4000},
    {"gpu_mem": 8000},
    {"gpu_mem": 12000},
    {"gpu": 1},
    {"gpu": 1, "gpu_mem": 16000},
    {"gpu": 2},
    {"gpu": 2, "gpu_mem": 8000},
)


class Kind(NamedTuple):
    """What tasks of one kind ask for."""

    resources: dict[str, float]
    python: tuple[int, int] | None = None
    require: dict[str, str] = {}
    apart: str = ""
    nodes: int = 1
    limits: dict[str, int] = {}
    seconds: float = 0.0


class Task(NamedTuple):
    """A task of a run."""

    kind: Kind
    before: Sequence[int] = ()
    follows: bool = False
    """It runs on the node of the task before it."""


kinds = st.builds(
    Kind,
    requests,
    st.sampled_from((None, None, (3, 11), (3, 12))),
    st.sampled_from(({}, {}, {}, {"disk": ""}, {"disk": "ssd"}, {"disk": "hdd"})),
    st.sampled_from(("", "", "", "replica")),
    st.sampled_from((1, 1, 1, 1, 2, 3)),
    st.sampled_from(({}, {}, {}, {"api": 1}, {"api": 2}, {"api": 1, "db": 1})),
    st.sampled_from((0.0, 0.0, 20.0)),
).map(lambda kind: kind._replace(apart="") if kind.nodes > 1 else kind)
labels = st.sampled_from(({}, {"disk": "ssd"}, {"disk": "hdd"}, {"disk": "ssd", "zone": "a"}))


@st.composite
def tasks(draw: st.DrawFn) -> list[tuple[int, list[int], bool]]:
    """Draw the tasks of a run: the number of its kind, the tasks before it, and whether it runs where those ran."""
    made = []
    for number in range(draw(st.integers(1, 7))):
        before = draw(st.sets(st.integers(0, number - 1), max_size=1)) if number else set()
        made.append((draw(st.integers(0, 11)), sorted(before), bool(before) and draw(st.booleans())))
    return made

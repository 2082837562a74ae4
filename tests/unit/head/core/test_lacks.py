"""What a node lacks, in numbers and in words."""

from __future__ import annotations

import pytest

from maze_head.core.graph import Shape
from maze_head.core.lacks import Lack, lacks, lacks_now, least, lists
from maze_head.core.nodes import Node
from maze_protocol.declare import normalise_resources
from maze_protocol.resources import Capacity, Claim, DeviceClaim, Request
from maze_protocol.terms import Terms
from support.head_core import gpus, hello

NOW = 1000.0


def shape(
    *, terms: Terms | None = None, python: tuple[int, int] = (0, 0), seconds: float = 0.0, **asks: float
) -> Shape:
    return Shape(Request.of(normalise_resources(asks)), python, terms or Terms(), seconds)


def node(capacity: Capacity | None = None, serial: int = 1, **given: object) -> Node:
    return Node(hello(capacity=capacity, **given), serial, 0.0)


def texts(found: list[Lack]) -> list[str]:
    return [lack.text for lack in found]


@pytest.mark.parametrize(
    ("asks", "missing", "text"),
    [
        ({"cpu": 1}, {}, ""),
        ({"cpu": 8.5}, {"cpu": (8.5, 8.0)}, "has 8 CPUs, it asks for 8.5"),
        ({"cpu_mem": 99_999}, {"cpu_mem": (99_999, 65_536)}, "has 65536 MiB of memory, it asks for 99999"),
        ({"gpu": 3}, {"gpu": (3, 2)}, "has 2 GPUs, it asks for 3"),
        (
            {"gpu": 2, "gpu_mem": 20_000}, {"gpu_mem": (20_000, 8000)},
            "has 2 GPUs with 8000 MiB, it asks for 20000 on each",
        ),
        ({"gpu": 1, "gpu_mem": 20_000}, {}, ""),
        ({"gpu_mem": 30_000}, {"gpu_mem": (30_000, 24_000)}, "has 1 GPU with 24000 MiB, it asks for 30000 on each"),
        ({"gpu": 0.5, "gpu_mem": 24_000}, {}, ""),
    ],
)  # fmt: skip
def test_what_an_idle_node_lacks(asks: dict, missing: dict, text: str) -> None:
    found = lacks(node(gpus(24_000, 8000)), shape(**asks), NOW)
    assert (lists(found), ", ".join(texts(found))) == (missing, text)


@pytest.mark.parametrize(
    ("asks", "missing", "text"),
    [
        ({"cpu": 2}, {"cpu": (2.0, 1.0)}, "has 1 CPU free, it asks for 2"),
        ({"cpu_mem": 30_000}, {"cpu_mem": (30_000, 25_536)}, "has 25536 MiB of memory free, it asks for 30000"),
        ({"gpu": 1}, {"gpu": (1, 0)}, "has 0 GPUs free, it asks for 1"),
        ({"gpu": 0.9}, {"gpu": (0.9, 0.75)}, "has at most 0.75 of a GPU free, it asks for 0.9 of one"),
        (
            {"gpu": 0.5, "gpu_mem": 9000}, {"gpu_mem": (9000, 4000)},
            "has 1 GPU with 4000 MiB free, it asks for 9000 on each",
        ),
        ({"gpu_mem": 4000}, {}, ""),
    ],
)  # fmt: skip
def test_what_a_busy_node_lacks(asks: dict, missing: dict, text: str) -> None:
    busy = node(gpus(24_000, 8000))
    busy.ledger.take(Claim(7000, 40_000, (DeviceClaim(0, 1000, 24_000), DeviceClaim(1, 250, 4000))))
    found = lacks_now(busy, shape(**asks), NOW)
    assert (lists(found), ", ".join(texts(found))) == (missing, text)


def test_a_node_without_devices_has_no_share_of_one() -> None:
    found = lacks(node(), shape(gpu_mem=10), NOW)
    assert (lists(found), texts(found)) == ({"gpu": (1.0, 0.0)}, ["has no GPU, it asks for a share of one"])


def test_traits_are_what_a_node_is() -> None:
    one = node(labels={"zone": "b", "disk": "ssd"})
    wanted = Terms(require=(("disk", ""), ("rack", ""), ("site", "x"), ("zone", "a")))
    found = lacks(one, shape(terms=wanted, python=(3, 9)), NOW)
    assert lists(found) == {
        "python": ("3.9", "3.11"), "label:rack": ("", ""), "label:site": ("x", ""), "label:zone": ("a", "b"),
    }  # fmt: skip
    assert texts(found) == [
        "runs Python 3.11, its code needs 3.9",
        "has no label rack, it asks for label rack",
        "has no label site, it asks for site=x",
        "has zone=b, it asks for zone=a",
    ]


def test_a_leaving_node_lacks_time() -> None:
    one = node()
    one.leaves_at = NOW + 60
    assert lacks(one, shape(seconds=60), NOW) == []
    (lack,) = lacks(one, shape(seconds=240), NOW)
    assert lack == Lack("seconds", 240.0, 60.0, "leaves in 60 s, it may take 240 s", 0.75)
    one.leaves_at = NOW - 1
    assert texts(lacks(one, shape(), NOW)) == ["is about to leave"]


def test_room_for_attempts_and_company() -> None:
    one = node(Capacity(8000, 4096, (), 1))
    one.ledger.take(Claim(1000, 0, ()))
    found = lacks_now(one, shape(terms=Terms(alone=True)), NOW)
    assert texts(found) == ["is not empty (1 running), it has to be alone", "runs as many tasks as it may (1)"]
    assert lacks(one, shape(terms=Terms(alone=True)), NOW) == []


def test_a_capacity_that_shrank_has_less_than_nothing() -> None:
    one = node(Capacity(1000, 100, (), 4))
    one.ledger.take(Claim(2000, 200, ()))
    assert lists(lacks_now(one, shape(), NOW)) == {"cpu": (1.0, -1.0), "cpu_mem": (0, -100)}


def test_the_nearest_lacks_the_smallest_part_in_all() -> None:
    wanted = shape(cpu=10, cpu_mem=1000)
    nodes = [
        node(Capacity(cpu, mem, (), 4), n) for n, (cpu, mem) in enumerate([(2000, 900), (9000, 500), (5000, 1000)])
    ]
    assert least((one, lacks(one, wanted, NOW)) for one in nodes)[0] is nodes[2]
    twins = [node(Capacity(5000, 0, (), 4), serial) for serial in (8, 7)]
    assert least((one, lacks(one, wanted, NOW)) for one in twins)[0] is twins[1]

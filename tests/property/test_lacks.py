"""The words for what a node lacks against the predicates of placement: something is lacking exactly if they say no."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maze_head.core.fitness import admits, could_ever, has_time, suits
from maze_head.core.graph import Shape
from maze_head.core.lacks import lacks, lacks_now
from maze_head.core.ledger import Ledger
from maze_head.core.nodes import Node
from maze_protocol.resources import Capacity, Device, Request
from maze_protocol.terms import Terms
from support.head_core import hello

CPU, MEM, DEVICE = st.integers(0, 4000), st.integers(0, 64), st.integers(0, 24)
SHARES = st.builds(Request, CPU, MEM, st.integers(1, 999), DEVICE, st.just(True))
BY_MEMORY = st.builds(Request, CPU, MEM, st.just(0), st.integers(1, 24), st.just(True))
WHOLE = st.builds(Request, CPU, MEM, st.integers(1, 3).map(lambda n: 1000 * n), DEVICE)
REQUESTS = st.one_of(st.builds(Request, CPU, MEM), SHARES, BY_MEMORY, WHOLE)
DEVICES = st.lists(DEVICE, max_size=3).map(lambda mems: tuple(Device(i, mem) for i, mem in enumerate(mems)))
CAPACITIES = st.builds(Capacity, st.integers(1, 4000), MEM, DEVICES, st.integers(1, 3))


def smaller(capacity: Capacity, by: int) -> Capacity:
    """Return a capacity that shrank, by whole devices, too."""
    return Capacity(max(1, capacity.cpu_milli - 40 * by), max(0, capacity.mem_mib - by), capacity.devices[by % 3 :], 1)


TERMS = st.builds(Terms, require=st.sampled_from([(), (("zone", ""),), (("zone", "a"),)]), alone=st.booleans())
LABELS = st.sampled_from([{}, {"zone": "a"}, {"zone": "b"}])
PYTHONS = st.sampled_from([(0, 0), (3, 11), (3, 12)])
NOW = 100.0


@given(
    capacity=CAPACITIES, labels=LABELS, held=st.lists(REQUESTS, max_size=4), shrunk=st.integers(0, 64),
    leaves_at=st.sampled_from([None, 99.0, 110.0, 200.0]), solo=st.booleans(),
    shape=st.builds(Shape, REQUESTS, PYTHONS, TERMS, st.sampled_from([0.0, 20.0]), st.booleans()),
    sandbox=st.sampled_from(["", "process sandbox"]),
)  # fmt: skip
def test_something_lacks_exactly_if_the_predicates_say_no(
    capacity: Capacity, labels: dict[str, str], held: list[Request], shrunk: int, leaves_at: float | None,
    solo: bool, shape: Shape, sandbox: str,
) -> None:  # fmt: skip
    node = Node(hello(capacity=capacity, labels=labels, sandbox=sandbox), 1, 0.0)
    node.link, node.leaves_at, node.solo = b"L1", leaves_at, int(solo)
    claims = [claim for each in held if (claim := node.ledger.claim(each)) is not None]
    if shrunk:
        node.ledger = Ledger(smaller(capacity, shrunk))
        for claim in claims:
            node.ledger.take(claim)
    ever, now = lacks(node, shape, NOW), lacks_now(node, shape, NOW)
    assert bool(ever) != (could_ever(node, shape) and has_time(node, shape.seconds, NOW))
    assert bool(now) != (suits(node, shape) and admits(node, shape, NOW))
    assert all(0 <= lack.weight <= 1 for lack in [*ever, *now])

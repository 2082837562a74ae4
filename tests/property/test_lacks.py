"""The words for what a node lacks against the predicates of placement: something is lacking exactly if they say no."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maze_head.core.graph import Shape
from maze_head.core.lacks import lacks, lacks_now
from maze_head.core.ledger import Ledger
from maze_head.core.nodes import Node
from maze_protocol.resources import Capacity, Device, Request
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


@given(CAPACITIES, st.lists(REQUESTS, max_size=4), REQUESTS, st.integers(0, 64))
def test_something_lacks_exactly_if_it_does_not_fit(
    capacity: Capacity, held: list[Request], request: Request, shrunk: int
) -> None:
    node = Node(hello(capacity=capacity), 1, 0.0)
    claims = [claim for each in held if (claim := node.ledger.claim(each)) is not None]
    if shrunk:
        node.ledger = Ledger(smaller(capacity, shrunk))
        for claim in claims:
            node.ledger.take(claim)
    shape = Shape(request, (0, 0))
    assert bool(lacks(node, shape, 0.0)) != node.ledger.could_fit(request)
    assert bool(lacks_now(node, shape, 0.0)) != node.ledger.fits(request)
    assert all(0 <= lack.weight <= 1 for lack in [*lacks(node, shape, 0.0), *lacks_now(node, shape, 0.0)])

"""Which node is best, and that a heap kept from pass to pass says the same as looking at all nodes."""

from __future__ import annotations

import random

import msgspec
import pytest

from maze_head.core.candidates import Candidates, Rooms
from maze_head.core.fitness import admits, suits
from maze_head.core.graph import Shape
from maze_head.core.nodes import Node
from maze_head.core.ready import Place
from maze_protocol.resources import Capacity, Claim, Device, Request
from maze_protocol.terms import NO_TERMS
from support.head_core import gpus, hello


def node(serial: int, capacity: Capacity, **labels: str) -> Node:
    """Return a member with a link."""
    made = Node(msgspec.structs.replace(hello(f"n{serial}", capacity=capacity), labels=labels), serial, 0.0)
    made.link = f"L{serial}".encode()
    return made


def rooms(*nodes: Node) -> Rooms:
    made = Rooms()
    for each in nodes:
        made.nodes[each.id] = each
        made.gain(each)
    return made


def best(candidates: Candidates) -> str | None:
    candidates.refresh(0.0)
    top = candidates.top(0.0)
    return None if top is None else top.id


def shape(request: Request | None = None, **terms: object) -> Shape:
    return Shape(request or Request(), (0, 0), NO_TERMS._replace(**terms))


CPU = Capacity(8000, 16000, (), 64)


def test_preferred_labels_win_over_load_and_required_ones_rule_out() -> None:
    plain, ssd = node(1, CPU), node(2, CPU, disk="ssd")
    ssd.ledger.claim(Request(4000))
    made = rooms(plain, ssd)
    assert best(made.candidates(shape())) == "n1"
    assert best(made.candidates(shape(prefer=(("disk", "ssd"),)))) == "n2"
    assert best(made.candidates(shape(require=(("disk", ""),)))) == "n2"
    assert best(made.candidates(shape(require=(("disk", "nvme"),)))) is None


def test_small_work_goes_where_a_large_request_would_not_fit_anyway() -> None:
    idle, used = node(1, CPU), node(2, CPU)
    used.ledger.claim(Request(3000))
    made = rooms(idle, used)
    small = made.candidates(shape(Request(1000)))
    assert best(small) == "n1"  # nobody needs a whole node: the least loaded
    made.follow([Place(shape(Request(1000))), Place(shape(Request(8000)))])
    assert best(small) == "n2"


def test_equal_questions_are_the_same_object_for_ledgers_keep_their_answers() -> None:
    made = rooms(node(1, CPU))
    made.follow([Place(shape(Request(1000))), Place(shape(Request(8000)))])
    before = made.large
    made.follow([Place(shape(Request(1000))), Place(shape(Request(8000))), Place(shape(Request(2000)))])
    assert made.large is before
    made.follow([Place(shape(Request(1000))), Place(shape(Request(9000)))])
    assert made.large is not before


def test_shares_of_gpus_leave_whole_ones_to_who_needs_them() -> None:
    idle, used = node(1, gpus(8000, 8000)), node(2, gpus(8000, 8000, cpu=8000))
    used.ledger.claim(Request(1000, 0, 0, 1000, gpu_share=True))
    used.ledger.claim(Request(2000))
    made = rooms(idle, used)
    share, pair = Request(1000, 0, 0, 1000, gpu_share=True), Request(1000, 0, 2000, 0)
    candidates = made.candidates(shape(share))
    assert best(candidates) == "n1"
    made.follow([Place(shape(share)), Place(shape(pair))])
    assert best(candidates) == "n2"


def test_a_node_that_stops_taking_work_is_passed_over_and_found_again() -> None:
    one, two = node(1, CPU), node(2, CPU)
    made = rooms(one, two)
    candidates = made.candidates(shape())
    one.draining = True
    assert best(candidates) == "n2"
    one.draining = False
    made.gain(one)
    assert best(candidates) == "n1"


def test_the_log_is_cut_and_whoever_missed_something_looks_at_all() -> None:
    nodes = [node(serial, CPU) for serial in range(1, 4)]
    made = rooms(*nodes)
    late, first = made.candidates(shape(Request(2000))), made.candidates(shape())
    assert best(first) == "n1"
    for _ in range(3000):
        made.gain(nodes[1])
    assert len(made._log) < 1100
    assert best(late) == "n1"
    nodes[0].ledger.claim(Request(8000))
    assert best(late) == "n2"
    assert not late.idle() or late.heap


@pytest.mark.parametrize("seed", range(30))
def test_a_kept_heap_says_what_looking_at_all_nodes_says(seed: int) -> None:
    """The oracle ranks all nodes anew, by the rule's words, after each of many random changes."""
    dice = random.Random(seed)
    nodes = [
        node(serial, dice.choice((CPU, Capacity(4000, 4000, (), 4), gpus(8000), gpus(4000, 8000))))
        for serial in range(6)
    ]
    made = rooms(*nodes)
    requests = [
        Request(1000),
        Request(2000, 3000),
        Request(4000),
        Request(1000, 0, 0, 3000, True),
        Request(500, 0, 1000),
    ]
    shapes = [shape(request) for request in requests]
    made.follow(Place(each) for each in shapes)
    held: list[tuple[Node, Claim]] = []
    for _ in range(150):
        if held and dice.random() < 0.45:
            where, claim = held.pop(dice.randrange(len(held)))
            where.ledger.give_back(claim)
            made.gain(where)
        else:
            wanted = dice.choice(shapes)
            candidates = made.candidates(wanted)
            candidates.refresh(0.0)
            top = candidates.top(0.0)
            fitting = [each for each in nodes if suits(each, wanted) and admits(each, wanted, 0.0)]
            assert (top is None) == (not fitting)
            if top is not None:
                taken = top.ledger.claim(wanted.request)
                assert taken is not None
                held.append((top, taken))
        if dice.random() < 0.1:
            for each in nodes:  # with nothing stale, the heap gives the very best
                made.gain(each)
            wanted = dice.choice(shapes)
            candidates = made.candidates(wanted)
            candidates.refresh(0.0)
            top = candidates.top(0.0)
            ranked = [_rank(each, wanted, made) for each in nodes if suits(each, wanted) and admits(each, wanted, 0.0)]
            assert (None if top is None else _rank(top, wanted, made)) == min(ranked, default=None)


def _rank(each: Node, wanted: Shape, made: Rooms) -> tuple[bool, int, int, int, int]:
    before = [request for request in made.large if each.ledger.fits(request)]
    beside = each.ledger.copy()
    beside.claim(wanted.request)
    lost = sum(not beside.fits(request) for request in before if request != wanted.request)
    spare = bool(each.ledger.devices) and not wanted.request.wants_gpu
    return spare, lost, each.ledger.load, each.ledger.attempts, each.serial


def test_heaps_of_shapes_that_nobody_has_are_let_go_of_in_the_end() -> None:
    made = rooms(node(1, CPU))
    for cpu in range(1, 1100):
        made.candidates(shape(Request(cpu)))
    made.follow([Place(shape(Request(1)))])
    assert len(made._candidates) <= 1024
    assert made.candidates(shape(Request(1))) is made.candidates(shape(Request(1)))


def test_devices_of_unknown_memory_are_no_reason_to_fail() -> None:
    made = rooms(node(1, Capacity(4000, 0, (Device(0, 0),), 4)))
    assert best(made.candidates(shape(Request(1000, 0, 1000)))) == "n1"


def test_a_node_that_lost_room_and_got_it_back_is_met_once() -> None:
    """Else an attempt that takes two nodes would get this one twice."""
    only = node(1, CPU)
    made = rooms(only)
    candidates = made.candidates(shape(nodes=2))
    assert best(candidates) == "n1"
    claim = only.ledger.claim(Request(1000))
    assert claim is not None
    made.gain(only)
    candidates.refresh(0.0)
    only.ledger.give_back(claim)
    made.gain(only)
    assert best(candidates) == "n1"
    entry = candidates.take_top()
    assert candidates.top(0.0) is None
    candidates.put_back(entry)
    assert best(candidates) == "n1"

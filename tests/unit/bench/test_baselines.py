"""What the core is compared with: room in integers, two simple schedulers, and bounds that are bounds."""

from __future__ import annotations

import pytest
from _baselines import Attempt, FirstFit, HeadOfLine, Room, bounds
from _core import capacity
from _workloads import App, Function, Job, Step

from maze_protocol.declare import normalise_resources
from maze_protocol.resources import Claim, DeviceClaim, Request

SMALL, LARGE = Request(1000), Request(4000)


def function(**resources):
    return Function("f", "cpu", resources, Request.of(normalise_resources(resources)), lambda random: 1.0)


def job(arrives, seconds, sources=((),), **resources):
    steps = tuple(Step(function(**resources), tuple(places)) for places in sources)
    return Job(arrives, App("a", steps, ()), tuple(seconds), "p0")


def starts(policy):
    return [(one.job, one.node) for one in policy.place()]


def test_room_shares_a_device_until_memory_or_thousandths_are_gone():
    room = Room(capacity(8, 8, 1, 10))
    for _ in range(2):
        room.take(room.choose(Request(1000, 0, 400, 4000, gpu_share=True)))
    assert room.choose(Request(1000, 0, 400, 1, gpu_share=True)) is None
    assert room.choose(Request(1000, 0, 0, 3000, gpu_share=True)) is None
    assert room.choose(Request(1000, 0, 100, 2000, gpu_share=True)) is not None
    assert room.choose(Request(1000, 0, 1000)) is None


def test_room_gives_whole_devices_that_nobody_touched():
    room = Room(capacity(8, 8, 3, 10))
    room.take(room.choose(Request(1000, 0, 100, gpu_share=True)))
    claim = room.choose(Request(1000, 0, 2000, 5000))
    assert claim.devices == (DeviceClaim(1, 1000, 10_240), DeviceClaim(2, 1000, 10_240))
    assert room.choose(Request(1000, 0, 3000)) is None


def test_room_takes_back_what_it_gave_and_tells_when_it_gave_too_much():
    room = Room(capacity(2, 8, 1, 10))
    claim = Claim(2000, 0, (DeviceClaim(0, 1000, 10_240),))
    room.take(claim)
    assert not room.overdrawn
    room.take(claim)
    assert room.overdrawn
    room.take(claim, -1)
    room.take(claim, -1)
    assert room.choose(Request(2000, 0, 1000)) is not None


def test_head_of_line_holds_up_everybody_behind_one_that_does_not_fit():
    policy = HeadOfLine([capacity(4, 8)])
    for number, request in enumerate((SMALL, LARGE, SMALL)):
        policy.ready(number, 0, request)
    assert starts(policy) == [(0, 0)]
    policy.finish([Attempt(0, 0, 0, Claim(1000, 0))], [1.0])
    assert starts(policy) == [(1, 0)]


def test_first_fit_lets_others_pass_and_keeps_the_order_of_those_that_fit():
    policy = FirstFit([capacity(4, 8), capacity(4, 8)])
    policy.ready(0, 0, SMALL)
    policy.ready(1, 0, LARGE)
    policy.ready(2, 0, LARGE)
    policy.ready(3, 0, SMALL)
    assert starts(policy) == [(0, 0), (1, 1), (3, 0)]
    policy.finish([Attempt(1, 0, 1, Claim(4000, 0))], [1.0])
    assert starts(policy) == [(2, 1)]


def test_the_bound_of_a_chain_is_its_length():
    chain = job(5.0, (1.0, 2.0, 3.0), ((), (0,), (1,)), cpu=1)
    least = bounds([chain], [capacity(64, 8)])
    assert least["mean_jct_s"] == 6.0
    assert least["makespan_s"] == 11.0


def test_the_bound_by_area_is_the_shortest_first():
    """One CPU, jobs of 3 s and 1 s at once: 1 and 4 s."""
    least = bounds([job(0.0, (3.0,), cpu=1), job(0.0, (1.0,), cpu=1)], [capacity(1, 8)])
    assert least["mean_jct_by_area_s"] == pytest.approx(2.5)
    assert least["makespan_s"] == pytest.approx(4.0)


def test_the_bound_by_area_lets_a_shorter_one_pass():
    """A job of 10 s is interrupted at 2 s by one of 1 s: 11 and 1 s."""
    least = bounds([job(0.0, (10.0,), cpu=1), job(2.0, (1.0,), cpu=1)], [capacity(1, 8)])
    assert least["mean_jct_by_area_s"] == pytest.approx(6.0)

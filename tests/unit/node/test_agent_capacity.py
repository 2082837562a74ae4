"""The agent's capacity changes under it, and it leaves by itself."""

from __future__ import annotations

from typing import Any

from maze_node.core.agent import NO_ROOM
from maze_node.core.effects import Leave, Note, Start
from maze_node.core.events import DrainAsked, LinkLost, Surveyed, WorkerExited
from maze_node.core.offer import RISE, SILENT_TICKS, Survey, Use
from maze_node.core.stay import Stay
from maze_protocol.messages import AckItem, Drain, Goodbye, Measured, Release, ResultAck
from maze_protocol.resources import Capacity, Claim, Device, DeviceClaim
from support.node_core import CODE, Rig, make_assignment, of

MEM = 80_000
CAPACITY = Capacity(4000, 32_000, (Device(0, MEM, "GPU-a"),), 8, (("gpu", "NVML"),))
USE = Use("GPU-a", MEM, 0)
GPU = Claim(1000, 0, (DeviceClaim(0, 0, 60_000),))


def make_rig(minor: int = 2, **options: Any) -> Rig:
    rig = Rig(CAPACITY, welcome=False, uses=(USE,), **options)
    rig.agent.introduce(rig.now)
    rig.welcome(minor=minor)
    rig.said(CODE)
    rig.effects.clear()
    return rig


def survey(rig: Rig, free: int = MEM, own: int | None = 0, **changes: Any) -> list[Any]:
    """Let the machine be looked at until it is believed."""
    capacity = Capacity(**{field: getattr(CAPACITY, field) for field in CAPACITY.__struct_fields__} | changes)
    uses = (Use("GPU-a", free, own),) if capacity.devices else ()
    return [effect for _ in range(RISE) for effect in rig.do(Surveyed(Survey(capacity, uses)))]


def test_a_change_is_told_once_with_its_reason_and_logged() -> None:
    rig = make_rig()
    effects = survey(rig, free=50_000)
    (told,) = of(effects, Measured)
    assert told.capacity.devices == (Device(0, 50_000, "GPU-a"),)
    assert told.reason == "GPU 0: 50,000 MiB instead of 80,000, for others' use"
    assert of(effects, Note) == [Note(f"capacity changed: {told.reason}")]
    assert not of(survey(rig, free=50_000), Measured)
    assert of(survey(rig), Measured)[0].capacity.devices == CAPACITY.devices


def test_a_head_that_does_not_know_the_message_learns_it_by_hello() -> None:
    rig = make_rig(minor=1)
    rig.assign(make_assignment(1, claim=GPU))
    assert not of(survey(rig, free=50_000), Measured)
    rig.do(LinkLost("x"))
    assert rig.agent.introduce(rig.now)[0].devices[0].mem_mib == 50_000


def test_what_changed_between_hello_and_welcome_is_told_at_once() -> None:
    rig = make_rig()
    rig.do(LinkLost("x"))
    rig.agent.introduce(rig.now)
    assert not of(survey(rig, cpu_milli=1000), Measured)
    rig.effects.clear()
    rig.welcome(minor=2)
    assert [told.capacity.cpu_milli for told in rig.all(Measured)] == [1000]


def test_what_runs_keeps_what_it_has_and_nothing_starts_beyond() -> None:
    rig = make_rig()
    rig.assign(make_assignment(1, claim=Claim(2000, 0)), make_assignment(2, claim=Claim(2000, 0)))
    assert not of(survey(rig, cpu_milli=2000), Release)
    rig.assign(make_assignment(3, claim=Claim(1000, 0)))
    rig.report(rig.worker_of(1), 1)
    assert [start.frame.lease for start in rig.all(Start)] == [1, 2]
    rig.report(rig.worker_of(2), 2)
    assert [start.frame.lease for start in rig.all(Start)] == [1, 2, 3]


def test_what_can_never_start_here_any_more_goes_back() -> None:
    rig = make_rig()
    rig.assign(make_assignment(1, claim=GPU), make_assignment(2, claim=GPU))
    effects = survey(rig, free=0, own=30_000)
    assert of(effects, Release) == [Release((2,), NO_ROOM)]
    assert of(rig.assign(make_assignment(3, claim=GPU)), Release) == [Release((3,), NO_ROOM)], "it was on its way"
    assert not of(rig.assign(make_assignment(4, claim=Claim(1000, 0, (DeviceClaim(0, 0, 30_000),)))), Release)


def test_after_a_reunion_too_large_leases_go_back() -> None:
    rig = make_rig()
    rig.assign(make_assignment(1, claim=Claim(3000, 0)), make_assignment(2, claim=Claim(3000, 0)))
    rig.do(LinkLost("x"))
    survey(rig, cpu_milli=2000)
    rig.agent.introduce(rig.now)
    rig.effects.clear()
    rig.welcome(minor=2, keep=((1, 1), (2, 2)))
    assert rig.all(Release) == [Release((2,), NO_ROOM)]


def test_a_claim_too_large_for_a_node_that_never_changed_runs_alone() -> None:
    rig = make_rig()
    rig.assign(make_assignment(1, claim=Claim(9000, 0)))
    assert rig.worker_of(1)


def test_a_device_that_vanishes_takes_no_start_and_comes_back() -> None:
    rig = make_rig()
    (told,) = of(survey(rig, devices=(), origins=(("gpu", "NVML failed: GPU is lost"),)), Measured)
    assert (told.capacity.devices, told.reason) == ((), "GPU 0 is gone (NVML failed: GPU is lost)")
    assert of(rig.assign(make_assignment(1, claim=GPU)), Release)
    assert [told.reason for told in of(survey(rig), Measured)] == ["GPU 0 is there"]
    rig.assign(make_assignment(2, claim=GPU))
    assert rig.worker_of(2)


def test_a_driver_that_hangs_is_noticed() -> None:
    rig = make_rig()
    told: list[Measured] = []
    for _ in range(SILENT_TICKS):
        told += of(rig.tick(0.5), Measured)
    assert [each.capacity.devices for each in told] == [()]


def test_unattributed_use_is_not_measured_while_a_worker_of_ours_holds_the_device() -> None:
    rig = make_rig()
    rig.assign(make_assignment(1, claim=GPU))
    assert not of(survey(rig, free=10_000, own=None), Measured)
    rig.report(rig.worker_of(1), 1)
    assert not of(survey(rig, free=10_000, own=None), Measured), "the worker is not dead yet"
    rig.do(WorkerExited(rig.worker_of(1), exit_code=0))
    assert of(survey(rig, free=70_000, own=None), Measured)


# -- leaving


def test_a_node_with_an_end_says_so_and_drains_in_time() -> None:
    rig = make_rig(stay=Stay.of(1000.0, 3600.0, 30.0, 0.0))
    assert rig.agent.introduce(rig.now)[1] == 3594.0
    rig.assign(make_assignment(1))
    assert not of(rig.tick(3569.0), Drain)
    effects = rig.tick(1.0)
    assert of(effects, Drain) == [Drain("time limit", 24.0)]
    assert of(effects, Note) == [Note("draining: time limit")]
    assert of(rig.assign(make_assignment(2)), Release) == [Release((2,), "draining")]
    rig.report(rig.worker_of(1), 1)
    effects = rig.said(ResultAck((AckItem(1, 0),)))
    assert of(effects, Goodbye) == [Goodbye("time limit")]
    assert of(effects, Leave) == [Leave("time limit", 0)]


def test_no_drain_lasts_beyond_the_end() -> None:
    rig = make_rig(stay=Stay.of(1000.0, 100.0, 30.0, 0.0))
    rig.assign(make_assignment(1))
    rig.tick(60.0)
    assert of(rig.do(DrainAsked("SIGTERM", 300.0)), Drain) == [Drain("SIGTERM", 34.0)]


def test_an_idle_node_leaves_in_good_order() -> None:
    rig = make_rig(stay=Stay(idle_timeout=60.0))
    rig.assign(make_assignment(1))
    assert not of(rig.tick(100.0), Leave), "it runs something"
    rig.report(rig.worker_of(1), 1)
    assert not of(rig.tick(100.0), Leave), "the result is not taken yet"
    rig.said(ResultAck((AckItem(1, 0),)))
    assert not of(rig.tick(59.0), Leave)
    effects = rig.tick(1.0)
    assert of(effects, Goodbye) == [Goodbye("no work for 60 s")]
    assert of(effects, Leave) == [Leave("no work for 60 s", 0)]

"""Capacity given out, and what a claim binds a worker to."""

from __future__ import annotations

from maze_node.core.slots import Binding, Slots, bind
from maze_protocol.resources import Capacity, Claim, Device, DeviceClaim

CAPACITY = Capacity(2000, 100, (Device(0, 80), Device(3, 80, "MIG-abc")))


def test_cpu_and_memory_add_up() -> None:
    slots = Slots(CAPACITY)
    slots.take(1, Claim(1500, 60))
    assert slots.fits(1, Claim(1500, 60)), "a grant fits itself"
    assert slots.fits(2, Claim(500, 40))
    assert not slots.fits(2, Claim(501, 0))
    assert not slots.fits(2, Claim(1, 41))
    slots.free(1)
    slots.free(1)
    assert slots.fits(2, Claim(9999, 9999)), "alone, anything runs"
    assert len(slots) == 0


def test_a_device_is_shared_by_fraction_and_memory() -> None:
    slots = Slots(CAPACITY)
    slots.take(1, Claim(0, 0, (DeviceClaim(0, 400, 50),)))
    assert slots.fits(2, Claim(0, 0, (DeviceClaim(0, 600, 30),)))
    assert not slots.fits(2, Claim(0, 0, (DeviceClaim(0, 601, 0),)))
    assert not slots.fits(2, Claim(0, 0, (DeviceClaim(0, 0, 31),)))
    assert slots.fits(2, Claim(0, 0, (DeviceClaim(3, 1000, 80),)))
    assert not slots.fits(2, Claim(0, 0, (DeviceClaim(7, 1, 1),))), "a device that is not there"


def test_a_smaller_capacity_takes_nothing_away_and_lets_nothing_in() -> None:
    slots = Slots(CAPACITY)
    slots.take(1, Claim(1000, 0, (DeviceClaim(0, 500, 40),)))
    slots.capacity = Capacity(1000, 100, (Device(3, 10, "MIG-abc"),))
    assert slots.fits(1, Claim(1000, 0, (DeviceClaim(0, 500, 40),)))
    assert not slots.fits(2, Claim(1, 0))
    assert not slots.could_fit(Claim(0, 0, (DeviceClaim(0, 1, 0),))), "the device is gone"
    assert slots.could_fit(Claim(1000, 100, (DeviceClaim(3, 1000, 10),)))
    assert not slots.could_fit(Claim(0, 0, (DeviceClaim(3, 0, 11),)))
    assert [slots.holds_device(index) for index in (0, 3)] == [True, False]
    slots.free(1)
    slots.capacity = CAPACITY
    assert slots.fits(2, Claim(2000, 100, (DeviceClaim(0, 1000, 80),)))


def test_the_indices_of_a_reordered_mask_are_those_of_the_machine() -> None:
    # CUDA_VISIBLE_DEVICES=2,0 of the node: its devices keep NVML's numbers; workers count by PCI order, as NVML does.
    capacity = Capacity(1000, 0, (Device(2, 10, "GPU-c"), Device(0, 10, "GPU-a")))
    binding = bind(Claim(0, 0, (DeviceClaim(2, 1000, 10),)), 1, capacity)
    assert binding.environ["CUDA_VISIBLE_DEVICES"] == "2"
    assert binding.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_taking_twice_counts_once() -> None:
    slots = Slots(CAPACITY)
    slots.take(1, Claim(1000, 0))
    slots.take(1, Claim(1000, 0))
    assert slots.holds(1)
    assert slots.fits(2, Claim(1000, 0))


def test_a_binding_follows_devices_threads_and_grant() -> None:
    assert bind(Claim(500, 0), 7, CAPACITY) == Binding((), 1)
    assert bind(Claim(3900, 0), 7, CAPACITY) == Binding((), 3)
    claim = Claim(1000, 0, (DeviceClaim(0, 1000, 0), DeviceClaim(3, 1000, 0)))
    binding = bind(claim, 7, CAPACITY)
    assert binding == Binding(("0", "MIG-abc"), 1, 7)
    assert binding.environ == {
        "CUDA_VISIBLE_DEVICES": "0,MIG-abc",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMEXPR_NUM_THREADS": "1",
    }


FOUR = Capacity(4000, 100)


def test_whole_cpus_are_a_claims_own_and_the_lowest_come_back_first() -> None:
    slots = Slots(FOUR, (2, 3, 6, 7))
    slots.take(1, Claim(1000, 0))
    slots.take(2, Claim(2000, 0))
    assert (slots.own_cpus(1), slots.own_cpus(2), slots.shared_cpus()) == ((2,), (3, 6), (7,))
    slots.take(2, Claim(2000, 0))
    assert slots.own_cpus(2) == (3, 6), "taking twice changes nothing"
    slots.free(1)
    slots.take(3, Claim(1000, 0))
    assert slots.own_cpus(3) == (2,)


def test_fractions_share_what_is_left() -> None:
    slots = Slots(FOUR, (0, 1, 2, 3))
    for grant, milli in ((1, 500), (2, 1500), (3, 2000)):
        slots.take(grant, Claim(milli, 0))
    assert (slots.own_cpus(1), slots.own_cpus(2), slots.own_cpus(3)) == ((), (), (0, 1))
    assert slots.shared_cpus() == (2, 3)


def test_without_cpus_to_give_out_nobody_is_bound_to_any() -> None:
    slots = Slots(FOUR)
    slots.take(1, Claim(2000, 0))
    assert (slots.own_cpus(1), slots.shared_cpus()) == ((), ())


def test_who_claims_more_cpus_than_are_left_has_none_alone() -> None:
    slots = Slots(Capacity(8000, 100), (0, 1))
    slots.take(1, Claim(1000, 0))
    slots.take(2, Claim(2000, 0))
    assert (slots.own_cpus(2), slots.shared_cpus()) == ((), (1,))
    assert slots.own_cpus(3) == (), "who has taken nothing has nothing"


def test_a_worker_is_bound_to_its_cpus() -> None:
    assert bind(Claim(2000, 0), 7, FOUR, (0, 1)) == Binding((), 2, 0, (0, 1))
    assert bind(Claim(2000, 0), 7, FOUR, (0, 1)) != bind(Claim(2000, 0), 7, FOUR, (2, 3))

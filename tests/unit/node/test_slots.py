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
    }

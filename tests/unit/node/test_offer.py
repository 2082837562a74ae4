"""What is offered: measured, cautious against noise, told when it matters."""

from __future__ import annotations

import pytest

from maze_node.core.offer import RISE, SILENT_TICKS, Offer, Survey, Use
from maze_protocol.resources import Capacity, Device

TOTAL = 80_000


def survey(
    free: int = TOTAL, own: int | None = 0, *, cpu: int = 8000, mem: int = 32_000, devices: int = 2, gpu: str = "NVML"
) -> Survey:
    """Two devices, of which the readings are about the second."""
    both = (Device(0, TOTAL, "GPU-a"), Device(1, TOTAL, "GPU-b"))[:devices]
    origins = (("cpu", "quota"), ("memory", "group"), ("gpu", gpu))
    uses = (Use("GPU-a", TOTAL, 0), Use("GPU-b", free, own))[:devices]
    return Survey(Capacity(cpu, mem, both, 16, origins), uses)


def nobody(index: int) -> bool:
    return False


def ours(index: int) -> bool:
    return True


def memory(offer: Offer) -> int:
    return offer.now.devices[1].mem_mib


def test_others_use_is_subtracted_from_the_start_and_said() -> None:
    offer = Offer(survey(free=60_000, own=5_000))
    assert [device.mem_mib for device in offer.now.devices] == [80_000, 65_000]
    assert dict(offer.now.origins)["gpu 1"] == "80,000 MiB by NVML, 15,000 MiB of them in use by others"
    assert "gpu 0" not in dict(offer.now.origins)
    assert offer.told == offer.now


def test_our_own_use_is_not_others() -> None:
    offer = Offer(survey())
    for _ in range(3):
        offer.take(survey(free=20_000, own=60_000), ours)
    assert (memory(offer), offer.news()) == (TOTAL, "")


def test_a_single_reading_is_not_believed() -> None:
    offer = Offer(survey())
    for free in (10_000, TOTAL, 10_000, TOTAL):
        offer.take(survey(free), nobody)
        assert memory(offer) == TOTAL


def test_less_is_believed_at_the_second_reading_and_the_nearer_one() -> None:
    offer = Offer(survey())
    offer.take(survey(50_000), nobody)
    offer.take(survey(40_000), nobody)
    assert memory(offer) == 50_000
    offer.take(survey(40_000), nobody)
    assert memory(offer) == 40_000


def test_more_is_believed_when_it_lasts() -> None:
    offer = Offer(survey(40_000))
    for free in (60_000, 70_000, 65_000, 70_000):
        offer.take(survey(free), nobody)
        assert memory(offer) == 40_000
    offer.take(survey(70_000), nobody)
    assert memory(offer) == 60_000
    offer.take(survey(70_000), nobody)
    assert memory(offer) == 65_000


def test_what_somebody_takes_and_gives_back_all_the_time_is_told_once() -> None:
    offer = Offer(survey())
    told = 0
    for second in range(100):
        offer.take(survey(TOTAL if second % 6 < 3 else 30_000), nobody)
        if offer.news():
            offer.tell()
            told += 1
    assert (told, memory(offer)) == (1, 30_000)


def test_what_cannot_be_attributed_is_measured_only_while_we_do_not_hold_the_device() -> None:
    offer = Offer(survey(own=None))
    for _ in range(3):
        offer.take(survey(10_000, own=None), ours)
    assert memory(offer) == TOTAL
    for _ in range(RISE):
        offer.take(survey(70_000, own=None), nobody)
    assert memory(offer) == 70_000


def test_never_more_than_the_device_has() -> None:
    offer = Offer(survey(free=TOTAL - 5, own=1_000))
    assert memory(offer) == TOTAL


def test_declared_devices_stay_as_they_are() -> None:
    declared = Device(7, 24_000, "", "declared")
    offer = Offer(Survey(Capacity(1000, 0, (declared,))))
    for _ in range(SILENT_TICKS + 1):
        offer.tick()
    assert (offer.now.devices, offer.news()) == ((declared,), "")


@pytest.mark.parametrize(
    ("free", "news"),
    [
        (TOTAL - 255, ""),
        (TOTAL - 1_599, ""),
        (TOTAL - 1_600, "GPU 1: 78,400 MiB instead of 80,000, for others' use"),
    ],
)
def test_small_steps_are_not_told(free: int, news: str) -> None:
    offer = Offer(survey())
    offer.take(survey(free), nobody)
    offer.take(survey(free), nobody)
    assert offer.news() == news


def test_small_steps_add_up() -> None:
    offer = Offer(survey())
    for free in range(TOTAL, TOTAL - 2_000, -100):
        offer.take(survey(free), nobody)
    assert offer.news() != ""
    assert offer.tell() == offer.now
    assert offer.news() == ""


@pytest.mark.parametrize(
    ("changed", "news"),
    [
        (survey(cpu=2000), "2 CPUs instead of 8 (quota)"),
        (survey(cpu=7900), ""),
        (survey(mem=31_800), ""),
        (survey(mem=16_000), "16,000 MiB instead of 32,000 (group)"),
        (survey(devices=1, gpu="NVML; GPU 1 failed: GPU is lost"), "GPU 1 is gone (NVML; GPU 1 failed: GPU is lost)"),
        (survey(devices=0, gpu="NVML failed: Unknown Error"), "GPUs 0, 1 are gone (NVML failed: Unknown Error)"),
    ],
)
def test_the_news_say_what_and_why(changed: Survey, news: str) -> None:
    offer = Offer(survey())
    offer.take(changed, nobody)
    assert offer.news() == news


def test_a_device_that_comes_back_is_news_and_what_is_undone_is_none() -> None:
    offer = Offer(survey())
    offer.take(survey(devices=1), nobody)
    offer.tell()
    offer.take(survey(), nobody)
    assert offer.news() == "GPU 1 is there"
    offer.take(survey(devices=1), nobody)
    assert offer.news() == ""


def test_a_device_that_appears_while_it_cannot_be_read_counts_as_a_whole() -> None:
    offer = Offer(survey(devices=1))
    offer.take(survey(100, own=None), ours)
    assert memory(offer) == TOTAL


def test_a_silent_driver_takes_its_devices_with_it_and_gives_them_back() -> None:
    offer = Offer(survey())
    for _ in range(SILENT_TICKS - 1):
        offer.tick()
    assert offer.news() == ""
    offer.tick()
    assert offer.news() == "GPUs 0, 1 are gone (NVML has not answered for 20 s)"
    offer.tell()
    offer.take(survey(), nobody)
    assert offer.news() == "GPUs 0, 1 are there"

"""Who is held to which amount of memory, and what is said of who takes more."""

from __future__ import annotations

import pytest

from maze_node.core.allowance import DEVICE_SLACK, Watched, allowed, excess_of, watched
from maze_node.core.events import MemoryUse
from maze_node.core.leases import Ending, Lease
from maze_protocol.resources import Capacity, Claim, Device, DeviceClaim
from support.node_core import make_assignment

CAPACITY = Capacity(4000, 8000, (Device(0, 1000, "GPU-a"), Device(2, 1000)))


def lease(claim: Claim) -> Lease:
    return Lease(7, make_assignment(7, claim=claim), ())


@pytest.mark.parametrize(("claim", "most"), [(0, 0), (1, 65), (640, 704), (1000, 1100), (24_000, 26_400)])
def test_slack_is_a_tenth_and_64_mib_at_least(claim: int, most: int) -> None:
    assert allowed(claim) == most


def test_the_context_of_a_process_is_in_the_slack_of_a_device() -> None:
    assert allowed(1000, DEVICE_SLACK) == 1512
    assert allowed(80_000, DEVICE_SLACK) == 88_000


def test_watched_is_who_claims_memory_or_shares_a_device_by_it() -> None:
    assert watched(lease(Claim(1000, 0)), 5, CAPACITY) is None
    assert watched(lease(Claim(1000, 640)), 5, CAPACITY) == Watched(7, 5, 704, ())
    share = Claim(1000, 0, (DeviceClaim(0, 0, 400), DeviceClaim(2, 500, 100)))
    assert watched(lease(share), 5, CAPACITY) == Watched(7, 5, 0, ((0, "GPU-a"), (2, "")))


@pytest.mark.parametrize("part", [DeviceClaim(0, 1000, 1000), DeviceClaim(0, 500, 0)])
def test_a_whole_device_and_a_share_without_memory_are_not_watched(part: DeviceClaim) -> None:
    claim = Claim(1000, 0, (part,))
    assert watched(lease(claim), 5, CAPACITY) is None
    assert excess_of(lease(claim), MemoryUse(7, 0, ((0, 900_000),))) is None


def test_up_to_the_slack_nothing_happens() -> None:
    held = lease(Claim(1000, 640, (DeviceClaim(0, 0, 400),)))
    assert excess_of(held, MemoryUse(7, 704 * 1024, ((0, 912),))) is None
    assert excess_of(held, MemoryUse(7, 704 * 1024 + 1)) is not None
    assert excess_of(held, MemoryUse(7, 0, ((0, 913),))) is not None


def test_who_claims_no_memory_may_have_any() -> None:
    assert excess_of(lease(Claim(1000, 0, (DeviceClaim(0, 0, 400),))), MemoryUse(7, 2**40)) is None


def test_the_words_name_peak_claim_and_remedy() -> None:
    held = lease(Claim(1000, 1000))
    held.peak_kib = 1_500 * 1024
    excess = excess_of(held, MemoryUse(7, 1_400 * 1024))
    assert excess is not None
    assert (excess.ending, excess.peak_mib) == (Ending.MEMORY, 1500)
    assert excess.reason == (
        "took 1,500 MiB of memory, claimed 1,000 MiB (up to 1,100 are let pass);"
        " claim more: resources={'cpu_mem': 2250}"
    )


def test_of_a_device_they_name_it() -> None:
    excess = excess_of(lease(Claim(1000, 0, (DeviceClaim(2, 0, 100),))), MemoryUse(7, 0, ((2, 700),)))
    assert excess is not None
    assert (excess.ending, excess.peak_mib) == (Ending.DEVICE_MEMORY, 700)
    assert excess.reason == (
        "took 700 MiB of memory of GPU 2, claimed 100 MiB (up to 612 are let pass);"
        " claim more: resources={'gpu_mem': 1050}"
    )

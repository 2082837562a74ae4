"""How much memory an attempt may have, when it has too much, and what its author is told then.

* Held to their claims are attempts that claim memory, and those that share a device by memory. Who claims nothing is
  not watched; a device taken whole is nobody else's.
* What counts is what the attempt's processes have beyond what their worker had before it began (../memory.py): the
  interpreter, and what earlier attempts have loaded into it, are not the task's.
* Slack, because a claim is an estimate and nothing is gained by killing for a few pages: a tenth of the claim, at least
  64 MiB of memory, and at least 512 MiB of a device, where the context of each process (300 to 600 MiB) counts, too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from maze_node.core.events import MemoryUse
from maze_node.core.leases import Ending, Lease
from maze_protocol.resources import Capacity, DeviceClaim

__all__ = ["DEVICE_SLACK", "SLACK", "Excess", "Watched", "allowed", "excess_of", "watched"]

SLACK: Final = 64
DEVICE_SLACK: Final = 512
"""MiB that are not worth a kill."""
SLACK_PART: Final = 10
"""One part of so many of the claim is slack, if that is more."""
KIB: Final = 1024


class Watched(NamedTuple):
    """An attempt whose memory is to be read."""

    lease: int
    pid: int
    """Of its worker."""
    limit_mib: int
    """What it may have; 0: its memory is not watched. A reading beyond it must be exact."""
    devices: tuple[tuple[int, str], ...]
    """Index and UUID of those that it shares by memory."""


class Excess(NamedTuple):
    """Of an attempt that has more than it may: which kind of end that is, how much it had, and the words."""

    ending: Ending
    peak_mib: int
    reason: str


def allowed(claim_mib: int, slack: int = SLACK) -> int:
    """Return how many MiB an attempt may have; 0 for any."""
    return claim_mib + max(slack, claim_mib // SLACK_PART) if claim_mib else 0


def watched(lease: Lease, pid: int, capacity: Capacity) -> Watched | None:
    """Return what is to be read of a running attempt, or None for nothing."""
    claim = lease.assignment.claim
    shares = [part.index for part in claim.devices if _is_share(part)]
    if not claim.mem_mib and not shares:
        return None
    uuids = {device.index: device.uuid for device in capacity.devices}
    devices = tuple((index, uuids.get(index, "")) for index in shares)
    return Watched(lease.token, pid, allowed(claim.mem_mib), devices)


def excess_of(lease: Lease, use: MemoryUse) -> Excess | None:
    """Return in what an attempt goes beyond its claim, or None."""
    claim = lease.assignment.claim
    peak = _mib(lease.peak_kib)
    if claim.mem_mib and _mib(use.mem_kib) > allowed(claim.mem_mib):
        return Excess(Ending.MEMORY, peak, _words("memory", "cpu_mem", peak, claim.mem_mib, SLACK))
    used = dict(use.devices)
    for part in claim.devices:
        mib = used.get(part.index, 0)
        if _is_share(part) and mib > allowed(part.mem_mib, DEVICE_SLACK):
            words = _words(f"memory of GPU {part.index}", "gpu_mem", mib, part.mem_mib, DEVICE_SLACK)
            return Excess(Ending.DEVICE_MEMORY, mib, words)
    return None


def _is_share(part: DeviceClaim) -> bool:
    return part.mem_mib > 0 and part.milli < 1000


def _words(what: str, key: str, peak: int, claim: int, slack: int) -> str:
    more = max(2 * claim, peak + peak // 2)
    return (
        f"took {peak:,} MiB of {what}, claimed {claim:,} MiB (up to {allowed(claim, slack):,} are let pass);"
        f" claim more: resources={{{key!r}: {more}}}"
    )


def _mib(kib: int) -> int:
    return -(-kib // KIB)

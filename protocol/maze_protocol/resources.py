"""Resources in integer units: milli-CPU, MiB, milli-GPU. Floats drift; a scheduler may not.

A `Request` is what a task asks for, a `Capacity` what a node has, a `Claim` what an attempt was given, with the
devices by index. Fitting and subtracting live in the head's placement; this module holds the arithmetic.
"""

from __future__ import annotations

import msgspec

from maze_protocol.bounds import Amount, Count, Many
from maze_protocol.declare import Declared

__all__ = ["Capacity", "Claim", "Device", "DeviceClaim", "Request"]


class Request(msgspec.Struct, array_like=True, frozen=True, gc=False, order=True):
    """What one task asks for; equal requests are one shape in the ready queue (hashable)."""

    cpu_milli: int = 1000
    mem_mib: int = 0
    gpu_milli: int = 0
    gpu_mem_mib: int = 0
    gpu_share: bool = False

    @classmethod
    def of(cls, declared: Declared) -> Request:
        """Take the integer amounts of a declaration."""
        return cls(declared.cpu_milli, declared.mem_mib, declared.gpu_milli, declared.gpu_mem_mib, declared.gpu_share)

    @property
    def wants_gpu(self) -> bool:
        """Tell whether any device is needed."""
        return self.gpu_milli > 0 or self.gpu_mem_mib > 0

    @property
    def whole_devices(self) -> int:
        """Return how many devices are taken whole; 0 for none or a share of one."""
        return 0 if self.gpu_share else self.gpu_milli // 1000


class Device(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One GPU of a node."""

    index: Count
    mem_mib: Amount
    uuid: str = ""
    name: str = ""


class Capacity(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a node offers, with the origin of every number in words."""

    cpu_milli: Amount
    mem_mib: Amount
    devices: Many[Device] = ()
    workers: Count = 16
    """Upper bound of simultaneous worker processes."""
    origins: Many[tuple[str, str]] = ()


class DeviceClaim(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A device, or a share of it, given to an attempt."""

    index: Count
    milli: Amount
    mem_mib: Amount


class Claim(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an attempt was given on its node."""

    cpu_milli: Amount
    mem_mib: Amount
    devices: Many[DeviceClaim] = ()

"""Resources in integer units: milli-CPU, MiB, milli-GPU. Floats drift; a scheduler may not.

A `Request` is what a task asks for, a `Capacity` what a node has, a `Claim` what an attempt was given, with the
devices by index. Fitting and subtracting live in the head's placement; this module holds the arithmetic.
"""

from __future__ import annotations

import msgspec

from maze_protocol.declare import Declared

__all__ = ["Capacity", "Claim", "Device", "DeviceClaim", "Request"]


class Request(msgspec.Struct, array_like=True, frozen=True, order=True):
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


class Device(msgspec.Struct, array_like=True, frozen=True):
    """One GPU of a node."""

    index: int
    mem_mib: int
    uuid: str = ""
    name: str = ""


class Capacity(msgspec.Struct, array_like=True, frozen=True):
    """What a node offers, with the origin of every number in words."""

    cpu_milli: int
    mem_mib: int
    devices: tuple[Device, ...] = ()
    workers: int = 16
    """Upper bound of simultaneous worker processes."""
    origins: tuple[tuple[str, str], ...] = ()


class DeviceClaim(msgspec.Struct, array_like=True, frozen=True):
    """A device, or a share of it, given to an attempt."""

    index: int
    milli: int
    mem_mib: int


class Claim(msgspec.Struct, array_like=True, frozen=True):
    """What an attempt was given on its node."""

    cpu_milli: int
    mem_mib: int
    devices: tuple[DeviceClaim, ...] = ()

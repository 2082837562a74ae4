"""What of a node's capacity is given away, in integers. Fitting, claiming and giving back; never over-committed.

Devices: a *share* takes memory and thousandths of one device, packed onto the device it fits most tightly; a *whole*
device is taken untouched and entirely, so that nobody shares it later. A capacity that shrinks under running
attempts (a node says HELLO again) only stops new claims.
"""

from __future__ import annotations

from maze_protocol.resources import Capacity, Claim, Device, DeviceClaim, Request

__all__ = ["Ledger"]

WHOLE_MILLI = 1000


class _DeviceState:
    __slots__ = ("free_mem", "free_milli", "index", "mem")

    def __init__(self, device: Device) -> None:
        self.index = device.index
        self.mem = self.free_mem = device.mem_mib
        self.free_milli = WHOLE_MILLI

    @property
    def untouched(self) -> bool:
        return self.free_milli == WHOLE_MILLI and self.free_mem == self.mem


class Ledger:
    """The free part of one node."""

    __slots__ = ("attempts", "capacity", "cpu_free", "devices", "mem_free")

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.cpu_free = capacity.cpu_milli
        self.mem_free = capacity.mem_mib
        self.devices = {device.index: _DeviceState(device) for device in capacity.devices}
        self.attempts = 0

    def fits(self, request: Request) -> bool:
        """Tell whether `claim` would succeed."""
        if (
            self.attempts >= self.capacity.workers
            or request.cpu_milli > self.cpu_free
            or request.mem_mib > self.mem_free
        ):
            return False
        return not request.wants_gpu or self._choose(request) is not None

    def could_fit(self, request: Request) -> bool:
        """Tell whether the node would fit the request if it were idle."""
        return Ledger(self.capacity).fits(request)

    def claim(self, request: Request) -> Claim | None:
        """Take what a request asks for, or None if it does not fit."""
        if not self.fits(request):
            return None
        devices = tuple(self._choose(request) or ()) if request.wants_gpu else ()
        claim = Claim(request.cpu_milli, request.mem_mib, devices)
        self.take(claim)
        return claim

    def has_room(self, claim: Claim) -> bool:
        """Tell whether exactly this claim, on its very devices, could be taken."""
        if self.attempts >= self.capacity.workers or claim.cpu_milli > self.cpu_free or claim.mem_mib > self.mem_free:
            return False
        parts = [(self.devices.get(part.index), part) for part in claim.devices]
        return all(
            device is not None and part.milli <= device.free_milli and part.mem_mib <= device.free_mem
            for device, part in parts
        )

    def take(self, claim: Claim) -> None:
        """Count a claim as given."""
        self._move(claim, -1)

    def give_back(self, claim: Claim) -> None:
        """Count a claim as free again."""
        self._move(claim, +1)

    def _move(self, claim: Claim, sign: int) -> None:
        self.attempts -= sign
        self.cpu_free += sign * claim.cpu_milli
        self.mem_free += sign * claim.mem_mib
        for part in claim.devices:
            device = self.devices.get(part.index)
            if device is not None:
                device.free_milli += sign * part.milli
                device.free_mem += sign * part.mem_mib

    def _choose(self, request: Request) -> list[DeviceClaim] | None:
        if request.gpu_share:
            return self._share(request)
        free = [device for device in self.devices.values() if device.untouched and device.mem >= request.gpu_mem_mib]
        count = request.whole_devices
        if len(free) < count:
            return None
        free.sort(key=lambda device: (device.mem, device.index))
        return [DeviceClaim(device.index, WHOLE_MILLI, device.mem) for device in free[:count]]

    def _share(self, request: Request) -> list[DeviceClaim] | None:
        milli, mem = request.gpu_milli, request.gpu_mem_mib
        # A whole claim leaves 0 thousandths: that also keeps shares by memory alone off a device without known memory.
        fitting = [
            device for device in self.devices.values() if device.free_milli >= max(milli, 1) and device.free_mem >= mem
        ]
        if not fitting:
            return None
        tightest = min(fitting, key=lambda device: (device.free_milli, device.free_mem, device.index))
        return [DeviceClaim(tightest.index, milli, mem)]

    @property
    def load(self) -> int:
        """Return how full the node is, in millionths of its scarcest resource in use."""
        capacity = self.capacity
        cpu = (capacity.cpu_milli - self.cpu_free) * 1_000_000 // capacity.cpu_milli
        if not capacity.mem_mib:
            return cpu
        return max(cpu, (capacity.mem_mib - self.mem_free) * 1_000_000 // capacity.mem_mib)

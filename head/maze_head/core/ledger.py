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
    def tightness(self) -> tuple[int, int, int]:
        """Return what orders devices: the fullest first."""
        return self.free_milli, self.free_mem, self.index

    @property
    def untouched(self) -> bool:
        return self.free_milli == WHOLE_MILLI and self.free_mem == self.mem


class Ledger:
    """The free part of one node."""

    __slots__ = (
        "_fitting", "_large", "_losses", "_top_mem", "_top_milli", "_untouched", "attempts", "capacity", "cpu_free",
        "devices", "load", "mem_free",
    )  # fmt: skip

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.cpu_free = capacity.cpu_milli
        self.mem_free = capacity.mem_mib
        self.devices = {device.index: _DeviceState(device) for device in capacity.devices}
        self.attempts = 0
        self.load = 0
        """How full the node is, in millionths of its scarcest resource in use."""
        self._large: tuple[Request, ...] | None = None
        self._fitting: tuple[Request, ...] = ()
        self._losses: dict[Request, int] = {}
        """What `loss` has found out since the last change."""
        self._survey()

    def fits(self, request: Request) -> bool:
        """Tell whether `claim` would succeed."""
        if (
            self.attempts >= self.capacity.workers
            or request.cpu_milli > self.cpu_free
            or request.mem_mib > self.mem_free
        ):
            return False
        return not request.wants_gpu or self._choose(request) is not None

    @property
    def overdrawn(self) -> bool:
        """Tell whether more is given than there is: a capacity has shrunk under what runs."""
        return self.cpu_free < 0 or self.mem_free < 0 or self.attempts > self.capacity.workers

    def fits_without(self, claim: Claim, request: Request) -> bool:
        """Tell whether a request would fit if a claim, which has no devices, were given back."""
        if (
            self.attempts > self.capacity.workers
            or request.cpu_milli > self.cpu_free + claim.cpu_milli
            or request.mem_mib > self.mem_free + claim.mem_mib
        ):
            return False
        return not request.wants_gpu or self._choose(request) is not None

    def could_fit(self, request: Request) -> bool:
        """Tell whether the node would fit the request if it were idle."""
        capacity = self.capacity
        if request.cpu_milli > capacity.cpu_milli or request.mem_mib > capacity.mem_mib:
            return False
        return not request.wants_gpu or Ledger(capacity).fits(request)

    def loss(self, request: Request, large: tuple[Request, ...]) -> int:
        """Return how many of some large requests fit now, and would no longer beside this one, which fits."""
        if not large:
            return 0
        fitting = self._fitting_of(large)
        if not fitting or fitting == (request,):
            return 0
        known = self._losses.get(request)
        if known is None:
            left = self._fitting_after(request, fitting)
            known = self._losses[request] = sum(each not in left and each != request for each in fitting)
        return known

    def _fitting_of(self, large: tuple[Request, ...]) -> tuple[Request, ...]:
        if self._large is not large:
            self._large = large
            self._fitting = tuple([each for each in large if self.fits(each)])
            self._losses.clear()
        return self._fitting

    def _fitting_after(self, request: Request, fitting: tuple[Request, ...]) -> tuple[Request, ...]:
        if request.wants_gpu:
            beside = self.copy()
            beside.claim(request)
            return tuple([each for each in fitting if beside.fits(each)])
        cpu, mem = self.cpu_free - request.cpu_milli, self.mem_free - request.mem_mib
        if self.attempts + 1 >= self.capacity.workers:
            return ()
        return tuple([each for each in fitting if each.cpu_milli <= cpu and each.mem_mib <= mem])

    def copy(self) -> Ledger:
        """Return another ledger in the same state."""
        other = Ledger(self.capacity)
        other.attempts, other.cpu_free, other.mem_free = self.attempts, self.cpu_free, self.mem_free
        for index, device in self.devices.items():
            other.devices[index].free_mem, other.devices[index].free_milli = device.free_mem, device.free_milli
        other._survey()
        return other

    def close(self) -> None:
        """Let nothing more fit."""
        self.attempts = self.capacity.workers

    def claim(self, request: Request) -> Claim | None:
        """Take what a request asks for, or None if it does not fit."""
        if (
            self.attempts >= self.capacity.workers
            or request.cpu_milli > self.cpu_free
            or request.mem_mib > self.mem_free
        ):
            return None
        devices = self._choose(request) if request.wants_gpu else ()
        if devices is None:
            return None
        claim = Claim(request.cpu_milli, request.mem_mib, tuple(devices))
        self._move(claim, -1)
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
        self._large = None
        self.attempts -= sign
        self.cpu_free += sign * claim.cpu_milli
        self.mem_free += sign * claim.mem_mib
        if claim.devices:
            self._move_devices(claim, sign)
        self.load = self._measure()

    def _move_devices(self, claim: Claim, sign: int) -> None:
        for part in claim.devices:
            device = self.devices.get(part.index)
            if device is not None:
                device.free_milli += sign * part.milli
                device.free_mem += sign * part.mem_mib
        self._survey()

    def _survey(self) -> None:
        """Note what rules most requests out without a look at each device."""
        devices = self.devices.values()
        self._untouched = sum([device.untouched for device in devices])
        self._top_milli = max([device.free_milli for device in devices], default=0)
        self._top_mem = max([device.free_mem for device in devices], default=0)

    def _choose(self, request: Request) -> list[DeviceClaim] | None:
        if request.gpu_share:
            return self._share(request)
        count = request.whole_devices
        if count > self._untouched:
            return None
        free = [device for device in self.devices.values() if device.untouched and device.mem >= request.gpu_mem_mib]
        if len(free) < count:
            return None
        free.sort(key=lambda device: (device.mem, device.index))
        return [DeviceClaim(device.index, WHOLE_MILLI, device.mem) for device in free[:count]]

    def _share(self, request: Request) -> list[DeviceClaim] | None:
        milli, mem = request.gpu_milli, request.gpu_mem_mib
        # A whole claim leaves 0 thousandths: that also keeps shares by memory alone off a device without known memory.
        least = max(milli, 1)
        if least > self._top_milli or mem > self._top_mem:
            return None
        tightest: _DeviceState | None = None
        for device in self.devices.values():
            if device.free_milli < least or device.free_mem < mem:
                continue
            if tightest is None or device.free_milli < tightest.free_milli or device.tightness < tightest.tightness:
                tightest = device
        return None if tightest is None else [DeviceClaim(tightest.index, milli, mem)]

    def _measure(self) -> int:
        capacity = self.capacity
        cpu = (capacity.cpu_milli - self.cpu_free) * 1_000_000 // capacity.cpu_milli
        if not capacity.mem_mib:
            return cpu
        return max(cpu, (capacity.mem_mib - self.mem_free) * 1_000_000 // capacity.mem_mib)

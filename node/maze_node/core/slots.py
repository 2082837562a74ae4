"""What of the node's capacity is given out, grant by grant, and what a worker must be bound to for a claim.

The head counts; the node only refuses to be fooled: a claim that does not fit waits, except alone, because a claim
larger than the whole node would otherwise wait for ever. The capacity may change at any time: what is taken stays
taken, and only what comes later has to fit.

CPUs of their own (if the node was told to give them out): a claim of whole CPUs gets the lowest ones that are free, so
that the same sets, and the workers bound to them, come back; claims with a fraction share what is left at their start.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from maze_protocol.resources import Capacity, Claim

__all__ = ["THREAD_VARIABLES", "Binding", "Slots", "bind"]

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""How many threads numerical libraries start: OpenMP and what is built on it, MKL, OpenBLAS, NumExpr."""


class Binding(NamedTuple):
    """What a worker is bound to for life: libraries read these variables once, when they are loaded."""

    devices: tuple[str, ...]
    threads: int
    grant: int = 0
    """A worker that has seen a device serves one grant only, and is gone before the device goes elsewhere."""
    cpus: tuple[int, ...] = ()
    """CPUs that nobody else's threads run on, as far as this node goes; empty: any."""
    sandbox: int = 0
    """The lease of an attempt that is shut in: nothing else ever runs in its worker."""

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables of this binding. Without a claim on devices none is visible."""
        threads = str(self.threads)
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(self.devices),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            **dict.fromkeys(THREAD_VARIABLES, threads),
        }


def bind(claim: Claim, grant: int, capacity: Capacity, cpus: tuple[int, ...] = ()) -> Binding:
    """Return the binding that a claim needs."""
    uuids = {device.index: device.uuid for device in capacity.devices}
    # A slice of a device (MIG) has no index that CUDA would know; whole devices go by index, as people expect.
    devices = tuple(
        uuid if (uuid := uuids.get(each.index, "")).startswith("MIG-") else str(each.index) for each in claim.devices
    )
    return Binding(devices, max(1, claim.cpu_milli // 1000), grant if devices else 0, cpus)


class Slots:
    """Grants that hold resources now.

    Args:
        capacity: what there is.
        cpus: the numbers of the CPUs that are given out one by one; empty: nobody gets any of their own.
    """

    def __init__(self, capacity: Capacity, cpus: tuple[int, ...] = ()) -> None:
        self.capacity = capacity
        self._cpus = cpus
        self._own: dict[int, tuple[int, ...]] = {}
        self._taken: dict[int, Claim] = {}
        self._cpu = 0
        self._mem = 0
        self._devices: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._taken)

    @property
    def gives_cpus(self) -> bool:
        """Tell whether attempts are told which CPUs to run on."""
        return bool(self._cpus)

    def holds(self, grant: int) -> bool:
        """Tell whether a grant has its resources."""
        return grant in self._taken

    def fits(self, grant: int, claim: Claim) -> bool:
        """Tell whether a claim may be taken now."""
        if grant in self._taken or not self._taken:
            return True
        return (
            self._cpu + claim.cpu_milli <= self.capacity.cpu_milli
            and self._mem + claim.mem_mib <= self.capacity.mem_mib
            and self._devices_fit(claim, self._devices)
        )

    def could_fit(self, claim: Claim) -> bool:
        """Tell whether a claim fits if nothing else is taken."""
        capacity = self.capacity
        fits = claim.cpu_milli <= capacity.cpu_milli and claim.mem_mib <= capacity.mem_mib
        return fits and self._devices_fit(claim, {})

    def holds_device(self, index: int) -> bool:
        """Tell whether a grant has a part of a device."""
        return any(each.index == index for claim in self._taken.values() for each in claim.devices)

    def take(self, grant: int, claim: Claim) -> None:
        """Give a claim to a grant, once."""
        if grant not in self._taken:
            self._taken[grant] = claim
            self._count(claim, 1)
            self._own[grant] = self._choose_cpus(claim)

    def own_cpus(self, grant: int) -> tuple[int, ...]:
        """Return the CPUs that a grant has for itself; empty if it shares those of others."""
        return self._own.get(grant, ())

    def shared_cpus(self) -> tuple[int, ...]:
        """Return the CPUs that no grant has for itself; empty: any may be used."""
        owned = {cpu for cpus in self._own.values() for cpu in cpus}
        return tuple(cpu for cpu in self._cpus if cpu not in owned)

    def _choose_cpus(self, claim: Claim) -> tuple[int, ...]:
        whole, fraction = divmod(claim.cpu_milli, 1000)
        free = self.shared_cpus()
        # Too few are left if more was declared than there is: then nobody can have them alone.
        return free[:whole] if not fraction and len(free) >= whole else ()

    def free(self, grant: int) -> None:
        """Take back what a grant held."""
        claim = self._taken.pop(grant, None)
        self._own.pop(grant, None)
        if claim is not None:
            self._count(claim, -1)

    def _count(self, claim: Claim, sign: int) -> None:
        self._cpu += sign * claim.cpu_milli
        self._mem += sign * claim.mem_mib
        for each in claim.devices:
            milli, mem = self._devices.get(each.index, (0, 0))
            self._devices[each.index] = (milli + sign * each.milli, mem + sign * each.mem_mib)

    def _devices_fit(self, claim: Claim, taken: dict[int, tuple[int, int]]) -> bool:
        sizes = {device.index: device.mem_mib for device in self.capacity.devices}
        for each in claim.devices:
            milli, mem = taken.get(each.index, (0, 0))
            if milli + each.milli > 1000 or mem + each.mem_mib > sizes.get(each.index, -1):
                return False
        return True

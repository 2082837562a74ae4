"""What each project holds of the cluster, its weight and its cap. Who holds the least for its weight goes first.

Rules
* A project's share is its dominant share divided by its weight: the largest, over CPU, memory, devices and device
  memory, of held / capacity of all members (Ghodsi et al., Dominant Resource Fairness, NSDI 2011, with the weights of
  its section 4.3). Capacity that is unknown (0) counts for nothing.
* A cap is a bound that no start may cross; one that is set below what is held takes nothing away. A share of a device
  by memory alone counts against `gpu` as its part of an average device.
* A task on several nodes holds what it has on each, and counts once per node.
* A project that holds nothing and has no rules leaves no trace. Runs that name no project are those of `""`.

All calls are O(1).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from maze_protocol.resources import Claim, Request

__all__ = ["NO_CAP", "NO_RULES", "Cap", "Held", "Rules", "Shares"]


class Cap(NamedTuple):
    """The most that a project may hold at once, in the scheduler's units; None: no bound."""

    cpu_milli: int | None = None
    mem_mib: int | None = None
    gpu_milli: int | None = None
    tasks: int | None = None


NO_CAP: Final = Cap()


class Rules(NamedTuple):
    """What an operator has set for a project."""

    weight: float = 1.0
    cap: Cap = NO_CAP


NO_RULES: Final = Rules()


class Held:
    """What a project holds."""

    __slots__ = ("attempts", "cpu_milli", "gpu_mem_mib", "gpu_milli", "mem_mib", "shared_mem_mib")

    def __init__(self, cpu_milli: int = 0, mem_mib: int = 0, gpu_milli: int = 0, gpu_mem_mib: int = 0) -> None:
        self.cpu_milli = cpu_milli
        self.mem_mib = mem_mib
        self.gpu_milli = gpu_milli
        self.gpu_mem_mib = gpu_mem_mib
        self.attempts = 0
        self.shared_mem_mib = 0
        """The part of `gpu_mem_mib` that is held by memory alone."""

    def move(self, claim: Claim, sign: int) -> None:
        """Count a claim as held (+1) or as given back (-1)."""
        self.attempts += sign
        self.cpu_milli += sign * claim.cpu_milli
        self.mem_mib += sign * claim.mem_mib
        for part in claim.devices:
            self.gpu_milli += sign * part.milli
            self.gpu_mem_mib += sign * part.mem_mib
            if not part.milli:
                self.shared_mem_mib += sign * part.mem_mib


_NOTHING: Final = Held()


class Shares:
    """All projects: what they hold and what is set for them."""

    __slots__ = ("_parts", "_total_gpu_mem", "_total_gpu_milli", "held", "rules")

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        """Projects that hold anything."""
        self.rules: dict[str, Rules] = {}
        self._parts = (0.0, 0.0, 0.0, 0.0)
        """Which part of the capacity one unit is: of CPU, memory, devices, device memory."""
        self._total_gpu_milli = self._total_gpu_mem = 0

    def set_total(self, cpu_milli: int, mem_mib: int, gpu_milli: int, gpu_mem_mib: int) -> None:
        """Take in what all members together have."""
        cpu, mem, gpu, gpu_mem = (
            1 / amount if amount else 0.0 for amount in (cpu_milli, mem_mib, gpu_milli, gpu_mem_mib)
        )
        self._parts = cpu, mem, gpu, gpu_mem
        self._total_gpu_milli, self._total_gpu_mem = gpu_milli, gpu_mem_mib

    def set(self, project: str, rules: Rules) -> None:
        """Set or change what holds for a project."""
        self.rules[project] = rules

    def remove(self, project: str) -> None:
        """Let a project be like any other again: weight 1, no cap."""
        del self.rules[project]

    def share(self, project: str) -> float:
        """Return the dominant share of a project for its weight; whoever has less goes first."""
        held = self.held.get(project)
        return 0.0 if held is None else self._weighed(project, held)

    @property
    def most(self) -> float:
        """Return the largest share of any project; in as many steps as there are projects that hold anything."""
        return max(map(self.share, self.held), default=0.0)

    def share_with(self, project: str, request: Request, nodes: int) -> float:
        """Return what the share of a project would be if it had this, on so many nodes each, beside what it holds."""
        held = self.held.get(project, _NOTHING)
        mem = request.gpu_mem_mib * max(1, request.whole_devices)
        more = Held(
            held.cpu_milli + nodes * request.cpu_milli,
            held.mem_mib + nodes * request.mem_mib,
            held.gpu_milli + nodes * request.gpu_milli,
            held.gpu_mem_mib + nodes * mem,
        )
        return self._weighed(project, more)

    def _weighed(self, project: str, held: Held) -> float:
        cpu, mem, gpu, gpu_mem = self._parts
        dominant = max(held.cpu_milli * cpu, held.mem_mib * mem, held.gpu_milli * gpu, held.gpu_mem_mib * gpu_mem)
        rules = self.rules.get(project)
        return dominant / rules.weight if rules else dominant

    def take(self, project: str, claim: Claim) -> None:
        """Count a claim of a project as given."""
        held = self.held.get(project)
        if held is None:
            held = self.held[project] = Held()
        held.move(claim, +1)

    def give_back(self, project: str, claim: Claim) -> None:
        """Count a claim of a project as free again."""
        held = self.held[project]
        held.move(claim, -1)
        assert held.attempts >= 0, f"project {project!r}: more came back than was held"
        if not held.attempts:
            del self.held[project]

    def has_room(self, project: str, request: Request, nodes: int = 1) -> bool:
        """Tell whether a project's cap lets it have this, on so many nodes each, beside what it holds."""
        rules = self.rules.get(project)
        return rules is None or rules.cap == NO_CAP or self.lacking(project, request, nodes) is None

    def lacking(self, project: str, request: Request, nodes: int = 1) -> str | None:
        """Return which part of a project's cap holds a request back, in words, or None if nothing does."""
        return self._crossed(project, self.held.get(project, _NOTHING), request, nodes)

    def impossible(self, project: str, request: Request, nodes: int = 1) -> str | None:
        """Return which part of its cap a request crosses even when its project holds nothing, or None."""
        return self._crossed(project, _NOTHING, request, nodes)

    def gpu_milli(self, held: Held) -> int:
        """Return the thousandths of devices that count against a cap."""
        return held.gpu_milli + self._by_memory(held.shared_mem_mib)

    def _crossed(self, project: str, held: Held, request: Request, nodes: int) -> str | None:
        cap = self.rules.get(project, NO_RULES).cap
        shared = request.gpu_mem_mib if request.gpu_share and not request.gpu_milli else 0
        gpu = held.gpu_milli + nodes * request.gpu_milli + self._by_memory(held.shared_mem_mib + nodes * shared)
        if cap.tasks is not None and held.attempts + nodes > cap.tasks:
            return f"{held.attempts} of {cap.tasks} tasks"
        if cap.cpu_milli is not None and held.cpu_milli + nodes * request.cpu_milli > cap.cpu_milli:
            return f"{held.cpu_milli / 1000:g} of {cap.cpu_milli / 1000:g} CPUs"
        if cap.mem_mib is not None and held.mem_mib + nodes * request.mem_mib > cap.mem_mib:
            return f"{held.mem_mib} of {cap.mem_mib} MiB of memory"
        if cap.gpu_milli is not None and request.wants_gpu and gpu > cap.gpu_milli:
            return f"{self.gpu_milli(held) / 1000:g} of {cap.gpu_milli / 1000:g} GPUs"
        return None

    def _by_memory(self, mem_mib: int) -> int:
        """Return so much device memory in thousandths of an average device, rounded up."""
        if not self._total_gpu_mem:
            return 0
        return -(-mem_mib * self._total_gpu_milli // self._total_gpu_mem)

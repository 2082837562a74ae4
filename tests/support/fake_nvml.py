"""NVML without a driver: devices, slices, processes and faults as a test wants them, behind pynvml's functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace


class FakeNvmlError(Exception):
    """What the fake raises, as pynvml raises NVMLError."""


@dataclass
class FakeGpu:
    """A device or a slice. Amounts are MiB; `used` counts what `processes` use, too."""

    uuid: str
    total: int = 10_000
    used: int = 0
    processes: dict[int, int | None] | None = field(default_factory=dict)
    """By pid; None: NVML lists none."""
    slices: dict[int, FakeGpu] | None = None
    """By number, in MIG mode."""
    fault: str = ""


class FakeNvml:
    """Stands in for the module pynvml."""

    NVMLError = FakeNvmlError

    def __init__(self, *gpus: FakeGpu, fault: str = "") -> None:
        self.gpus = list(gpus)
        self.fault = fault
        self.begun = 0
        self.beginnings = 0

    def nvmlInit(self) -> None:
        if self.fault:
            raise FakeNvmlError(self.fault)
        self.begun += 1
        self.beginnings += 1

    def nvmlShutdown(self) -> None:
        if not self.begun:
            raise FakeNvmlError("Uninitialized")
        self.begun -= 1

    def nvmlDeviceGetCount(self) -> int:
        if self.fault or not self.begun:
            raise FakeNvmlError(self.fault or "Uninitialized")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self._healthy(self.gpus[index])

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        known = [*self.gpus, *(part for gpu in self.gpus for part in (gpu.slices or {}).values())]
        found = next((gpu for gpu in known if gpu.uuid == uuid), None)
        if found is None or not self.begun:
            raise FakeNvmlError("Not Found")
        return self._healthy(found)

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu) -> SimpleNamespace:
        gpu = self._healthy(handle)
        return SimpleNamespace(total=gpu.total << 20, free=(gpu.total - gpu.used) << 20, used=gpu.used << 20)

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> bytes:
        return handle.uuid.encode()

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        return "Model"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: FakeGpu) -> list[SimpleNamespace]:
        if handle.processes is None:
            raise FakeNvmlError("Not Supported")
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=None if used is None else used << 20)
            for pid, used in handle.processes.items()
        ]

    def nvmlDeviceGetMigMode(self, handle: FakeGpu) -> list[int]:
        if handle.slices is None:
            raise FakeNvmlError("Not Supported")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: FakeGpu) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: FakeGpu, index: int) -> FakeGpu:
        assert handle.slices is not None
        if index not in handle.slices:
            raise FakeNvmlError("Not Found")
        return handle.slices[index]

    @staticmethod
    def _healthy(gpu: FakeGpu) -> FakeGpu:
        if gpu.fault:
            raise FakeNvmlError(gpu.fault)
        return gpu

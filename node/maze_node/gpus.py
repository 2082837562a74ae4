"""GPUs as NVML shows them, cut down to CUDA_VISIBLE_DEVICES. pynvml is loaded only where a driver is.

Devices go by NVML's index, which is the PCI order; workers get CUDA_DEVICE_ORDER=PCI_BUS_ID beside it, so that both
count alike. No failure here stops a node: it offers no GPU and says why.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from maze_protocol.resources import Device

__all__ = ["Gpus", "Nvml", "find_gpus", "free_memory"]

MIB: Final = 2**20
DRIVER: Final = Path("/proc/driver/nvidia/version")


class Gpus(NamedTuple):
    """The devices that may be used, and where that comes from."""

    devices: tuple[Device, ...]
    origin: str


class Nvml(Protocol):
    """The few functions of pynvml that are used here."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetUUID(self, handle: Any) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetName(self, handle: Any) -> Any: ...  # noqa: N802 -- NVIDIA's name


def find_gpus(nvml: Nvml | None = None, visible: str | None = None) -> Gpus:
    """Return the devices; `visible` stands for CUDA_VISIBLE_DEVICES."""
    if visible is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    library = nvml if nvml is not None else _load()
    if library is None:
        return Gpus((), "no NVIDIA driver")
    try:
        library.nvmlInit()
        devices = [_device(library, index) for index in range(library.nvmlDeviceGetCount())]
    except library.NVMLError as error:
        return Gpus((), f"NVML failed: {error}")
    if visible is None:
        return Gpus(tuple(devices), "NVML")
    return Gpus(_allowed(devices, visible), f"NVML, CUDA_VISIBLE_DEVICES={visible}")


def free_memory(devices: tuple[Device, ...]) -> tuple[int, ...]:
    """Return the free MiB of each device now; empty if that cannot be told."""
    if not any(device.uuid for device in devices):
        return ()
    library = _load()
    if library is None:
        return ()
    try:
        handles = [library.nvmlDeviceGetHandleByIndex(device.index) for device in devices]
        return tuple(int(library.nvmlDeviceGetMemoryInfo(handle).free) // MIB for handle in handles)
    except library.NVMLError:
        return ()


def _load() -> Nvml | None:
    if not DRIVER.exists() and not Path("/dev/nvidiactl").exists():
        return None
    import pynvml

    library: Nvml = pynvml
    return library


def _device(library: Nvml, index: int) -> Device:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    memory = int(library.nvmlDeviceGetMemoryInfo(handle).total) // MIB
    return Device(index, memory, _text(library.nvmlDeviceGetUUID(handle)), _text(library.nvmlDeviceGetName(handle)))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _allowed(devices: list[Device], visible: str) -> tuple[Device, ...]:
    """Apply CUDA's rule: entries in order, indices or (prefixes of) UUIDs, up to the first invalid one."""
    chosen: list[Device] = []
    for word in visible.split(","):
        entry = word.strip()
        match = next((each for each in devices if entry and _names(entry, each)), None)
        if match is None or match in chosen:
            break
        chosen.append(match)
    return tuple(chosen)


def _names(entry: str, device: Device) -> bool:
    return entry == str(device.index) if entry.isdigit() else device.uuid.startswith(entry)

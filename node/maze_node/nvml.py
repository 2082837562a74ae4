"""NVIDIA's management library behind the few functions that are used here. Loaded only where a driver is.

Everything that asks it takes an `Nvml`, so that tests can give another one. A call may take milliseconds, and on a sick
device seconds: never call it on the event loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

__all__ = ["MIB", "Nvml", "load_nvml", "text_of"]

MIB: Final = 2**20
DRIVER: Final = Path("/proc/driver/nvidia/version")
CONTROL: Final = Path("/dev/nvidiactl")


class Nvml(Protocol):
    """What is used of pynvml."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802 -- NVIDIA's name
    def nvmlShutdown(self) -> None: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetUUID(self, handle: Any) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetName(self, handle: Any) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetMigMode(self, handle: Any) -> Any: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int: ...  # noqa: N802 -- NVIDIA's name
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any: ...  # noqa: N802 -- NVIDIA's name


def load_nvml() -> Nvml | None:
    """Return the library, or None where no driver is."""
    if not DRIVER.exists() and not CONTROL.exists():
        return None
    import pynvml

    library: Nvml = pynvml
    return library


def text_of(value: Any) -> str:
    """Return a string of NVML, which older bindings give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

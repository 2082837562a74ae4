"""GPUs: NVML cut down to CUDA_VISIBLE_DEVICES; no failure stops a node."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from maze_node.gpus import find_gpus, free_memory
from maze_protocol.resources import Device


class DriverError(Exception):
    pass


class FakeNvml:
    NVMLError = DriverError

    def __init__(self, count: int = 3, broken: bool = False) -> None:
        self._count = count
        self._broken = broken

    def nvmlInit(self) -> None:
        if self._broken:
            raise DriverError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return self._count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=(handle + 1) * 2**30, free=2**20)

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:
        return b"GPU-%d" % handle

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "Model"


def test_all_devices_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices, origin = find_gpus(FakeNvml())
    assert devices[1] == Device(1, 2048, "GPU-1", "Model")
    assert (len(devices), origin) == (3, "NVML")


@pytest.mark.parametrize(
    ("mask", "indices"),
    [
        ("2,0", [2, 0]), ("", []), ("-1", []), ("0,9,1", [0]), ("GPU-1", [1]), ("1,1", [1]), (" 1 , 2 ", [1, 2]),
        ("NoDevFiles", []),
    ],
)  # fmt: skip
def test_the_mask_is_read_as_cuda_reads_it(mask: str, indices: list[int]) -> None:
    devices, origin = find_gpus(FakeNvml(), mask)
    assert [device.index for device in devices] == indices
    assert f"CUDA_VISIBLE_DEVICES={mask}" in origin


def test_a_broken_driver_means_no_gpus_and_says_why() -> None:
    assert find_gpus(FakeNvml(broken=True)) == ((), "NVML failed: Driver Not Loaded")


def test_declared_devices_have_no_readings() -> None:
    assert free_memory((Device(0, 100),)) == ()

"""GPUs: NVML cut down to CUDA_VISIBLE_DEVICES; no failure stops a node."""

from __future__ import annotations

import pytest

from maze_node.core.offer import Use
from maze_node.gpus import Driver, slice_index
from maze_node.nvml import load_nvml
from maze_protocol.resources import Device
from support.fake_nvml import FakeGpu, FakeNvml


def three() -> FakeNvml:
    return FakeNvml(*(FakeGpu(f"GPU-{index}", total=1024 * (index + 1)) for index in range(3)))


def sliced() -> FakeNvml:
    slices = {0: FakeGpu("MIG-a", 400), 2: FakeGpu("MIG-b", 600, used=100)}
    return FakeNvml(FakeGpu("GPU-0"), FakeGpu("GPU-1", slices=slices))


def test_all_devices_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml = three()
    nvml.gpus[1].used = 24
    devices, origin, uses = Driver(nvml).find()
    assert devices[1] == Device(1, 2048, "GPU-1", "Model")
    assert uses[1] == Use("GPU-1", 2024, 0)
    assert (len(devices), len(uses), origin) == (3, 3, "NVML")


@pytest.mark.parametrize(
    ("mask", "indices"),
    [
        ("2,0", [2, 0]), ("", []), ("-1", []), ("0,9,1", [0]), ("GPU-1", [1]), ("1,1", [1]), (" 1 , 2 ", [1, 2]),
        ("NoDevFiles", []), ("GPU-2,GPU-0", [2, 0]),
    ],
)  # fmt: skip
def test_the_mask_is_read_as_cuda_reads_it(mask: str, indices: list[int]) -> None:
    devices, origin, uses = Driver(three()).find(mask)
    assert [device.index for device in devices] == indices
    assert [use.uuid for use in uses] == [device.uuid for device in devices]
    assert f"CUDA_VISIBLE_DEVICES={mask}" in origin


@pytest.mark.parametrize(
    ("mask", "uuids"),
    [
        ("0,1", ["GPU-0", "MIG-a", "MIG-b"]), ("MIG-b", ["MIG-b"]), ("MIG-b,MIG-a,0", ["MIG-b", "MIG-a", "GPU-0"]),
        ("GPU-1", ["MIG-a", "MIG-b"]), ("MIG-a,1", ["MIG-a"]),
    ],
)  # fmt: skip
def test_a_sliced_device_is_its_slices(mask: str, uuids: list[str]) -> None:
    devices, _, uses = Driver(sliced()).find(mask)
    assert [device.uuid for device in devices] == uuids
    assert all(use.free_mib == 500 for use in uses if use.uuid == "MIG-b"), "each slice has its own readings"


def test_slices_have_numbers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices = Driver(sliced()).find().devices
    assert [(device.index, device.mem_mib) for device in devices] == [
        (0, 10_000), (slice_index(1, 0), 400), (slice_index(1, 2), 600),
    ]  # fmt: skip


def test_a_broken_driver_means_no_gpus_and_says_why() -> None:
    assert Driver(FakeNvml(fault="Driver Not Loaded")).find() == ((), "NVML failed: Driver Not Loaded", ())


def test_nvml_is_begun_once_and_anew_after_a_failure() -> None:
    nvml = three()
    driver = Driver(nvml)
    assert [len(driver.find("0").devices) for _ in range(3)] == [1, 1, 1]
    assert nvml.beginnings == 1
    nvml.fault = "GPU is lost"
    assert driver.find("0") == ((), "NVML failed: GPU is lost", ())
    assert driver.find("0").devices == ()
    nvml.fault = ""
    assert len(driver.find("0").devices) == 1
    assert (nvml.beginnings, nvml.begun) == (2, 1)


def test_one_lost_device_takes_no_other_with_it() -> None:
    nvml = three()
    driver = Driver(nvml)
    nvml.gpus[1].fault = "GPU is lost"
    devices, origin, _ = driver.find("0,1,2")
    assert [device.index for device in devices] == [0, 2]
    assert "GPU 1 failed: GPU is lost" in origin
    nvml.gpus[1].fault = ""
    assert [device.index for device in driver.find("0,1,2").devices] == [0, 1, 2]


@pytest.mark.skipif(load_nvml() is not None, reason="there is a driver here")
def test_no_driver() -> None:
    assert Driver().find() == ((), "no NVIDIA driver", ())

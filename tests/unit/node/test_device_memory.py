"""Memory of a device by process, for holding attempts to their claims."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue

import pytest

from maze_node.device_memory import DeviceMemory, DeviceUse, device_memory
from support.fake_nvml import FakeGpu, FakeNvml


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for pid in (5, 6):
        (tmp_path / str(pid)).mkdir()
    return tmp_path


def machine(processes: dict[int, int | None] | None, **given: str) -> FakeNvml:
    return FakeNvml(FakeGpu("GPU-a", processes=processes, **given), FakeGpu("GPU-b"))


def test_a_device_goes_by_its_uuid_and_a_slice_by_its_own(proc: Path) -> None:
    slices = {1: FakeGpu("MIG-a", processes={6: 30})}
    nvml = FakeNvml(FakeGpu("GPU-a", processes={5: 300, 6: 1}, slices=slices))
    assert device_memory("GPU-a", nvml, proc) == {5: 300, 6: 1}
    assert device_memory("MIG-a", nvml, proc) == {6: 30}
    assert nvml.begun == 0, "whoever else has begun it can end it"


@pytest.mark.parametrize("processes", [None, {}, {5: None}, {5: 100, 6: None}])
def test_what_the_driver_does_not_tell_is_not_known(proc: Path, processes: dict[int, int | None] | None) -> None:
    assert device_memory("GPU-a", machine(processes), proc) == {}


def test_a_sick_device_and_one_that_is_gone_tell_nothing(proc: Path) -> None:
    nvml = machine({5: 100}, fault="Lost")
    assert device_memory("GPU-a", nvml, proc) == {}
    assert device_memory("GPU-c", nvml, proc) == {}
    assert nvml.begun == 0
    assert device_memory("GPU-a", FakeNvml(fault="Driver Not Loaded"), proc) == {}


def test_a_declared_device_has_no_uuid_and_no_processes(proc: Path) -> None:
    assert device_memory("", machine({5: 100}), proc) == {}


def test_a_list_with_a_process_that_is_not_here_is_of_another_namespace(proc: Path) -> None:
    assert device_memory("GPU-a", machine({5: 100, 7: 1}), proc) == {}


def test_a_device_that_does_not_answer_holds_nobody_up_and_what_was_read_is_told_once() -> None:
    begun, answer = SimpleQueue[str](), SimpleQueue[Mapping[int, int]]()

    def slow(uuid: str) -> Mapping[int, int]:
        begun.put(uuid)
        return answer.get(timeout=10)

    devices = DeviceMemory(slow)
    assert devices.read(["GPU-a"], [1]) == DeviceUse()
    assert begun.get(timeout=10) == "GPU-a"
    assert devices.read(["GPU-a"], [1, 2]) == DeviceUse(), "it is being read"
    answer.put({5: 100})
    told = next(each for each in iter(lambda: devices.read([], []), None) if each.leases)
    assert told == DeviceUse(frozenset({1}), {"GPU-a": {5: 100}}), "of those that ran when it was asked"
    assert devices.read([], []) == DeviceUse()
    devices.stop()
    for thread in threading.enumerate():
        if thread.name == "maze-watch":
            thread.join(10)

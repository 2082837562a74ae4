"""Memory of a device by process, for holding attempts to their claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_node.device_memory import device_memory
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

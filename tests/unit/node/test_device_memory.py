"""Memory of a device by process, as NVML tells it or does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from maze_node.device_memory import device_memory

MIB = 2**20


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for pid in (5, 6):
        (tmp_path / str(pid)).mkdir()
    return tmp_path


class DriverError(Exception):
    pass


class FakeNvml:
    NVMLError = DriverError

    def __init__(self, *processes: tuple[int, int | None], broken: bool = False) -> None:
        self.processes = [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes]
        self.broken = broken

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-a":
            raise DriverError("Not Found")
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        if self.broken:
            raise DriverError("Not Supported")
        return self.processes


def test_contexts_of_one_process_add_up(proc: Path) -> None:
    assert device_memory("GPU-a", FakeNvml((5, 300 * MIB), (6, MIB), (5, 100 * MIB)), proc) == {5: 400, 6: 1}


def test_what_the_driver_does_not_tell_is_not_there(proc: Path) -> None:
    assert device_memory("GPU-a", FakeNvml((5, None)), proc) == {5: 0}
    assert device_memory("GPU-a", FakeNvml((5, MIB), broken=True), proc) == {}
    assert device_memory("GPU-b", FakeNvml((5, MIB)), proc) == {}


def test_a_declared_device_has_no_uuid_and_no_processes(proc: Path) -> None:
    assert device_memory("", FakeNvml((5, MIB)), proc) == {}


def test_a_list_with_a_process_that_is_not_here_is_of_another_namespace(proc: Path) -> None:
    assert device_memory("GPU-a", FakeNvml((5, MIB), (7, MIB)), proc) == {}

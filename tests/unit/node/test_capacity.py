"""What a node offers: the least of all bounds, overridden by flags, every number with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_node.capacity import HostProbe, measure
from maze_node.cgroups import cpu_quotas, memory_limits
from maze_node.config import Settings
from maze_node.gpus import Gpus
from maze_protocol.resources import Device


class Fixed:
    """A machine of our choice."""

    def cpus(self) -> list[tuple[float, str]]:
        return [(8.0, "machine"), (2.5, "quota"), (4.0, "affinity")]

    def memory(self) -> list[tuple[int, str]]:
        return [(16_000, "machine"), (4_000, "group")]

    def gpus(self) -> Gpus:
        return Gpus((Device(0, 100, "GPU-a", "A"), Device(2, 200, "GPU-b", "B")), "NVML")


def test_the_least_bound_wins_and_is_named() -> None:
    capacity = measure(Settings(), Fixed())
    assert (capacity.cpu_milli, capacity.mem_mib, capacity.workers) == (2500, 4000, 16)
    assert [device.index for device in capacity.devices] == [0, 2]
    assert dict(capacity.origins) == {
        "cpu": "quota", "memory": "group", "gpu": "NVML", "workers": "4 per CPU, at least 16",
    }  # fmt: skip


def test_flags_override() -> None:
    capacity = measure(Settings(cpus=32, memory=5, workers=3, gpus=1, gpu_mem=7), Fixed())
    assert (capacity.cpu_milli, capacity.mem_mib, capacity.workers) == (32_000, 5, 3)
    assert capacity.devices == (Device(0, 7, "GPU-a", "A"),)
    assert dict(capacity.origins)["gpu"] == "--gpus, memory by --gpu-mem"


def test_more_gpus_than_there_are_can_be_declared() -> None:
    devices = measure(Settings(gpus=4, gpu_mem=10), Fixed()).devices
    assert [(device.index, device.mem_mib) for device in devices] == [(0, 10), (2, 10), (3, 10), (4, 10)]
    assert measure(Settings(gpus=0), Fixed()).devices == ()


@pytest.mark.parametrize(("cpus", "workers"), [(0.1, 16), (4, 16), (5, 20), (1e6, 4096)])
def test_workers_follow_the_cpus(cpus: float, workers: int) -> None:
    assert measure(Settings(cpus=cpus), Fixed()).workers == workers


def test_several_nodes_divide_what_is_measured() -> None:
    first, second = (measure(Settings(share=(part, 2)), Fixed()) for part in (1, 2))
    assert first.cpu_milli == second.cpu_milli == 1250
    assert first.mem_mib == second.mem_mib == 2000
    assert ([each.index for each in first.devices], [each.index for each in second.devices]) == ([0], [2])
    assert dict(second.origins)["cpu"] == "quota, part 2 of 2"


def test_a_share_is_never_less_than_one_cpu_and_divides_no_flags() -> None:
    assert measure(Settings(share=(1, 4)), Fixed()).cpu_milli == 1000
    told = measure(Settings(share=(2, 4), cpus=3, memory=10, gpus=2), Fixed())
    assert (told.cpu_milli, told.mem_mib, [each.index for each in told.devices]) == (3000, 10, [0, 2])


def test_this_machine_can_be_measured() -> None:
    capacity = measure(Settings(), HostProbe())
    assert capacity.cpu_milli >= 100
    assert capacity.mem_mib > 100
    assert all(origin for _, origin in capacity.origins)


def _tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_control_groups_version_2_bound_along_the_path(tmp_path: Path) -> None:
    _tree(tmp_path, {
        "proc/cgroup": "0::/a/b\n",
        "fs/a/cpu.max": "150000 100000\n",
        "fs/a/b/cpu.max": "max 100000\n",
        "fs/a/memory.max": "max\n",
        "fs/a/b/memory.max": str(512 * 2**20),
    })  # fmt: skip
    assert [quota for quota, _ in cpu_quotas(tmp_path / "fs", tmp_path / "proc")] == [1.5]
    ((limit, origin),) = memory_limits(tmp_path / "fs", tmp_path / "proc")
    assert limit == 512
    assert "a/b" in origin


def test_control_groups_version_1(tmp_path: Path) -> None:
    _tree(tmp_path, {
        "proc/cgroup": "4:memory:/x\n2:cpu,cpuacct:/x\n1:name=systemd:/\n",
        "fs/cpu,cpuacct/x/cpu.cfs_quota_us": "50000\n",
        "fs/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
        "fs/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "fs/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "fs/memory/x/memory.limit_in_bytes": str(2**63 - 4096),
        "fs/memory/memory.limit_in_bytes": str(100 * 2**20),
    })  # fmt: skip
    assert [quota for quota, _ in cpu_quotas(tmp_path / "fs", tmp_path / "proc")] == [0.5]
    assert [limit for limit, _ in memory_limits(tmp_path / "fs", tmp_path / "proc")] == [100]


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert cpu_quotas(tmp_path, tmp_path) == memory_limits(tmp_path, tmp_path) == []

"""Bounds of control groups, on trees of our own."""

from __future__ import annotations

from pathlib import Path

from maze_node.cgroups import cpu_quotas, memory_limits


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


def test_nested_groups_each_bound_what_is_below(tmp_path: Path) -> None:
    _tree(tmp_path, {
        "proc/cgroup": "0::/system.slice/job_7/step_0\n",
        "fs/memory.max": "max\n",
        "fs/system.slice/memory.max": str(64 * 2**30),
        "fs/system.slice/cpu.max": "800000 100000\n",
        "fs/system.slice/job_7/memory.max": str(8 * 2**30),
        "fs/system.slice/job_7/step_0/memory.max": str(16 * 2**30),
        "fs/system.slice/job_7/step_0/cpu.max": "1600000 100000\n",
    })  # fmt: skip
    assert min(memory_limits(tmp_path / "fs", tmp_path / "proc"))[0] == 8 * 1024
    quota, origin = min(cpu_quotas(tmp_path / "fs", tmp_path / "proc"))
    assert quota == 8
    assert origin.endswith("system.slice")


def test_in_a_container_the_root_is_what_is_mounted(tmp_path: Path) -> None:
    # The path is that of the host, or leads out of what is mounted; the limits are in the mount's root.
    for path in ("/docker/0123abcd", "/../../kubepods/pod1"):
        _tree(tmp_path, {
            "proc/cgroup": f"0::{path}\n",
            "fs/cpu.max": "200000 100000\n",
            "fs/memory.max": str(512 * 2**20),
        })  # fmt: skip
        assert [quota for quota, _ in cpu_quotas(tmp_path / "fs", tmp_path / "proc")] == [2]
        assert [limit for limit, _ in memory_limits(tmp_path / "fs", tmp_path / "proc")] == [512]


def test_both_versions_side_by_side(tmp_path: Path) -> None:
    _tree(tmp_path, {
        "proc/cgroup": "3:cpu:/\n0::/unit\n",
        "fs/cpu/cpu.cfs_quota_us": "300000\n",
        "fs/cpu/cpu.cfs_period_us": "100000\n",
        "fs/unified/unit/memory.max": str(256 * 2**20),
    })  # fmt: skip
    assert [quota for quota, _ in cpu_quotas(tmp_path / "fs", tmp_path / "proc")] == [3]
    assert [limit for limit, _ in memory_limits(tmp_path / "fs", tmp_path / "proc")] == [256]

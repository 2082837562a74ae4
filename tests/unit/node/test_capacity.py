"""What a node offers: the least of all bounds, overridden by flags, every number with its origin."""

from __future__ import annotations

import pytest

from maze_node.capacity import HostProbe, Surveyor, measure
from maze_node.config import Settings
from maze_node.core.offer import Use
from maze_node.gpus import Gpus
from maze_protocol.resources import Device

A, B = Device(0, 1000, "GPU-a", "A"), Device(2, 2000, "GPU-b", "B")
USES = (Use("GPU-a", 1000, 0), Use("GPU-b", 1500, 100))


class Fixed:
    """A machine of our choice, whose devices come and go."""

    def __init__(self, *found: Gpus) -> None:
        self._found = list(found) or [Gpus((A, B), "NVML", USES)]

    def cpus(self) -> list[tuple[float, str]]:
        return [(8.0, "machine"), (2.5, "quota"), (4.0, "affinity")]

    def memory(self) -> list[tuple[int, str]]:
        return [(16_000, "machine"), (4_000, "group")]

    def gpus(self) -> Gpus:
        return self._found.pop(0) if len(self._found) > 1 else self._found[0]


def test_the_least_bound_wins_and_is_named() -> None:
    capacity = measure(Settings(), Fixed())
    assert (capacity.cpu_milli, capacity.mem_mib, capacity.workers) == (2500, 4000, 16)
    assert [(device.index, device.mem_mib) for device in capacity.devices] == [(0, 1000), (2, 1600)]
    assert dict(capacity.origins) == {
        "cpu": "quota", "memory": "group", "gpu": "NVML", "workers": "4 per CPU, at least 16",
        "gpu 2": "2,000 MiB by NVML, 400 MiB of them in use by others",
    }  # fmt: skip


def test_flags_override() -> None:
    capacity = measure(Settings(cpus=32, memory=5, workers=3, gpus=1, gpu_mem=7), Fixed())
    assert (capacity.cpu_milli, capacity.mem_mib, capacity.workers) == (32_000, 5, 3)
    assert capacity.devices == (Device(0, 7, "GPU-a", "A"),)
    assert dict(capacity.origins)["gpu"] == "--gpus; NVML; memory by --gpu-mem"


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


NONE = Gpus((), "NVML failed: Unknown Error")
FIRST, SECOND, BOTH = Gpus((A,), "NVML", USES[:1]), Gpus((B,), "NVML", USES[1:]), Gpus((A, B), "NVML", USES)


@pytest.mark.parametrize(
    ("settings", "found", "indices"),
    [
        (Settings(), (BOTH, SECOND, NONE, BOTH), [[0, 2], [2], [], [0, 2]]),
        (Settings(), (NONE, BOTH), [[], [0, 2]]),
        # Nothing is declared in place of what has vanished.
        (Settings(gpus=2), (BOTH, SECOND, BOTH), [[0, 2], [2], [0, 2]]),
        (Settings(gpus=1), (BOTH, SECOND, BOTH), [[0], [], [0]]),
        (Settings(gpus=2, gpu_mem=5), (NONE, BOTH), [[0, 1], [0, 1]]),
        (Settings(gpus=3), (BOTH, FIRST, BOTH), [[0, 2, 3], [0, 3], [0, 2, 3]]),
        (Settings(gpus=0), (BOTH, NONE), [[], []]),
        # What is left does not move into another node's part.
        (Settings(share=(1, 2)), (BOTH, SECOND, BOTH), [[0], [], [0]]),
        (Settings(share=(2, 2)), (NONE, BOTH, SECOND), [[], [2], [2]]),
    ],
)
def test_devices_come_and_go(settings: Settings, found: tuple[Gpus, ...], indices: list[list[int]]) -> None:
    surveyor = Surveyor(settings, Fixed(*found))
    for expected in indices:
        survey = surveyor.survey()
        assert [device.index for device in survey.capacity.devices] == expected
        measured = {device.uuid for device in survey.capacity.devices if device.uuid}
        assert {use.uuid for use in survey.uses} == (set() if settings.gpu_mem else measured)


def test_what_is_not_to_be_measured_is_as_flags_say() -> None:
    probe = Fixed()
    nothing = measure(Settings(detect=frozenset()), probe)
    assert (nothing.cpu_milli, nothing.mem_mib, nothing.devices) == (1000, 0, ())
    assert dict(nothing.origins) == {
        "cpu": "--detect",
        "memory": "--detect",
        "gpu": "--detect",
        "workers": "4 per CPU, at least 16",
    }
    declared = measure(Settings(detect=frozenset(("cpus",)), memory=5, gpus=2, gpu_mem=7), probe)
    assert (declared.cpu_milli, declared.mem_mib) == (2500, 5)
    assert [(each.index, each.mem_mib, each.uuid) for each in declared.devices] == [(0, 7, ""), (1, 7, "")]


def test_this_machine_can_be_measured() -> None:
    capacity = measure(Settings(), HostProbe())
    assert capacity.cpu_milli >= 100
    assert capacity.mem_mib > 100
    assert all(origin for _, origin in capacity.origins)

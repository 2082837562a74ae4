"""Whose memory is it? As far as NVML can tell, and not a step further."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from maze_node.gpu_use import UNEXPLAINED_MIB, Family, own_part, process_memory
from support.fake_nvml import FakeGpu, FakeNvml

ROOT, WORKER, CHILD, STRANGER = 10, 20, 30, 40


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Processes 1 > 10 > 20 > 30 and 1 > 40."""
    for pid, parent in ((1, 0), (ROOT, 1), (WORKER, ROOT), (CHILD, WORKER), (STRANGER, 1)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a (strange) name) S {parent} 1 1 0")
    return tmp_path


def own(proc: Path, processes: dict[int, int | None] | None, beside: int = 0) -> int | None:
    """Return our part of what these processes use; `beside` is in use without being listed."""
    listed = process_memory(FakeNvml(), FakeGpu("GPU-0", processes=processes))
    return own_part(listed, sum((listed or {}).values()) + beside, Family(ROOT, proc))


def test_the_family_is_the_process_and_what_descends_from_it(proc: Path) -> None:
    family = Family(ROOT, proc)
    assert [family.has(pid) for pid in (ROOT, WORKER, CHILD, STRANGER, 1, 99)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert family.knows(STRANGER)
    assert not family.knows(99)


def test_by_default_it_is_ours() -> None:
    family = Family()
    assert family.has(os.getpid())
    assert not family.has(os.getppid())


def test_own_use_is_that_of_the_family(proc: Path) -> None:
    assert own(proc, {WORKER: 100, CHILD: 20, STRANGER: 3}) == 120
    assert own(proc, {STRANGER: 3}) == 0
    assert own(proc, {}) == 0


@pytest.mark.parametrize("processes", [None, {WORKER: None}, {WORKER: 100, STRANGER: None}])
def test_nvml_may_not_say(proc: Path, processes: dict[int, int | None] | None) -> None:
    assert own(proc, processes) is None
    assert process_memory(FakeNvml(), FakeGpu("GPU-0", processes=processes)) is None


def test_pids_of_another_namespace_tell_nothing(proc: Path) -> None:
    assert own(proc, {WORKER: 100, 4711: 3}) is None


def test_silence_proves_nothing_where_more_is_in_use_than_is_listed() -> None:
    family = Family()
    assert own_part({}, UNEXPLAINED_MIB, family) == 0, "the driver's own"
    assert own_part({}, UNEXPLAINED_MIB + 1, family) is None
    assert own_part({1: 5_000}, 5_600, family) == 0, "a stranger explains it"
    assert own_part({1: 5_000}, 9_000, family) is None
    assert own_part({os.getpid(): 100}, 9_000, family) == 100, "we are listed, so the rest is others'"


def test_a_process_may_be_listed_for_each_of_its_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    twice = [SimpleNamespace(pid=5, usedGpuMemory=each << 20) for each in (300, 100)]
    monkeypatch.setattr(nvml, "nvmlDeviceGetComputeRunningProcesses", lambda handle: twice)
    assert process_memory(nvml, FakeGpu("GPU-0")) == {5: 400}

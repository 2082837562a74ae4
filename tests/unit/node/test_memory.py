"""What the processes of an attempt have: of real processes, and of a made-up /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from maze_node.core.allowance import Watched
from maze_node.core.events import MemoryUse
from maze_node.device_memory import DeviceMemory, DeviceUse
from maze_node.memory import ROUNDS, MemoryWatch

MIB = 1024
ANY = 2**40


@contextmanager
def python(code: str) -> Iterator[int]:
    """Run code, wait for its first line, and end it with all that it has forked."""
    command = [sys.executable, "-c", f"import os, sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            # The children wait on the same pipe.
            process.stdin.close()


def read(watch: MemoryWatch, pid: int, limit: int = ANY) -> int:
    (use,) = watch.read([Watched(1, pid, limit, ())])
    return use.mem_kib // MIB


def test_anonymous_memory_of_a_process() -> None:
    with python("data = bytearray(100 << 20)\nfor i in range(0, len(data), 4096): data[i] = 1") as pid:
        assert 100 <= read(MemoryWatch(), pid) < 140


def test_what_a_worker_had_before_is_not_its_attempts() -> None:
    with python("data = b'x' * (100 << 20)") as pid:
        watch = MemoryWatch()
        watch.note(pid)
        assert read(watch, pid) < 10


def test_who_gives_back_more_than_it_takes_has_nothing(tmp_path: Path) -> None:
    machine = Proc(tmp_path)
    machine.process(5, anonymous=100)
    watch = MemoryWatch(proc=tmp_path)
    watch.note(5)
    machine.process(5, anonymous=60)
    assert watch.read([Watched(1, 5, ANY, ())]) == (MemoryUse(1, 0),)


def test_descendants_count_and_pages_that_they_share_count_once() -> None:
    code = """
data = b"x" * (100 << 20)
ready, done = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        own = b"y" * (20 << 20)
        os.write(done, b".")
        sys.stdin.read()
        os._exit(0)
for _ in range(3):
    os.read(ready, 1)
"""
    with python(code) as pid:
        assert read(MemoryWatch(), pid) >= 4 * 100 + 3 * 20, "below the limit a cheap sum will do"
        assert 100 + 3 * 20 <= read(MemoryWatch(), pid, 300) < 100 + 3 * 20 + 60


def test_memfds_that_were_there_before_are_not_the_attempts() -> None:
    made = "sys.stdin.readline(); f = os.memfd_create('x'); os.write(f, bytes(30 << 20)); print(f)"
    program = f"import os, sys; print('ready'); {made}"
    command = [sys.executable, "-uc", f"{program}; sys.stdin.readline()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # what an interpreter opens while it starts is gone, as in a worker that is idle
        watch = MemoryWatch()
        for _ in range(2):
            watch.note(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        used = read(watch, process.pid)
        for _ in range(2):
            watch.note(process.pid)
        assert used - read(watch, process.pid) >= 30
        process.stdin.close()


def test_memfds_count_once_and_those_of_the_node_do_not() -> None:
    code = """
for name, size in (("mine", 30), ("maze-input", 50)):
    file = os.memfd_create(name)
    os.write(file, b"x" * (size << 20))
    os.dup(file)
"""
    with python(code) as pid:
        assert 30 <= read(MemoryWatch(), pid) < 30 + 30


def test_families_are_looked_for_in_some_rounds_only() -> None:
    devices = Devices()
    watch = MemoryWatch(devices)
    attempts = [Watched(1, os.getpid(), 0, ((2, "GPU-a"),)), Watched(2, 2**22 + 1, 0, ((2, "GPU-a"),))]
    used = [watch.read(attempts)[0].devices for _ in range(2 * ROUNDS)]
    assert used == [((2, 0),)] * ROUNDS + [((2, 70),)] * ROUNDS, "first it has to be read"
    assert devices.asked == [(["GPU-a"], [1, 2])] * 2


def test_what_a_device_was_read_to_have_is_not_charged_to_a_later_attempt_of_the_worker() -> None:
    watch = MemoryWatch(Devices())
    before, after = (Watched(lease, os.getpid(), 0, ((2, "GPU-a"),)) for lease in (1, 2))
    for _ in range(ROUNDS):
        watch.read([before])
    assert watch.read([after]) == (MemoryUse(2, 0, ((2, 0),)),)
    for _ in range(ROUNDS):
        (use,) = watch.read([after])
    assert use.devices == ((2, 70),)


class Devices(DeviceMemory):
    """Devices that are read at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[int]]] = []
        self.known = DeviceUse()

    def read(self, uuids: Iterable[str], leases: Iterable[int]) -> DeviceUse:
        self.asked.append((list(uuids), list(leases)))
        known, self.known = self.known, DeviceUse(frozenset(leases), {"GPU-a": {os.getpid(): 70, 1: 5}})
        return known


@pytest.mark.parametrize(
    ("rollup", "kib"),
    [("x\nPss: 900 kB\nPss_Anon: 300 kB\n", 600), ("x\nPss: 400 kB\n", 800), ("x\nPss: 9000 kB\n", 2000), (None, 2000)],
)
def test_pages_are_divided_as_well_as_the_kernel_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rollup: str | None, kib: int
) -> None:
    monkeypatch.setattr("maze_node.memory.children", lambda pid: [6] if pid == 5 else [])
    for pid in (5, 6):
        Proc(tmp_path).process(pid, anonymous=1000)
        if rollup is not None:
            (tmp_path / str(pid) / "smaps_rollup").write_text(rollup)
    assert MemoryWatch(proc=tmp_path).read([Watched(1, 5, 1, ())]) == (MemoryUse(1, kib),)
    assert MemoryWatch(proc=tmp_path).read([Watched(1, 5, 2, ())]) == (MemoryUse(1, 2000),), "not beyond 2 MiB"


class Proc:
    """A folder like /proc."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def process(self, pid: int, anonymous: int) -> None:
        folder = self._root / str(pid)
        (folder / "fd").mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text(f"Name:\tx\nRssAnon:\t{anonymous} kB\n")


@pytest.mark.parametrize("status", ["", "Name:\tx\nVmRSS:\t100 kB\n"])
def test_a_process_that_is_gone_and_a_kernel_that_does_not_tell_count_nothing(tmp_path: Path, status: str) -> None:
    if status:
        Proc(tmp_path).process(5, 1)
        (tmp_path / "5" / "status").write_text(status)
    assert MemoryWatch(proc=tmp_path).read([Watched(1, 5, 1, ())]) == (MemoryUse(1, 0),)

"""Which guarantees of a node hold on this machine, and why not where they do not. Looks only; changes nothing.

Each is a promise that rests on something of the kernel's. Where that is missing, the node runs all the same, and the
promise is weaker, as told. `Kernel` is the machine; tests give another one.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

__all__ = ["Guarantee", "Host", "Kernel", "guarantees", "spool_dir"]

_PR_GET_PDEATHSIG: Final = 2
_PR_GET_CHILD_SUBREAPER: Final = 37
_FIRST_PID_NAMESPACE: Final = 0xEFFF_FFFC
"""PROC_PID_INIT_INO of the kernel."""


def spool_dir() -> str:
    """Return where large temporary files belong: on a disk, whereas `/tmp` is memory on many systems."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK | os.X_OK):  # noqa: S108 -- files without a name
        return "/var/tmp"  # noqa: S108 -- as above
    return tempfile.gettempdir()


class Guarantee(NamedTuple):
    """One promise: whether it holds, what it rests on, and what follows where it does not."""

    name: str
    promise: str
    holds: bool
    found: str
    without: str


class Host(Protocol):
    """What is asked of a machine."""

    @property
    def name(self) -> str:
        """Return the system and its version."""

    def prctl(self, option: int) -> bool:
        """Tell whether the kernel answers a reading prctl."""

    def read(self, path: str) -> str | None:
        """Return a file's text, stripped, or None."""

    def exists(self, path: str) -> bool:
        """Tell whether a path exists."""

    def has_boottime(self) -> bool:
        """Tell whether there is a clock that runs during suspend."""

    def in_first_pid_namespace(self) -> bool:
        """Tell whether process ids here are those of the whole machine."""

    def makes_unnamed_files(self) -> bool:
        """Tell whether the directory for temporary files takes files without a name."""


class Kernel:
    """This machine."""

    @property
    def name(self) -> str:
        return f"{platform.system()} {platform.release()}"

    def prctl(self, option: int) -> bool:
        if not sys.platform.startswith("linux"):
            return False
        found = ctypes.c_int(0)
        return int(ctypes.CDLL(None).prctl(option, ctypes.byref(found), 0, 0, 0)) == 0

    def read(self, path: str) -> str | None:
        try:
            return Path(path).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def has_boottime(self) -> bool:
        return hasattr(time, "CLOCK_BOOTTIME")

    def in_first_pid_namespace(self) -> bool:
        try:
            return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE
        except OSError:
            return False

    def makes_unnamed_files(self) -> bool:
        try:
            os.close(os.open(spool_dir(), os.O_TMPFILE | os.O_RDWR, 0o600))
        except (OSError, AttributeError):
            return False
        return True


def guarantees(host: Host | None = None) -> list[Guarantee]:
    """Return all of them, the weightiest first."""
    host = host or Kernel()
    return [check(host) for check in _CHECKS]


def _workers_end(host: Host) -> Guarantee:
    return Guarantee(
        "end of a node",
        "workers end with their node, kill -9 included",
        host.prctl(_PR_GET_PDEATHSIG),
        f"PR_SET_PDEATHSIG, {host.name}",
        "workers may outlive a killed node: end them by hand",
    )


def _strays_end(host: Host) -> Guarantee:
    parts = {
        "PR_SET_CHILD_SUBREAPER": host.prctl(_PR_GET_CHILD_SUBREAPER),
        "the processes in /proc": host.exists("/proc/self/stat"),
    }
    missing = [part for part, there in parts.items() if not there]
    found = ("no " if missing else "") + " and no ".join(missing or [", ".join(parts)])
    return Guarantee(
        "strays of tasks",
        "what tasks leave behind is killed, daemons with setsid too, unless agent and spawner die in the same moment",
        not missing,
        f"{found}; user namespaces, not used yet: {_user_namespaces(host)}",
        "end a node's unit or container as a whole (systemd: KillMode=control-group)",
    )


def _user_namespaces(host: Host) -> str:
    if host.read("/proc/sys/user/max_user_namespaces") in (None, "0"):
        return "none"
    if host.read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "for root"
    if host.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "restricted by AppArmor"
    return "available"


def _fence_holds(host: Host) -> Guarantee:
    there = host.has_boottime()
    return Guarantee(
        "suspend",
        "no lease is started late after the machine has slept",
        there,
        "CLOCK_BOOTTIME" if there else "no clock that runs during suspend",
        "a task may run twice; one result is accepted all the same",
    )


def _memory_is_blamed(host: Host) -> Guarantee:
    counts = "\noom_kill " in (host.read("/proc/vmstat") or "")
    return Guarantee(
        "lack of memory",
        "a worker killed for lack of memory is told from one killed otherwise",
        counts,
        "oom_kill in /proc/vmstat" if counts else "the kernel does not count its kills",
        "such a crash is told as SIGKILL from outside",
    )


def _memory_is_read(host: Host) -> Guarantee:
    tells = "\nRssAnon:" in (host.read("/proc/self/status") or "")
    return Guarantee(
        "claims of memory",
        "a task that takes more memory than it claimed is ended, and told so",
        tells,
        "RssAnon in /proc/PID/status" if tells else "the kernel does not tell anonymous memory",
        "such a task may take the memory of others",
    )


def _device_memory_is_read(host: Host) -> Guarantee:
    driver = host.exists("/proc/driver/nvidia/version")
    first = host.in_first_pid_namespace()
    where = "the machine's PID namespace" if first else "a PID namespace of its own"
    return Guarantee(
        "claims of GPU memory",
        "a task that takes more of a shared GPU than it claimed is ended, and told so",
        first or not driver,
        f"NVML, in {where}" if driver else "no NVIDIA driver, no GPUs",
        "not every driver tells there whose memory it is: start the node in the machine's (docker run --pid=host)",
    )


def _limits_are_seen(host: Host) -> Guarantee:
    second = host.exists("/sys/fs/cgroup/cgroup.controllers")
    first = host.exists("/sys/fs/cgroup/memory") or host.exists("/sys/fs/cgroup/cpu")
    return Guarantee(
        "limits",
        "the limits of a container are what a node offers",
        first or second,
        f"control groups, version {2 if second else 1}" if first or second else "no control groups",
        "in a container, give --cpus and --memory",
    )


def _results_leave_nothing(host: Host) -> Guarantee:
    makes = host.makes_unnamed_files()
    return Guarantee(
        "waiting results",
        "results on disk that wait for the head vanish with their node",
        makes,
        f"{'O_TMPFILE' if makes else 'no O_TMPFILE'} in {spool_dir()}",
        "a node that is killed may leave a file there",
    )


_CHECKS: Final[tuple[Callable[[Host], Guarantee], ...]] = (
    _workers_end, _strays_end, _fence_holds, _memory_is_blamed, _memory_is_read, _device_memory_is_read,
    _limits_are_seen, _results_leave_nothing,
)  # fmt: skip

"""How a worker shuts itself in, for the one sandboxed attempt that it will run; before anything of the task's loads.

What the attempt then has: a fresh directory as its own, its home and its place for temporary files; an environment of
what programs need to run at all; limits that its processes cannot raise; no network but a loopback, where the node has
found that it can be left. What cannot be had now is no reason to run with less: then nothing is run.

Limits: RLIMIT_CPU and RLIMIT_AS by what the task declares (core/confine.py), the others by the constants below. They
count for each process, but NPROC, which counts the threads of the user: those that there are, and PROCESSES more.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from maze_node.core.inputs import refs_of
from maze_node.errors import NotOurs
from maze_node.frames import TaskFrame
from maze_node.limits import harden_worker
from maze_node.namespaces import leave_network
from maze_node.workdirs import make

__all__ = ["DESCRIPTORS", "FILE_SIZE", "PROCESSES", "clean", "enter"]

DESCRIPTORS: Final = 1024
"""Open at once, beside the objects that come with the attempt."""
FILE_SIZE: Final = 4 << 30
"""Bytes of one file, or of one large output."""
PROCESSES: Final = 512
_GRACE: Final = 5
"""Seconds of CPU time between the signal that a process may catch and its end."""
_KEPT: Final = frozenset(("LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "TZ", "VIRTUAL_ENV"))
_KEPT_PREFIX: Final = "LC_"
_HOMES: Final = ("HOME", "TMPDIR")


def enter(frame: TaskFrame) -> None:
    """Shut this process in as a frame asks, for life.

    Raises:
        OSError: a part of it is not to be had.
    """
    terms = frame.sandbox
    assert terms is not None, "nobody asked for it"
    try:
        home = make(os.getppid(), os.getpid(), frame.lease, "-home")
    except NotOurs as error:
        raise OSError(str(error)) from error
    if terms.cut_network:
        leave_network()
    os.environ.update(environ := clean(os.environ, home))
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    os.chdir(home)
    harden_worker()
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS + frame.objects)
    _limit(resource.RLIMIT_FSIZE, FILE_SIZE)
    _limit(resource.RLIMIT_NPROC, _threads_of_user() + PROCESSES)
    if terms.cpu_seconds:
        _limit(resource.RLIMIT_CPU, math.ceil(_cpu_seconds()) + terms.cpu_seconds, _GRACE)
    if terms.memory_mib:
        mapped = sum(ref.size for ref in refs_of(frame.inputs))
        _limit(resource.RLIMIT_AS, _address_space() + mapped + (terms.memory_mib << 20))


def clean(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of a sandboxed attempt, before its worker is bound.

    Args:
        environ: that of other workers.
        home: its directory.
    """
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIX)}
    return kept | dict.fromkeys(_HOMES, str(home))


def _limit(what: int, amount: int, more: int = 0) -> None:
    """Lower a limit for good; one that is lower already stays."""
    _, hard = resource.getrlimit(what)
    most = amount + more if hard == resource.RLIM_INFINITY else min(amount + more, hard)
    resource.setrlimit(what, (min(amount, most), most))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _address_space() -> int:
    """Return how much this process has mapped, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _threads_of_user() -> int:
    """Return how many threads of this user there are, as far as can be seen: the kernel counts them all."""
    user, count = os.geteuid(), 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        # Processes come and go meanwhile.
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count

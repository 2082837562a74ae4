"""What Linux is asked for, so that nothing outlives its owner. ctypes behind a few functions, nothing else.

The chain: the spawner notices the agent's death and kills its workers with all their descendants; a worker is killed
by the kernel when the spawner dies (PDEATHSIG). Workers, spawner and agent are subreapers: whatever a task leaves
behind comes back to the nearest of them and is killed there, also if it has detached itself with setsid.
On other systems than Linux these are no-ops, and `maze-node doctor` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from typing import Final

__all__ = [
    "allow_descriptors", "allowed_cpus", "become_subreaper", "children", "die_with", "flush_c_streams",
    "gains_no_privileges", "harden_worker", "high_descriptor", "is_subreaper", "reap", "run_on",
]  # fmt: skip

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_GET_NO_NEW_PRIVS: Final = 39
_MOST_DESCRIPTORS: Final = 1 << 20
_LINUX: Final = sys.platform.startswith("linux")
_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int, signal: int) -> bool:
    """Have the kernel send us `signal` when our parent dies; tell whether the parent is still there.

    Must be called from a thread that lives as long as the process: the signal fires when the *thread* that forked
    us ends, and forking happens in the spawner's main thread only.
    """
    if _LINUX:
        _libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0)
    return os.getppid() == parent


def become_subreaper() -> None:
    """Let orphaned descendants become our children."""
    if _LINUX:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int | None = None) -> list[int]:
    """Return the pids of a process's children, by default of this one's."""
    parent = os.getpid() if pid is None else pid
    lists: list[str] = []
    threads: list[str] = []
    with contextlib.suppress(OSError):
        threads = os.listdir(f"/proc/{parent}/task")
    for thread in threads:
        # A thread may end meanwhile; its children are another's then.
        with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:
            lists.append(file.read())
    if threads and not lists:
        return _children_by_search(str(parent))  # a kernel without these lists
    return [int(word) for text in lists for word in text.split()]


def _children_by_search(parent: str) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == parent]
    return []


def _parent(pid: str) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        # The name of the program, in parentheses, may hold anything.
        return file.read().rpartition(")")[2].split()[1]
    return ""


def allowed_cpus() -> tuple[int, ...]:
    """Return the CPUs that this thread may run on, in order; empty where the system does not tell."""
    return tuple(sorted(os.sched_getaffinity(0))) if _LINUX else ()


def run_on(cpus: tuple[int, ...]) -> None:
    """Keep this thread, and what it starts from now on, to some CPUs; those that went away since do no harm."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cpus)


def harden_worker() -> None:
    """Forbid gaining privileges by setuid programs, and core dumps."""
    if _LINUX:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def gains_no_privileges() -> bool:
    """Tell whether this process and what it starts can gain no privileges any more."""
    return _LINUX and int(_libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)) == 1


def is_subreaper() -> bool:
    """Tell whether orphaned descendants become our children."""
    found = ctypes.c_int(0)
    return _LINUX and int(_libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)) == 0 and found.value == 1


def allow_descriptors(more: int | None = None) -> int:
    """Let this process have more descriptors open, as many more or all that it may; return how many it may have now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if more is None else soft + more
    limit = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def flush_c_streams() -> None:
    """Write out what C code has printed with stdio."""
    _libc.fflush(None)


def reap() -> int:
    """Bury a dead child; return its pid, 0 if only living ones are left, or -1 if there are none.

    As os.waitpid, but without an exception in the usual case.
    """
    return int(_libc.waitpid(-1, None, os.WNOHANG))


def high_descriptor(descriptor: int) -> int:
    """Move a descriptor where no user code meets it by accident; it is closed on exec."""
    import fcntl

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    floor = max(64, min(soft, 4096) - 32)
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, floor)
    os.close(descriptor)
    return moved

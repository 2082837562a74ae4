"""What keeps tasks from the rest of the machine, mechanism by mechanism: does it work here, and why not? For `doctor`.

Each is tried, not assumed: in a process that is started as the spawner is, and in a box. That process is this module as
a program; it is given the number of a descriptor that it must not find open, and prints {mechanism: what is wrong}.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from maze_node.box import Plan
from maze_node.limits import become_subreaper, gains_no_privileges, harden_worker, is_subreaper
from maze_node.namespaces import trouble

__all__ = ["Mechanism", "mechanisms"]

TRIAL_SECONDS: Final = 30.0
_ROOM: Final = 64 << 20
_LOWERED: Final = {
    name: getattr(resource, f"RLIMIT_{name}") for name in ("CPU", "NOFILE", "NPROC", "FSIZE", "CORE", "AS")
}  # fmt: skip


class Mechanism(NamedTuple):
    """One of them; `why` it does not work, or a remark."""

    name: str
    what: str
    works: bool
    why: str = ""


def mechanisms(plan: Plan) -> tuple[Mechanism, ...]:
    """Try all of them.

    Args:
        plan: how a box would be made.
    """
    found = _try_in_a_child()
    boxed, connected = plan.trouble()
    remarks = {**_remarks(), "bwrap": f"but sandboxed tasks keep the network there: {connected}" if connected else ""}
    wrong = {**found, "bwrap": boxed}
    return tuple(
        Mechanism(name, what, not wrong[name], wrong[name] or remarks.get(name, "")) for name, what in _WHAT.items()
    )


def _try_in_a_child() -> dict[str, str]:
    """Start a process as the spawner is started, and let it look at itself."""
    forbidden = os.open(os.devnull, os.O_RDONLY)
    try:
        os.set_inheritable(forbidden, True)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "maze_node.mechanisms", str(forbidden)],
            stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, timeout=TRIAL_SECONDS, check=False,
        )  # fmt: skip
    finally:
        os.close(forbidden)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        why = f"the trial ended with status {done.returncode}"
        return dict.fromkeys(_TRIALS, why)


def _remarks() -> dict[str, str]:
    return {"rlimits": "the number of processes does not bind root"} if os.geteuid() == 0 else {}


def _session(_: int) -> str:
    return "" if os.getsid(0) == os.getpid() else "it is in the session of its parent"


def _files(forbidden: int) -> str:
    try:
        os.fstat(forbidden)
    except OSError:
        return ""
    return "it inherits what its parent has open"


def _stdin(_: int) -> str:
    return "" if os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev else "it has the standard input of its parent"


def _privileges(_: int) -> str:
    harden_worker()
    return "" if gains_no_privileges() else "the kernel does not take PR_SET_NO_NEW_PRIVS"


def _subreaper(_: int) -> str:
    become_subreaper()
    return "" if is_subreaper() else "the kernel does not take PR_SET_CHILD_SUBREAPER"


def _rlimits(_: int) -> str:
    for name, number in _LOWERED.items():
        soft, hard = resource.getrlimit(number)
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError) as error:
            return f"RLIMIT_{name}: {error}"
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_ROOM, hard))
    try:
        mmap.mmap(-1, 2 * _ROOM).close()
    except (OSError, MemoryError):
        return ""
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return "the kernel does not enforce RLIMIT_AS"


def _namespaces(_: int) -> str:
    return trouble()


_TRIALS: Final[dict[str, Callable[[int], str]]] = {
    "session": _session,
    "closed files": _files,
    "stdin": _stdin,
    "no new privileges": _privileges,
    "subreaper": _subreaper,
    "rlimits": _rlimits,
    "namespaces": _namespaces,
}
"""The last one is for good: nothing can be tried after it."""
_WHAT: Final = {
    "session": "a session of their own: signals of a terminal do not reach them",
    "closed files": "nothing that the node has open is open in them",
    "stdin": "nothing to read from the node's standard input",
    "no new privileges": "setuid programs do not raise their rights",
    "subreaper": "what they leave behind comes back and is ended",
    "rlimits": "limits of CPU time, memory, files and processes for sandboxed tasks",
    "namespaces": "no network for sandboxed tasks (user and network namespaces)",
    "bwrap": "a read-only file system, temporary files and process ids of their own",
}


def main() -> None:
    """Try them in this process, and say what is wrong."""
    forbidden = int(sys.argv[1])
    print(json.dumps({name: trial(forbidden) for name, trial in _TRIALS.items()}))  # noqa: T201 -- our answer


if __name__ == "__main__":
    main()

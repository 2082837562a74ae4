"""The box of bubblewrap in which a spawner and its workers live: what they see of the machine, and where they write.

Rules
* One box for each spawner, made when it starts, never for a task. Descriptors go in as ever: objects, tasks and output
  travel by them, so nothing of a node's traffic needs a path.
* The file system is read-only, but for the directories of temporary files. What is there in the box is a directory of
  ours on the disk (its home): empty at first, gone with the spawner, and what others have in the real ones is unseen.
* Unseen are also other processes, this node's files with keys and tokens, and devices other than GPUs and their kin.
* The network is the machine's: most tasks need it. Sandboxed ones leave it (namespaces.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from maze_node.limits import children

__all__ = ["FIRST_PROCESS", "Box", "Plan", "outer_pid"]

FIRST_PROCESS: Final = 1
"""The parent of what is started in a box, as it is called there."""
TRIAL_SECONDS: Final = 20.0
_PROGRAM: Final = "bwrap"
_PREFIX: Final = "maze-box-"
_LOCK: Final = "lock"
_DEVICES: Final = ("/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/infiniband")
_WRITABLE: Final = ("/tmp", "/var/tmp")  # noqa: S108 -- replaced by directories of ours


class Plan:
    """How boxes of this node are made.

    Args:
        base: where its workers make directories for files of tasks, and so where homes of boxes are.
        hidden: directories and files that workers shall not see.
    """

    def __init__(self, base: Path, hidden: Iterable[Path] = ()) -> None:
        self.base = base
        self._hidden = tuple(hidden)

    def make(self) -> Box:
        """Return a new box; what boxes of killed nodes have left is removed on that occasion.

        Raises:
            OSError: there is no place for its home.
        """
        for left in self.base.glob(f"{_PREFIX}*"):
            _remove_if_left(left)
        return Box(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.base)), self.base, self._hidden)

    def trouble(self) -> tuple[str, str]:
        """Return why boxes do not work here, and why sandboxed tasks cannot leave the network there; tries both."""
        if shutil.which(_PROGRAM) is None:
            return f"{_PROGRAM} is not installed (the package is called bubblewrap)", ""
        try:
            with self.make() as box:
                return box.try_out()
        except OSError as error:
            return f"no place for it in {self.base}: {error.strerror}", ""


class Box:
    """One box: its home on disk, and the command that starts something in it."""

    def __init__(self, home: Path, base: Path, hidden: Sequence[Path]) -> None:
        self.home = home
        self._hidden = hidden
        temporary = {Path(name).resolve() for name in (*_WRITABLE, os.environ.get("TMPDIR", "")) if os.path.isdir(name)}
        self._writable = sorted({*temporary, base.resolve()})
        # Held before it has its name: without a lock a home counts as left behind.
        self._lock = os.open(home / f"{_LOCK}.new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.rename(home / f"{_LOCK}.new", home / _LOCK)
        for place, _ in enumerate(self._writable):
            (home / str(place)).mkdir(mode=0o700)

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove its home, with all that tasks have left there."""
        shutil.rmtree(self.home, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)

    def command(self, inner: Sequence[str]) -> list[str]:
        """Return the command that starts another one in the box; its process ends with the thread that starts it."""
        return [
            _PROGRAM, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--cap-drop", "ALL", *_capabilities(),
            "--ro-bind", "/", "/", "--dev", "/dev", *_each("--dev-bind-try", _devices()), "--proc", "/proc",
            *self._binds(), *_each("--ro-bind", self._shown()), *self._covers(), "--", *inner,
        ]  # fmt: skip

    def try_out(self) -> tuple[str, str]:
        """Start something in it; return why that does not work, and why the network cannot be left there."""
        inner = [sys.executable, "-P", "-m", "maze_node.namespaces"]
        try:
            done = subprocess.run(
                self.command(inner), stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_SECONDS, check=False,
                text=True, errors="replace",
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{_PROGRAM}: {error}", ""
        if done.returncode != 0:
            return (done.stderr.strip().splitlines() or [f"{_PROGRAM} ended with {done.returncode}"])[-1], ""
        return "", done.stdout.strip()

    def _binds(self) -> Iterator[str]:
        for place, path in enumerate(self._writable):
            yield from ("--bind", str(self.home / str(place)), str(path))

    def _covers(self) -> Iterator[str]:
        shown = self._shown()
        for path in self._hidden:
            if _is_below(path, self._writable) and not _is_below(path, shown):
                continue  # nobody sees it anyway
            if os.path.isdir(path):
                yield from ("--tmpfs", os.path.realpath(path))
            elif os.path.exists(path):
                yield from ("--ro-bind", os.devnull, os.path.realpath(path))

    def _shown(self) -> list[str]:
        """Return what the interpreter needs and we have covered: environments in /tmp, for example."""
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        # Where the node was started is on its path, too, and is nothing that workers need (python -P).
        wanted = (name for name in (sys.prefix, sys.base_prefix, *sys.path) if name != os.getcwd() or name in given)
        shown = sorted({os.path.realpath(name) for name in wanted if os.path.isabs(name) and os.path.exists(name)})
        return [name for name in shown if _is_below(name, self._writable)]


def _is_below(path: str | Path, others: Iterable[str | Path]) -> bool:
    parents = {str(parent) for parent in Path(os.path.realpath(path)).parents}
    return any(str(other) in parents for other in others)


def outer_pid(box: int, inner: int) -> int:
    """Return what we call a child of a spawner in a box, by what it is called there; 0 if it is gone.

    Args:
        box: the process that was started to make the box; the first one in it is its child, and that one's the spawner.
        inner: the pid in the box.
    """
    for first in children(box):
        for spawner in children(first):
            for pid in children(spawner):
                if _innermost(pid) == inner:
                    return pid
    return 0


def _innermost(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0


def _capabilities() -> list[str]:
    """Leave root what it needs to make user namespaces in the box; workers give it up with their first task."""
    return ["--cap-add", "CAP_SETFCAP"] if os.geteuid() == 0 else []


def _devices() -> list[str]:
    return sorted(path for pattern in _DEVICES for path in glob.glob(pattern))


def _each(flag: str, paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield from (flag, path, path)


def _remove_if_left(home: Path) -> None:
    """Remove the home of a box whose node is gone: nobody holds its lock."""
    try:
        if home.stat().st_uid != os.geteuid():
            return
        lock = os.open(home / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(home, ignore_errors=True)
    except OSError:
        return
    finally:
        os.close(lock)

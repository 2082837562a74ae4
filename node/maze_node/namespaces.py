"""A network of one's own, with nobody in it: what cuts a sandboxed attempt off, without any privilege.

Rules
* A user namespace makes the others possible without being root, and takes root's power from a task if the node is root.
  Ids stay what they are; what the process may do in its namespace it gives up again once the loopback is up.
* Only a process of one thread can do it, and it cannot go back: the worker that did it serves nothing else.
* Whether it works here is found out by doing it, in a child: AppArmor, seccomp filters of containers and limits of the
  kernel forbid it in ways that no setting tells of as a whole.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
from typing import Final

from maze_node.limits import die_with

__all__ = ["drop_capabilities", "leave_network", "trouble"]

_NEW_USER: Final = 0x1000_0000
_NEW_NET: Final = 0x4000_0000
_NEW_IPC: Final = 0x0800_0000
_SET_FLAGS: Final = 0x8914
"""SIOCSIFFLAGS"""
_UP: Final = 1
_CAPABILITY_VERSION: Final = 0x2008_0522
_FAR: Final = ("192.0.2.1", 9)
"""An address of nobody (RFC 5737)."""
_libc: Final = ctypes.CDLL(None, use_errno=True)


def leave_network() -> None:
    """Give this process a user namespace, an empty network and System V IPC of its own, for life.

    Raises:
        OSError: the kernel, or what guards it, does not let us; `strerror` says at which step.
    """
    user, group = os.geteuid(), os.getegid()
    _check("unshare", _libc.unshare(_NEW_USER | _NEW_NET | _NEW_IPC))
    _tell("setgroups", "deny")
    _tell("uid_map", f"{user} {user} 1")
    _tell("gid_map", f"{group} {group} 1")
    _raise_loopback()
    drop_capabilities()
    # Kernels that see a change of credentials here forget it.
    die_with(os.getppid(), signal.SIGKILL)


def drop_capabilities() -> None:
    """Give up all that root may, in the namespace where this process is.

    Raises:
        OSError: the kernel does not let us, which no kernel does.
    """
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    _check("capset", _libc.capset(head, none))


def trouble() -> str:
    """Return why a process cannot leave the network here, or nothing if it can. Tried by a child of this process."""
    if not hasattr(os, "fork") or not hasattr(_libc, "unshare"):
        return "only Linux has them"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _try_out(write)
    os.close(write)
    with open(read, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return "" if said == b"left" else said.decode("utf-8", "replace") or "the process that tried it died"


def _try_out(answer: int) -> None:
    said = b""
    try:
        leave_network()
        said = b"it went, and is still connected" if _is_connected() else b"left"
    except OSError as error:
        said = (error.strerror or str(error)).encode()
    finally:
        os.write(answer, said)
        # Never unwind into the caller's stack.
        os._exit(0)


def _is_connected() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_FAR)
        except OSError as error:
            return error.errno != errno.ENETUNREACH
    return True


def _tell(name: str, text: str) -> None:
    try:
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise OSError(error.errno, f"/proc/self/{name}: {error.strerror}") from error


def _check(step: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{step}: {os.strerror(number)}")


def _raise_loopback() -> None:
    """Bring up `lo`: libraries that talk to themselves, or to processes of the same task, go on to work."""
    import fcntl

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
    except OSError as error:
        raise OSError(error.errno, f"loopback: {error.strerror}") from error


if __name__ == "__main__":
    print(trouble())  # noqa: T201 -- the answer to box.py, which tries this in a box

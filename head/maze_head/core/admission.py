"""Whether a HELLO deserves a session: version, names, and amounts that can be true. Refusals are for good.

A node's word is checked before it can take a name, fill a log or break the arithmetic of placement. When very many come
at once, as after a restart of the head, the gate lets so many in per second and tells each of the others a time of its
own to come back: heads answer a wave of thousands without falling behind in what they do besides.
"""

from __future__ import annotations

from typing import Final

from maze_head.core.keys import Keys
from maze_protocol.declare import MAX_AMOUNT, check_name
from maze_protocol.errors import VersionMismatch
from maze_protocol.messages import Hello, Reject
from maze_protocol.resources import Capacity
from maze_protocol.versions import choose_version, version_reject

__all__ = ["Gate", "capacity_problem", "refusal"]

MAX_DEVICES: Final = 64
MAX_WORKERS: Final = 65_536
MAX_TEXT: Final = 4_096
PER_SECOND: Final = 200
"""HELLOs that are let in at once, and per second from then on."""


class Gate:
    """Two leaky buckets: who was let in, and who was told to come back."""

    __slots__ = ("_admitted", "_deferred", "_seen_at")

    def __init__(self) -> None:
        self._admitted = 0.0
        self._deferred = 0.0
        self._seen_at = 0.0

    def wait(self, now: float) -> float:
        """Return 0 for who may come in, or in how many seconds to come again."""
        leaked = max(0.0, now - self._seen_at) * PER_SECOND
        self._seen_at = now
        self._admitted = max(0.0, self._admitted - leaked)
        self._deferred = max(0.0, self._deferred - leaked)
        if self._admitted + 1 <= PER_SECOND:
            self._admitted += 1
            return 0.0
        self._deferred += 1
        return self._deferred / PER_SECOND


def refusal(hello: Hello, key: str, keys: Keys) -> Reject | None:
    """Return why a node gets no session, or None if it does.

    Args:
        hello: what it says.
        key: by which its connection was authenticated.
        keys: which key speaks for which node.
    """
    try:
        choose_version(hello)
    except VersionMismatch as error:
        return version_reject(error)
    problem = _name_problem(hello) or _python_problem(hello) or capacity_problem(hello.capacity)
    if problem:
        return Reject("bad_hello", problem)
    problem = keys.problem(hello, key)
    return Reject("bad_key", problem) if problem else None


def _name_problem(hello: Hello) -> str:
    try:
        check_name(hello.node_id, "node_id")
        words = (hello.hostname, hello.address, hello.maze_version, hello.isolation, hello.sandbox)
        for text in (*words, *hello.labels, *hello.labels.values()):
            check_name(text or "-", "a text of HELLO")
    except ValueError as error:
        return str(error)
    if sum(len(key) + len(value) for key, value in hello.labels.items()) > MAX_TEXT:
        return "the labels are too long"
    return ""


def _python_problem(hello: Hello) -> str:
    major, minor, _ = hello.python
    return "" if major == 3 and 0 < minor < 100 else f"impossible Python version {hello.python}"


def capacity_problem(capacity: Capacity) -> str:
    """Return why a capacity cannot be true, or an empty text."""
    amounts = (
        ("cpu_milli", capacity.cpu_milli, 1),
        ("mem_mib", capacity.mem_mib, 0),
        ("workers", capacity.workers, 1),
        *(("device memory", device.mem_mib, 0) for device in capacity.devices),
        *(("device index", device.index, 0) for device in capacity.devices),
    )
    for what, amount, least in amounts:
        if not least <= amount <= MAX_AMOUNT:
            return f"impossible capacity: {what} = {amount}"
    if capacity.workers > MAX_WORKERS or len(capacity.devices) > MAX_DEVICES:
        return f"too many workers ({capacity.workers}) or devices ({len(capacity.devices)})"
    if len({device.index for device in capacity.devices}) != len(capacity.devices):
        return "two devices have one index"
    return ""

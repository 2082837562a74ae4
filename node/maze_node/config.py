"""What a node is told on its command line, checked and in one place."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from maze._daemon.connection import default_path, read_connection
from maze._daemon.durations import BadDuration, parse_duration
from maze_node.errors import UsageError
from maze_node.identity import HeadAddress, Joined, address_of, by_connection, read_joined
from maze_node.isolation import PROCESS
from maze_node.slurm import seconds_left

__all__ = [
    "DETECTABLE",
    "Settings",
    "check_endpoint",
    "parse_detect",
    "parse_labels",
    "parse_limit",
    "parse_preload",
    "parse_share",
]

DETECTABLE: Final = frozenset(("cpus", "mem", "gpus"))


@dataclass(frozen=True)
class Settings:
    """How this node runs. None means: measure, or use the default."""

    head: str | None = None
    connection_file: Path | None = None
    name: str | None = None
    cpus: float | None = None
    memory: int | None = None
    gpus: int | None = None
    gpu_mem: int | None = None
    workers: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    advertise: str | None = None
    peer_port: int | None = 0
    """Where other nodes fetch objects; None: nowhere."""
    drain_timeout: float = 30.0
    orphan_timeout: float = 600.0
    share: tuple[int, int] = (1, 1)
    """(i, n): this is the i-th of n nodes that divide what is measured of the machine."""
    head_timeout: float = 0.0
    """How long to be without a head before leaving; 0: for ever."""
    result_memory: int = 64
    """MiB of results that wait for the head in memory; more of them wait on disk."""
    object_memory: int | None = None
    """MiB of objects in memory, more of them are on disk; None: a quarter of the node's memory."""
    spool_dir: Path | None = None

    time_limit: float | Literal["auto"] | None = None
    """Seconds after which the node must be gone; "auto": what is left of the Slurm job, if this is one."""
    idle_timeout: float = 0.0
    """How long to be without work before leaving; 0: for ever."""
    affinity: bool = False
    """Give attempts that claim whole CPUs CPUs of their own."""

    detect: frozenset[str] = DETECTABLE
    """What is measured; of the rest only flags tell."""
    insecure: bool = False
    """The peer port may be reached from other machines, though nothing authenticates who asks there."""
    preload: tuple[str, ...] = ()
    """Modules that workers start with."""
    head_pid: int | None = None
    """The process whose connection file is meant; None: whoever wrote it."""
    head_key: str = ""
    """Of the head that is named; "": that which it was joined with, if it was."""
    node_dir: Path | None = None
    """Where this node's own key is, and where it has joined; None: as configured."""
    isolation: str = PROCESS
    """How far workers are to be kept from the machine: one of isolation.LEVELS."""

    def find_limit(self, wall: float) -> tuple[float | None, str]:
        """Return how many seconds this node may live, with the origin; (None, words) if there is no end.

        Args:
            wall: now, in Unix time.
        """
        if self.time_limit is None:
            return None, ""
        if self.time_limit != "auto":
            return self.time_limit, "--time-limit"
        return seconds_left(wall) or (None, "--time-limit auto: no end is known here")

    def find_head(self) -> HeadAddress | None:
        """Return the way to the head: as given, else where the node has joined, else by the connection file, read anew.

        Raises:
            SecretUnusable: a key that is needed cannot be read or trusted.
        """
        joined = self._joined()
        if joined is not None:
            return address_of(joined.endpoint, joined.head_key, self.node_dir)
        info = read_connection(self.connection_file or default_path())
        if self.head is not None:
            known = info is not None and info.node == self.head and not self.head_key
            return by_connection(info, self.node_dir) if info and known else self._named(self.head)
        if info is None or self.head_pid not in (None, info.pid):
            return None
        return by_connection(info, self.node_dir)

    def _named(self, head: str) -> HeadAddress:
        return address_of(head, self.head_key, self.node_dir)

    def _joined(self) -> Joined | None:
        """Return where this node has joined, if that is the head which is meant."""
        if self.head_key or self.connection_file is not None:
            return None
        joined = read_joined(self.node_dir)
        return joined if joined is not None and self.head in (None, joined.endpoint) else None

    def node_id(self) -> str:
        """Return the name that the head knows this node by.

        A given name is kept over restarts, so that the newer process replaces the older one. So is the one under which
        the node has joined, for its key speaks for no other. Without a name two nodes of one machine must not replace
        each other.

        Raises:
            SecretUnusable: the file that tells where it has joined cannot be trusted.
        """
        joined = None if self.name else self._joined()
        if joined is not None:
            return joined.node_id
        return self.name or f"{socket.gethostname()}-{os.urandom(3).hex()}"


def check_endpoint(text: str) -> str:
    """Return a head's endpoint in ZeroMQ's form.

    Raises:
        UsageError: not `tcp://HOST:PORT`; the scheme may be left out.
    """
    address = text.removeprefix("tcp://")
    host, colon, port = address.rpartition(":")
    if "://" in address or not host or not colon or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(f"--head {text!r}: expected tcp://HOST:PORT, for example tcp://10.0.0.1:8001")
    return f"tcp://{address}"


def parse_share(text: str) -> tuple[int, int]:
    """Return `I/N` as two numbers.

    Raises:
        UsageError: not two numbers with 1 <= I <= N.
    """
    part, slash, count = text.partition("/")
    if not (slash and part.isdecimal() and count.isdecimal() and 1 <= int(part) <= int(count)):
        raise UsageError(f"--share {text!r}: expected I/N, for example 1/2")
    return int(part), int(count)


def parse_detect(text: str) -> frozenset[str]:
    """Return what is to be measured.

    Raises:
        UsageError: a word that is nothing to be measured.
    """
    if text in ("all", "none"):
        return DETECTABLE if text == "all" else frozenset()
    words = frozenset(word.strip() for word in text.split(","))
    if not words <= DETECTABLE:
        raise UsageError(f"--detect {text!r}: expected all, none, or some of cpus,mem,gpus")
    return words


def parse_preload(text: str) -> tuple[str, ...]:
    """Return the modules that `a,b.c` names, each once.

    Raises:
        UsageError: a word that no module could be called.
    """
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for word in words:
        if not all(part.isidentifier() for part in word.split(".")):
            raise UsageError(f"--preload {text!r}: {word!r} is no name of a module; expected for example numpy,torch")
    return words


def parse_labels(words: tuple[str, ...]) -> dict[str, str]:
    """Return `k=v` words as a dictionary.

    Raises:
        UsageError: a word without `=`, or with an empty key.
    """
    labels = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise UsageError(f"--label {word!r}: expected KEY=VALUE")
        labels[key] = value
    return labels


def parse_limit(flag: str, text: str) -> float:
    """Return the duration that a flag gives, in seconds.

    Raises:
        UsageError: not a duration, or none at all.
    """
    try:
        seconds = parse_duration(text)
    except BadDuration as error:
        raise UsageError(f"{flag}: {error}") from error
    if not seconds:
        raise UsageError(f"{flag} {text!r}: must be longer than nothing")
    return seconds

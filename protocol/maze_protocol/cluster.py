"""The bodies of the HTTP API about a cluster as a whole: who answers, its nodes, its limits, its projects (http.py)."""

from __future__ import annotations

from typing import Any

import msgspec

from maze_protocol.http import RequestBody

__all__ = [
    "CapBody", "InfoBody", "LimitBody", "LimitList", "LimitRequest", "NodeBody", "NodeList", "ProjectBody",
    "ProjectList", "ProjectRequest",
]  # fmt: skip


class InfoBody(msgspec.Struct):
    """Who answers, and under which promises. `name` is always `maze`."""

    name: str
    version: str
    api: str
    protocol: str
    cluster_id: str
    epoch: int
    durability: str
    embedded: bool
    python: str
    pid: int
    started_at: float
    endpoints: dict[str, str]
    nodes_ready: int
    limits: dict[str, float]
    read_only: bool = False
    """The disk of the state directory is full: nothing new is taken until it has room again."""
    order: str = "fcfs"
    """In which order ready tasks start: `fcfs`, `hacs`, `critical`, or the operator's own class."""
    head_key: str = ""
    """The public key by which nodes and subscribers know the head; empty if they are not authenticated."""


class NodeBody(msgspec.Struct):
    """A node. `state`: ready, quarantined, suspect, draining, lost, left."""

    node_id: str
    state: str
    hostname: str
    address: str
    pid: int
    python: str
    maze_version: str
    cpu: float
    cpu_free: float
    cpu_mem: int
    cpu_mem_free: int
    gpus: list[dict[str, Any]]
    workers: int
    running: int
    labels: dict[str, str]
    joined_at: float
    last_seen_s: float
    origins: dict[str, str]
    load: dict[str, Any] = {}
    remaining_s: float | None = None
    """Seconds until the node has to leave, if it has told."""
    isolation: str = ""
    """What keeps attempts there from the rest of the machine: none, process, bwrap; empty: an older node."""
    sandbox: str = ""
    """What it is for tasks with `sandbox`, in words; empty: the node knows no sandbox, and gets none of them."""


class NodeList(msgspec.Struct):
    """All nodes the head knows."""

    nodes: list[NodeBody]


class LimitRequest(RequestBody):
    """What is allowed under a name; it takes the place of what was set before. What is not given has no bound."""

    concurrency: int | None = None
    """Units that all tasks together may hold at once; 0: nothing new starts."""
    rate: str | None = None
    """Units that may begin in a time: `500/min`; periods are s, min, h, day."""


class LimitBody(msgspec.Struct):
    """A named limit, and how much of it tasks hold now. One that nobody has set has no bound of either kind."""

    name: str
    concurrency: int | None
    rate: str | None
    held: int
    next_s: float
    """Seconds until the rate lets another unit begin."""


class LimitList(msgspec.Struct):
    """All limits and projects that are set or in use, by name."""

    limits: list[LimitBody]
    projects: list[ProjectBody]


class CapBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The most that a project may hold at once, memory in MiB. What is not given has no bound."""

    cpu: float | None = None
    cpu_mem: int | None = None
    gpu: float | None = None
    """Devices; a share by memory alone counts as its part of an average one."""
    tasks: int | None = None


class ProjectRequest(RequestBody):
    """What holds for a project; it takes the place of what was set before."""

    weight: float = 1.0
    """A project of weight 2 gets twice what one of weight 1 gets, if both want more than there is."""
    cap: CapBody = CapBody()


class ProjectBody(msgspec.Struct):
    """A project, what is set for it, and what its tasks hold now."""

    name: str
    weight: float
    cap: CapBody
    share: float
    """The largest part of any resource of the cluster that it holds, divided by its weight; the smallest goes first."""
    tasks: int
    cpu: float
    cpu_mem: int
    gpu: float
    gpu_mem: int


class ProjectList(msgspec.Struct):
    """All projects that are set or in use, by name."""

    projects: list[ProjectBody]

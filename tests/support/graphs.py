"""Compiled graphs for tests, from edges between numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maze_head.core.contents import Contents
from maze_head.core.events import GraphRead
from maze_head.core.graph import Graph, compile_graph
from maze_head.core.runs import Run
from maze_head.core.tasks import TaskSpec, pack
from maze_protocol.events import RunSubmitted
from maze_protocol.resources import Request

CPU_TASK = Request()
GPU_TASK = Request(gpu_milli=1000)
IO_TASK = Request(cpu_milli=100)


def make_graph(
    size: int,
    edges: Sequence[tuple[int, int]] = (),
    requests: Mapping[int, Request] | None = None,
    codes: Mapping[int, bytes] | None = None,
    workflow_id: bytes = b"w" * 16,
) -> Graph:
    """Return a graph of tasks 0 to size - 1 with these edges; all are the CPU task of function `f` unless told."""
    requests, codes = requests or {}, codes or {}
    packed = [
        pack(
            TaskSpec(
                number.to_bytes(16, "big"),
                f"t{number}",
                requests.get(number, CPU_TASK),
                (0, 0),
                codes.get(number, b"f"),
            )
        )
        for number in range(size)
    ]
    return compile_graph(Graph(workflow_id, 1, "test", packed), edges)


def make_run(graph: Graph, no: int = 1) -> Run:
    """Return a run of a graph that has just been submitted."""
    submitted = RunSubmitted(no.to_bytes(16, "big"), graph.workflow_id, graph.version, len(graph))
    run = Run(no, submitted, graph, 0.0)
    graph.live_runs += 1
    run.apply(submitted)
    return run


def graph_read(workflow_id: bytes, version: int, body: bytes | None) -> GraphRead:
    """Return what the core is told of a graph of which the journal has that body, or none."""
    return GraphRead(workflow_id, version, None if body is None else Contents.read(body))


def as_read(graph: Graph) -> dict[str, Any]:
    """Return all that follows from what a graph consists of, with its order."""
    told = {
        name: getattr(graph, name) for name in Graph.__slots__ if name not in ("live_runs", "standings", "stretches")
    }
    return {name: list(value.items()) if isinstance(value, dict) else value for name, value in told.items()}

"""The steps of a task's way, by the functions that make them. Pure.

A sample counts for the stage of the innermost frame that a stage names: by file, and by function where a file has
several. What no stage names is the rest: the event loop, and what is not explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["REST", "STAGES", "by_stage", "stage_of"]

REST = "the rest"
Places = Sequence[str]

STAGES: Mapping[str, Mapping[str, Places]] = {
    "client": {
        "draft": [
            "maze/_workflow_base.py", "maze/_draft.py", "maze/_graph.py", "maze/_binding.py", "maze/_ids.py",
            "maze/_literals.py", "_maze_side.py independent",
        ],
        "submit": ["maze/_wire.py", "maze/_http.py", "maze/_sync.py", "maze/_remote.py", "aiohttp/client.py"],
        "result decode": [
            "maze/_results.py", "maze/_collector.py", "maze/_values/", "maze/_report.py", "maze/_terms.py",
            "_cluster.py values_of", "maze/_render.py", "maze/_stream.py", "maze/_feed.py", "maze/_events.py",
        ],
        "WebSocket": ["websockets/", "_daemon/websocket.py", "maze/_websocket.py", "maze/_shared.py"],
    },
    "head": {
        "submit parse": ["api/bodies.py", "api/workflows.py", "api/uploads.py"],
        "admit": [
            "core/edits.py", "core/alike.py", "core/workflows.py", "core/contents.py", "core/specs.py",
            "core/admission.py", "core/codes.py", "core/commands.py", "core/graph.py load_graph",
        ],
        "decide": ["core/scheduler.py HeadCore.schedule", "core/queueing.py", "core/dispatch.py", "core/placement.py"],
        "result": ["core/scheduler.py _hear", "core/scheduler.py _take", "core/results.py", "core/ends.py"],
        "encode and send": ["maze_head/dispatch.py", "transport.py Transport.send", "transport.py Transport._write"],
        "receive and decode": ["transport.py Transport._take", "transport.py Transport._hear"],
        "journal": ["maze_head/journal.py", "maze_head/journal_writer.py", "maze_head/batch.py"],
        "event": [
            "api/render.py", "api/log_parts.py", "maze_protocol/rendering.py", "api/frames.py", "api/events.py",
            "api/encoder.py", "maze_head/hub.py", "maze_head/publisher.py",
        ],
        "WebSocket": [
            "websockets/", "_daemon/websocket.py", "api/prompt.py", "api/websocket.py", "api/multiplex.py",
            "aiohttp/web_ws.py", "aiohttp/_websocket/",
        ],
        "turn": ["maze_head/driver.py", "core/scheduler.py"],
    },
    "agent": {
        "receive and decode": ["transport.py Transport._take_one", "transport.py Transport._pump"],
        "send": ["transport.py Transport.send", "transport.py Transport._transmit", "core/outbox.py"],
        "core": ["maze_node/core/"],
        "to the worker": [
            "channel.py Channel._write", "channel.py Channel.give", "channel.py Channel.push", "maze_node/pool.py",
        ],
        "from the worker": ["channel.py Channel"],
        "turn": ["maze_node/app.py"],
    },
    "worker": {
        "take": ["worker.py Worker._next"],
        "inputs": ["attempt.py _decode_inputs"],
        "surroundings": ["maze_node/surroundings.py"],
        "meter": ["maze_node/meter.py"],
        "function": ["_maze_tasks.py"],
        "outputs": ["attempt.py _short_outputs", "attempt.py _encode_outputs", "maze_node/declared.py"],
        "report": ["worker.py Worker.serve", "maze_node/frames.py encode_frame"],
        "around": ["maze_node/attempt.py", "maze_node/workspace.py", "worker.py Worker._attempt"],
    },
}  # fmt: skip


def stage_of(frames: Sequence[str], stages: Mapping[str, Places]) -> str:
    """Return the stage of a stack, whose innermost frame comes first."""
    for frame in frames:
        for stage, places in stages.items():
            if any(place in frame for place in places):
                return stage
    return REST


def by_stage(stacks: Sequence[Mapping[str, Any]], part: str, measured_us: float) -> dict[str, float]:
    """Divide what a part costs per task among its stages, as the samples divide; the largest come first.

    Args:
        stacks: samples: `ms`, and `frames`, the innermost first.
        part: client, head, agent or worker.
        measured_us: what the processes of that part cost per task, by the kernel's count.
    """
    spent = dict.fromkeys([*STAGES[part], REST], 0.0)
    for stack in stacks:
        spent[stage_of(stack["frames"], STAGES[part])] += stack["ms"]
    if not any(spent.values()):
        spent[REST] = 1.0  # too short to be sampled: nothing is explained
    whole = sum(spent.values())
    shares = {stage: round(measured_us * ms / whole, 1) for stage, ms in spent.items()}
    return dict(sorted(shares.items(), key=lambda each: -each[1]))

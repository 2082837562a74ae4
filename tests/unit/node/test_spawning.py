"""What tasks find in their environment of what the node was started with."""

from __future__ import annotations

from maze_node.spawning import TASKS_MAY_KNOW, task_environment


def test_nothing_of_the_nodes_own_is_told_to_tasks() -> None:
    secrets = dict.fromkeys(("MAZE_TOKEN", "MAZE_TOKEN_FILE", "MAZE_JOIN_TOKEN", "MAZE_HEAD", "MAZE_NEW"), "s3cret")
    others = {"PATH": "/bin", "HOME": "/root", "AMAZE_TOKEN": "x", "OPENAI_API_KEY": "theirs", "maze_token": "y"}
    assert task_environment({**secrets, **others}) == others


def test_what_a_client_within_a_task_needs_is_left() -> None:
    needed = dict.fromkeys(TASKS_MAY_KNOW, "x")
    assert task_environment(needed) == needed
    assert not any("TOKEN" in name or "KEY" in name for name in TASKS_MAY_KNOW)

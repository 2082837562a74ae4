"""What is left of the environment in a sandbox; the rest needs real processes (tests/integration/test_isolation.py)."""

from __future__ import annotations

from pathlib import Path

from maze_node.sandbox import clean


def test_only_what_programs_need_to_run_is_left() -> None:
    home = Path("/var/tmp/maze-work-1/2-3-home")
    needed = {"PATH": "/bin", "LANG": "C.UTF-8", "LC_ALL": "C", "TZ": "UTC", "LD_LIBRARY_PATH": "/opt/lib"}
    others = {"HOME": "/root", "TMPDIR": "/tmp", "OPENAI_API_KEY": "k", "MAZE_URL": "u", "SSH_AUTH_SOCK": "s"}
    own = {"HOME": str(home), "TMPDIR": str(home)}
    assert clean({**needed, **others, "PYTHONPATH": "/src"}, home) == {**needed, **own}

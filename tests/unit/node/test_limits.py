"""Children of this process."""

from __future__ import annotations

import os
import subprocess

from maze_node import limits


def test_children_are_found_with_and_without_the_kernels_list_of_them() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        try:
            assert child.pid in limits.children()
            assert sorted(limits._children_by_search(str(os.getpid()))) == sorted(limits.children())
        finally:
            child.kill()
    assert child.pid not in limits.children()

"""CPUs of their own for tasks that claim whole ones, if the node was told to give them out."""

from __future__ import annotations

import os

import pytest

from maze_protocol.messages import Started
from maze_protocol.resources import Claim
from support.node_head import FakeHead, fake_head
from support.node_process import node
from support.node_work import assign, assignment, code_of, outputs_of

ALLOWED = sorted(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(len(ALLOWED) < 2, reason="needs two CPUs")


def look(params):
    """Tell which CPUs the task and its children may use, once a file is there."""
    import os
    import subprocess
    import sys
    import time

    while params["path"] and not os.path.exists(params["path"]):
        time.sleep(0.02)
    ask = "import os; print(sorted(os.sched_getaffinity(0)))"
    child = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, text=True).stdout.strip()
    own = sorted(os.sched_getaffinity(0))
    assert child == str(own)
    return {"out": own}


def send(head: FakeHead, lease: int, cpu_milli: int, path: str = "") -> None:
    head.send(*assign(assignment(lease, code_of(look), {"path": path}, claim=Claim(cpu_milli, 0))))


def cpus_of(head: FakeHead, lease: int) -> list[int]:
    return outputs_of(head.wait_outcome(lease))["out"]


def test_whole_cpus_are_a_tasks_own_and_fractions_share_the_rest(tmp_path) -> None:
    end = tmp_path / "end"
    with fake_head() as head, node("--head", head.endpoint, "--affinity", "--cpus", str(len(ALLOWED))):
        head.wait_node()
        head.send(code_of(look))
        send(head, 1, 1000, str(end))
        head.wait_said(Started)
        send(head, 2, 500)
        assert cpus_of(head, 2) == ALLOWED[1:]
        send(head, 3, 1000)
        assert cpus_of(head, 3) == ALLOWED[1:2]
        end.touch()
        assert cpus_of(head, 1) == ALLOWED[:1]
        send(head, 4, 500)
        assert cpus_of(head, 4) == ALLOWED, "the same worker may use all of them again"


def test_without_being_told_a_node_pins_nobody() -> None:
    with fake_head() as head, node("--head", head.endpoint):
        head.wait_node()
        head.send(code_of(look))
        send(head, 1, 1000)
        assert cpus_of(head, 1) == ALLOWED


def test_of_two_nodes_on_a_machine_each_gives_out_its_part() -> None:
    with fake_head() as head, node("--head", head.endpoint, "--affinity", "--share", "2/2"):
        head.wait_node()
        head.send(code_of(look))
        send(head, 1, 1000)
        assert cpus_of(head, 1) == ALLOWED[1:2]

"""Attempts are held to the memory that they claimed, with all their processes, and nobody else is."""

from __future__ import annotations

from maze_protocol.messages import FAILED, OK, Code, Outcome
from maze_protocol.resources import Claim
from support.node_head import FakeHead, fake_head
from support.node_process import NodeProcess, node, wait_for
from support.node_work import assign, assignment, code_of, outputs_of


def hoard(params):
    """Take so many MiB, in a process of their own if asked, and keep them until there is a reason to go."""
    import subprocess
    import sys
    import time
    from pathlib import Path

    data = b""
    if params.get("child"):
        hold = f"import time; data = b'x' * ({params['mib']} << 20); time.sleep(1000)"
        subprocess.Popen([sys.executable, "-c", hold], start_new_session=True)
    else:
        data = b"x" * (params["mib"] << 20)
    end = Path(params["path"])
    while not end.exists():
        time.sleep(0.02)
    return {"out": len(data) >> 20}


def share(params):
    """Fork processes that have the same pages, and stay for some rounds of readings."""
    import os
    import time

    data = b"x" * (params["mib"] << 20)
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            time.sleep(params["seconds"])
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return {"out": len(data)}


def load(params):
    """Leave something in the worker that outlives the attempt, as a cached model does."""
    import sys

    sys.maze_test_cache = b"x" * (params["mib"] << 20)
    return {"out": 1}


def look(params):
    """Say whether it runs where `load` ran, and stay for some rounds of readings."""
    import sys
    import time

    time.sleep(params["seconds"])
    return {"out": len(getattr(sys, "maze_test_cache", b""))}


def send(head: FakeHead, lease: int, code: Code, mem_mib: int, **params: object) -> None:
    head.send(code)
    head.send(*assign(assignment(lease, code, params, claim=Claim(10, mem_mib))))


def assert_ended_for_memory(outcome: Outcome, claim: int, took: int) -> None:
    error = outcome.error
    assert (outcome.status, error.kind, error.type_name, error.oom) == (FAILED, "memory", "MemoryExceeded", False)
    assert claim + 64 < error.peak_mib <= took + 60, "it may be ended before it has all that it wants"
    assert f"took {error.peak_mib:,} MiB of memory, claimed {claim:,} MiB" in error.message
    assert "resources={'cpu_mem': " in error.message
    assert outcome.peak_rss_kib >= error.peak_mib * 1024 - 1024


def sleepers(process: NodeProcess) -> list[int]:
    return [pid for pid in process.marked() if b"time.sleep(1000)" in _cmdline(pid)]


def _cmdline(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_who_takes_more_than_it_claimed_is_killed_with_all_its_processes(tmp_path) -> None:
    with fake_head() as head, node("--head", head.endpoint, "--memory", "4000") as process:
        head.wait_node()
        code, end = code_of(hoard), tmp_path / "end"
        send(head, 1, code, 100, mib=200, path=str(end))
        send(head, 2, code, 90, mib=210, path=str(end), child=True)
        send(head, 3, code, 0, mib=220, path=str(end))
        send(head, 4, code, 250, mib=230, path=str(end))
        assert_ended_for_memory(head.wait_outcome(1), 100, 200)
        assert_ended_for_memory(head.wait_outcome(2), 90, 210)
        wait_for(lambda: not sleepers(process))
        assert not head.outcomes.keys() & {3, 4}, "without a claim, and within it, any task may go on"
        end.touch()
        assert outputs_of(head.wait_outcome(3)) == {"out": 220}
        assert outputs_of(head.wait_outcome(4)) == {"out": 230}
        assert head.outcomes[4].peak_rss_kib > 230 * 1024


def test_shared_pages_and_what_earlier_tasks_left_behind_are_not_charged() -> None:
    with fake_head() as head, node("--head", head.endpoint, "--memory", "4000", "--workers", "1"):
        head.wait_node()
        send(head, 1, code_of(share), 150, mib=120, seconds=1.6)
        assert head.wait_outcome(1).status == OK
        send(head, 2, code_of(load), 0, mib=300)
        assert head.wait_outcome(2).status == OK
        send(head, 3, code_of(look), 10, seconds=0.6)
        assert outputs_of(head.wait_outcome(3)) == {"out": 300 << 20}

"""Killed and stopped processes of a node: nothing stays behind, nobody is blamed wrongly, work goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from maze_protocol.messages import CRASHED, OK, Heartbeat, Outcome, Started
from maze_protocol.resources import Claim
from support.node_head import FakeHead, fake_head
from support.node_process import NodeProcess, node
from support.node_work import assign, assignment, code_of


def daemons(params):
    """Leave daemons of every kind behind, and wait."""
    import os
    import subprocess
    import time

    nested = "setsid sh -c 'setsid sleep 1000 & trap \"\" TERM HUP; sleep 1000; sleep 1000' & exit"
    for _ in range(2):
        subprocess.Popen(["sh", "-c", nested], start_new_session=True)
        subprocess.Popen(["sleep", "1000"])
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 4096)
        time.sleep(1000)
    time.sleep(1000)


def nap(params):
    import time

    time.sleep(params["seconds"])
    return {"out": params["seconds"]}


def sleepers(process: NodeProcess) -> list[int]:
    return [pid for pid in process.marked() if b"sleep" in _read(pid, "cmdline")]


def start_daemons(head: FakeHead, process: NodeProcess) -> None:
    head.wait_node()
    code = code_of(daemons)
    head.send(code)
    head.send(*assign(assignment(1, code)))
    head.wait_said(Started)
    head.serve(lambda: len(sleepers(process)) >= 8)


@pytest.mark.parametrize("stopped", [False, True])
def test_nothing_of_a_killed_agent_is_left_daemons_of_tasks_included(stopped: bool) -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        start_daemons(head, process)
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGKILL)
        process.process.wait()
        process.wait_gone(5)


def test_nothing_of_a_killed_spawner_is_left_and_its_tasks_are_not_blamed() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        start_daemons(head, process)
        spawner = process.spawner()
        workers = {pid for pid in process.marked() if _parent(pid) == spawner}
        os.kill(spawner, signal.SIGKILL)
        outcome = head.wait_outcome(1)
        assert not sleepers(process), "the outcome is said when nothing is left"
        assert not workers & set(process.marked())
        assert (outcome.status, outcome.error.kind) == (CRASHED, "node_lost")
        assert _runs(head, 2).status == OK


def test_a_spawner_that_is_told_to_end_takes_all_along() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        start_daemons(head, process)
        os.kill(process.spawner(), signal.SIGTERM)
        assert head.wait_outcome(1).status == CRASHED
        assert not sleepers(process)
        assert _runs(head, 2).status == OK


def test_a_stopped_spawner_is_replaced() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        assert _runs(head, 1).status == OK
        spawner = process.spawner()
        os.kill(spawner, signal.SIGSTOP)
        head.serve(lambda: process.spawner() not in (0, spawner), 30)
        assert _runs(head, 2, claim_new_worker=True).status == OK


def test_a_spawner_killed_under_load_loses_nothing() -> None:
    count = 200
    with fake_head() as head, node("--head", head.endpoint, "--cpus", "4") as process:
        head.wait_node()
        code = code_of(nap)
        head.send(code)
        head.send(*assign(*(assignment(n, code, {"seconds": 0.02}, grant=n % 4 + 1) for n in range(1, count + 1))))
        head.serve(lambda: len(head.outcomes) > 20)
        os.kill(process.spawner(), signal.SIGKILL)
        head.serve(lambda: len(head.outcomes) == count)
        lost = [outcome for outcome in head.outcomes.values() if outcome.status != OK]
        assert {outcome.error.kind for outcome in lost} <= {"node_lost"}, "nobody is blamed"
        assert len(lost) <= 4, "what ran, one for each worker"
        beat = head.serve(lambda: next((s for s in head.said[-9:] if isinstance(s, Heartbeat)), None))
        assert beat.load.fork_failures <= 1


def test_a_worker_killed_in_a_burst_is_replaced_at_once() -> None:
    """The head sends the task again as soon as it hears of the death; here it does so by hand."""
    with fake_head() as head, node("--head", head.endpoint, "--cpus", "2") as process:
        head.wait_node()
        code = code_of(nap)
        head.send(code)
        grants = {1: range(1, 101), 2: range(101, 201)}
        for grant, leases in grants.items():
            head.send(*assign(*(assignment(n, code, {"seconds": 0.01}, grant=grant) for n in leases)))
        head.serve(lambda: len(head.outcomes) > 20)
        worker = next(pid for pid in process.marked() if _parent(pid) == process.spawner())
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        crashed = head.serve(lambda: next((o for o in head.outcomes.values() if o.status == CRASHED), None))
        head.send(*assign(assignment(1001, code, {"seconds": 0.0}, grant=crashed.lease // 101 + 1)))
        head.send(*assign(assignment(1002, code, {"seconds": 0.0}, grant=1002)))
        assert head.wait_outcome(1002).status == OK
        took = time.monotonic() - killed
        print(f"killed to running again: {took * 1000:.0f} ms")
        assert took < 5, "measured 0.02 s; far less than any time limit"
        head.serve(lambda: len(head.outcomes) == 202)
        assert sum(outcome.status != OK for outcome in head.outcomes.values()) == 1


def _runs(head: FakeHead, lease: int, *, claim_new_worker: bool = False) -> Outcome:
    code = code_of(nap)
    head.send(code)
    claim = Claim(2000, 0) if claim_new_worker else Claim(10, 0)
    head.send(*assign(assignment(lease, code, {"seconds": 0.0}, claim=claim)))
    return head.wait_outcome(lease)


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""

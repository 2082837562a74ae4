"""A node's life: cancel, time limits, drain, lost heads, killed processes. Nothing may be left behind, ever."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from maze._daemon.connection import ConnectionInfo, write_connection
from maze_protocol.messages import (
    CANCELLED,
    CRASHED,
    OK,
    TIMED_OUT,
    Cancel,
    Disconnect,
    Drain,
    Goodbye,
    Heartbeat,
    LogChunk,
    LogPull,
    Recall,
    Reject,
    Release,
    Result,
    Shutdown,
    Started,
)
from support.node_head import FakeHead, fake_head
from support.node_process import NodeProcess, node, wait_for
from support.node_work import assign, assignment, code_of, outputs_of


def linger(params):
    """Say hello, start a child of its own session, and wait until there is a file, or for ever."""
    import os
    import subprocess
    import sys
    import time

    subprocess.Popen(["sh", "-c", "setsid sleep 1000 & sleep 1000"])
    print("waiting", flush=True)
    sys.stdout.flush()
    while not os.path.exists(params.get("until", "")):
        time.sleep(0.01)
    return {"out": 1}


def quick(params):
    return {"out": params.get("x")}


def start(head: FakeHead, lease: int = 1, **params) -> None:
    """Run `linger` and wait until the node says that it runs and its children exist."""
    code = code_of(linger)
    head.send(code)
    head.send(*assign(assignment(lease, code, params)))
    head.serve(
        lambda: any(item.lease == lease for said in head.said if isinstance(said, Started) for item in said.items)
    )
    head.send(LogPull(1, lease, 1, 0))
    head.serve(lambda: _pulled(head, lease))


def _pulled(head: FakeHead, lease: int) -> bool:
    if any(isinstance(said, LogChunk) and said.data for said in head.said):
        return True
    if any(isinstance(said, LogChunk) for said in head.said):
        head.said = [said for said in head.said if not isinstance(said, LogChunk)]
        head.send(LogPull(1, lease, 1, 0))
    return False


def alive_after(head: FakeHead, lease: int = 2) -> None:
    code = code_of(quick)
    head.send(code)
    head.send(*assign(assignment(lease, code, {"x": lease})))
    assert outputs_of(head.wait_outcome(lease)) == {"out": lease}


def test_cancel_ends_the_whole_family() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        start(head)
        wait_for(lambda: len(process.marked()) > 4)  # the shell says so before it has started its child
        head.send(Cancel((1,), "not needed", 5.0))
        outcome = head.wait_outcome(1)
        assert (outcome.status, outcome.error.kind, outcome.error.text) == (
            CANCELLED,
            "cancelled",
            "Cancelled: not needed",
        )
        assert outcome.stdout_tail == b"waiting\n"
        wait_for(
            lambda: not any(b"sleep" in _cmdline(pid) for pid in process.marked()), why=lambda: str(process.marked())
        )
        alive_after(head)


def test_a_task_that_ignores_sigterm_is_killed() -> None:
    def stubborn(params):
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        time.sleep(1000)

    with fake_head() as head, node("--head", head.endpoint):
        head.wait_node()
        code = code_of(stubborn)
        head.send(code)
        head.send(*assign(assignment(1, code)))
        head.wait_said(Started)
        head.send(LogPull(1, 1, 1, 0))
        head.serve(lambda: _pulled(head, 1))
        head.send(Cancel((1,), "stop", 0.3))
        assert head.wait_outcome(1, 5).status == CANCELLED


def test_finally_blocks_run_before_the_grace_is_over() -> None:
    def careful(params):
        import time
        from pathlib import Path

        try:
            print("ready", flush=True)
            time.sleep(1000)
        finally:
            Path(params["path"]).write_text("cleaned up")

    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        path = Path(f"/tmp/maze-test-{process.mark}")
        code = code_of(careful)
        head.send(code)
        head.send(*assign(assignment(1, code, {"path": str(path)}, timeout=0.5)))
        outcome = head.wait_outcome(1)
        assert (outcome.status, outcome.error.kind) == (TIMED_OUT, "timeout")
        assert outcome.error.message == "ran longer than its timeout of 0.5 s"
        assert path.read_text() == "cleaned up"
        path.unlink()


def test_a_silent_task_exceeds_its_idle_timeout_and_one_that_prints_does_not() -> None:
    def mutter(params):
        import time

        for _ in range(40):
            print("still here", flush=True)
            time.sleep(0.1)
        if params["silent"]:
            time.sleep(1000)
        return {"out": 1}

    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        code = code_of(mutter)
        head.send(code)
        head.send(*assign(*(assignment(n, code, {"silent": n == 1}, idle_timeout=3.0) for n in (1, 2))))
        assert head.wait_outcome(2).status == OK
        outcome = head.wait_outcome(1)
        assert (outcome.status, outcome.error.type_name) == (TIMED_OUT, "TaskTimeout")
        assert outcome.error.message == "wrote no output for its idle_timeout of 3 s"
        assert outcome.wall_ms >= 6500
        assert outcome.pid not in process.marked()


@pytest.mark.parametrize("how", ["cancel", "timeout", "crash"])
def test_an_outcome_means_that_nothing_of_the_attempt_is_left(how: str) -> None:
    def family(params):
        import os
        import subprocess
        import sys
        import time

        # Of its group and deaf to SIGTERM, and in sessions of their own, orphaned and with children.
        for _ in range(3):
            subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"])
            subprocess.Popen(["sh", "-c", "setsid sh -c 'sleep 1000 & setsid sleep 1000 & sleep 1000; true' & exit"])
        print("ready", flush=True)
        sys.stdout.flush()
        time.sleep(params["seconds"])
        os._exit(3)

    status = {"cancel": CANCELLED, "timeout": TIMED_OUT, "crash": CRASHED}[how]
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        code = code_of(family)
        head.send(code)
        params = {"seconds": 0.5 if how == "crash" else 1000}
        head.send(*assign(assignment(1, code, params, timeout=1.0 if how == "timeout" else 0.0)))
        head.wait_said(Started)
        if how == "cancel":
            wait_for(lambda: sum(b"sleep" in _cmdline(pid) for pid in process.marked()) > 9)
            head.send(Cancel((1,), "stop", 5.0))
        outcome = head.wait_outcome(1)
        assert not [pid for pid in process.marked() if b"sleep" in _cmdline(pid)]
        assert outcome.pid not in process.marked()
        assert outcome.status == status
        alive_after(head)


def test_leases_of_one_grant_run_in_turn_and_can_be_recalled() -> None:
    with fake_head() as head, node("--head", head.endpoint):
        head.wait_node()
        start(head)
        code = code_of(quick)
        head.send(code)
        head.send(*assign(*(assignment(number, code, grant=1) for number in (2, 3))))
        head.send(Recall((1, 2, 99)))
        assert head.wait_said(Release) == Release((2,), "recalled")
        head.send(Cancel((1, 3), "", 1.0))
        head.serve(lambda: Release((3,), "cancelled") in head.said)
        assert head.wait_outcome(1).status == CANCELLED


def noted(params):
    """Print, note in a file that it ran, and die if told to."""
    import os
    import signal

    print(f"{params['x']}:" + "." * params["length"])
    with open(params["path"], "a") as file:
        file.write(f"{params['x']} ")
    if params["dies"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"out": params["x"]}


def test_in_a_queue_only_who_had_begun_is_blamed_and_output_is_told_apart(tmp_path: Path) -> None:
    path, leases = tmp_path / "ran", range(1, 61)
    with fake_head() as head, node("--head", head.endpoint):
        head.wait_node()
        code = code_of(noted)
        head.send(code)
        items = [
            assignment(
                lease,
                code,
                {"x": lease, "path": str(path), "dies": lease in (20, 41), "length": 100_000 if lease == 33 else lease},
                grant=1,
            )
            for lease in leases
        ]
        head.send(*assign(*items))
        outcomes = [head.wait_outcome(lease) for lease in leases]
    assert [outcome.lease for outcome in outcomes if outcome.status != OK] == [20, 41]
    assert {outcomes[19].status, outcomes[40].status} == {CRASHED}
    assert path.read_text().split() == [str(lease) for lease in leases], "each once, in order"
    for outcome in outcomes:
        length = 100_000 if outcome.lease == 33 else outcome.lease
        text = f"{outcome.lease}:{'.' * length}\n".encode()
        assert (outcome.stdout_size, outcome.stdout_tail) == (len(text), text[-64 * 1024 :])
    begun = [outcome.started_at for outcome in outcomes]
    assert begun == sorted(begun)


@pytest.mark.parametrize("victim", ["agent", "spawner", "worker"])
def test_kill_9_leaves_nothing_behind(victim: str) -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        start(head)
        wait_for(lambda: len(process.marked()) > 4)  # the shell says so before it has started its child
        spawner = process.spawner()
        worker = next(item.pid for said in head.said if isinstance(said, Started) for item in said.items)
        os.kill({"agent": process.pid, "spawner": spawner, "worker": worker}[victim], signal.SIGKILL)
        if victim == "agent":
            process.process.wait()
            process.wait_gone(5)
            return
        outcome = head.wait_outcome(1, 5)
        assert outcome.status == CRASHED
        assert outcome.error.kind == ("crash" if victim == "worker" else "node_lost")
        wait_for(lambda: not any(b"sleep" in _cmdline(pid) for pid in process.marked()))
        alive_after(head)
        assert process.pid in process.marked()
        assert (spawner in process.marked()) is (victim == "worker")
        assert not {worker} & set(process.marked())


def test_agent_and_spawner_killed_together_take_the_workers_along() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        code = code_of(quick)
        head.send(code)
        head.send(*assign(assignment(1, code)))
        head.wait_outcome(1)
        spawner = process.spawner()
        for pid in (process.pid, spawner):
            os.kill(pid, signal.SIGKILL)
        process.process.wait()
        process.wait_gone(5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_finishes_what_runs_and_says_goodbye(number: int, tmp_path: Path) -> None:
    def released() -> list[int]:
        return sorted(lease for said in head.said if isinstance(said, Release) for lease in said.leases)

    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        start(head, until=str(tmp_path / "go"))
        code = code_of(quick)
        head.send(code)
        head.send(*assign(assignment(2, code, grant=1)))
        process.process.send_signal(number)
        head.wait_said(Drain)
        head.send(*assign(assignment(3, code)))
        head.serve(lambda: released() == [2, 3])
        (tmp_path / "go").touch()
        head.serve(lambda: process.process.poll() is not None)
        assert process.process.returncode == 0
        assert head.outcomes[1].status == OK
        assert released() == [2, 3]
        assert isinstance(head.wait_said(Goodbye), Goodbye)
        process.wait_gone()


def test_a_drain_that_takes_too_long_blames_the_node_not_the_task() -> None:
    with fake_head() as head, node("--head", head.endpoint, "--drain-timeout", "0.5") as process:
        head.wait_node()
        start(head)
        process.process.terminate()
        outcome = head.wait_outcome(1)
        assert (outcome.status, outcome.error.kind) == (CRASHED, "node_lost")
        head.serve(lambda: process.process.poll() is not None)
        process.wait_gone()


def test_a_second_signal_stops_at_once() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        start(head)
        process.process.terminate()
        head.wait_said(Drain)
        process.process.terminate()
        head.serve(lambda: process.process.poll() is not None, 5)
        assert process.process.returncode == 1
        process.wait_gone(5)


def test_the_head_can_send_a_node_home() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        head.send(Shutdown("maintenance", 5.0))
        head.serve(lambda: process.process.poll() is not None)
        assert process.process.returncode == 0
        process.wait_gone()


@pytest.mark.parametrize(
    "refusal", [Reject("version", "too old for us"), Disconnect("duplicate", "another has this name")]
)
def test_a_refused_node_says_why_and_exits(refusal: Reject | Disconnect) -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        head.wait_node()
        head.refuse(refusal)
        assert process.process.wait(10) == 78
        assert refusal.reason in process.stderr()
        process.wait_gone()


def test_a_head_that_ends_every_session_is_not_hammered() -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        times: list[float] = []

        def end_each_session() -> bool:
            if len(head.hellos) > len(times):
                times.append(time.monotonic())
                head.refuse(Disconnect("lost", "flapping"))
            return len(times) >= 6

        head.serve(end_each_session, 30)
        assert process.process.poll() is None
        # Delays of 0.1, 0.1, 0.1 to 0.2, … seconds: each at least half of what it may be.
        assert times[-1] - times[0] > 0.1 + 0.1 + 0.1 + 0.2 + 0.4 - 0.1


def test_a_node_that_may_not_wait_for_ever_leaves_with_75() -> None:
    with fake_head() as head, node("--head", head.endpoint, "--head-timeout", "0.5") as process:
        head.wait_node()
        start(head)
        head.close()
        assert process.process.wait(20) == 75
        assert "no head for 0.5 s" in process.stderr()
        process.wait_gone(5)
    with node("--head", head.endpoint, "--head-timeout", "0.5") as process:
        assert process.process.wait(20) == 75


def test_a_head_of_another_protocol_is_a_matter_of_configuration() -> None:
    with fake_head(major=99) as head, node("--head", head.endpoint) as process:
        head.wait_node()
        assert process.process.wait(20) == 78
        assert "99" in process.stderr()


def test_a_task_and_its_result_outlive_the_head(tmp_path: Path) -> None:
    with fake_head() as first, node("--head", first.endpoint) as process:
        first.wait_node()
        start(first, lease=1, until=str(tmp_path / "go"))
        start(first, lease=2)
        pid = process.pid
        first.close()
        (tmp_path / "go").touch()
        with fake_head(port=first.port, epoch=2, keep=((1, 11), (2, 12))) as head:
            hello = head.wait_node()
            assert (hello.pid, hello.last_session, hello.epoch) == (pid, (1 << 32) + 1, 1)
            assert {held.lease for held in hello.inventory} == {1, 2}
            outcome = head.wait_outcome(11)
            assert (outcome.status, outputs_of(outcome)) == (OK, {"out": 1})
            assert outcome.stdout_tail == b"waiting\n"
            head.send(Cancel((12,), "", 1.0))
            assert head.wait_outcome(12).status == CANCELLED


def test_what_the_head_drops_is_killed_without_an_outcome() -> None:
    with fake_head() as first, node("--head", first.endpoint) as process:
        first.wait_node()
        start(first)
        first.close()
        with fake_head(port=first.port, epoch=2, drop=(1,)) as head:
            head.wait_node()
            wait_for(lambda: not any(b"sleep" in _cmdline(pid) for pid in process.marked()))
            alive_after(head)
            assert 1 not in head.outcomes


def test_an_unacknowledged_outcome_is_sent_again() -> None:
    with fake_head() as first, node("--head", first.endpoint):
        first.auto_ack = False
        first.wait_node()
        code = code_of(quick)
        first.send(code)
        first.send(*assign(assignment(1, code, {"x": "y" * 100_000})))
        first.wait_outcome(1)
        first.close()
        with fake_head(port=first.port, epoch=2) as head:
            head.wait_node()
            outcome = head.wait_outcome(1)
            assert outputs_of(outcome, head.payloads[1]) == {"out": "y" * 100_000}


@pytest.mark.parametrize("disk", ["there", "missing"])
def test_results_beyond_the_memory_wait_on_disk_or_stay_in_memory(disk: str, tmp_path: Path) -> None:
    def large(params):
        return {"out": bytes([params["x"]]) * 2**20}

    place = tmp_path if disk == "there" else tmp_path / "missing"
    flags = ("--result-memory", "1", "--spool-dir", str(place), "--cpus", "2")
    with fake_head() as first, node("--head", first.endpoint, *flags) as process:
        first.auto_ack = False
        first.wait_node()
        code = code_of(large)
        first.send(code)
        first.send(*assign(*(assignment(number, code, {"x": number}, grant=1) for number in range(1, 5))))
        first.serve(lambda: len(first.outcomes) == 4)
        wait_for(lambda: bool(_spools(process.pid, place)) is (disk == "there"))
        assert list(tmp_path.iterdir()) == [], "nobody sees the files"
        first.close()
        with fake_head(port=first.port, epoch=2) as head:
            head.wait_node()
            head.serve(lambda: len(head.outcomes) == 4)
            for number in range(1, 5):
                values = outputs_of(head.outcomes[number], head.payloads[number])
                assert values == {"out": bytes([number]) * 2**20}
            head.serve(lambda: not _spools(process.pid, place))
        if disk == "missing":
            assert "a result stays in memory" in process.stderr()


def test_after_a_standstill_nothing_starts_on_what_the_head_said_before_it() -> None:
    with fake_head(lease_ttl=1.0) as head, node("--head", head.endpoint) as process:
        head.wait_node()
        code = code_of(quick)
        head.send(code)
        head.send(*assign(assignment(1, code, {"x": 1})))
        head.wait_outcome(1)
        os.kill(process.pid, signal.SIGSTOP)
        head.send(*assign(assignment(2, code, {"x": 2})))
        _pass(1.5)
        os.kill(process.pid, signal.SIGCONT)
        # The assignment and old answers have been in the node's socket for long; nothing new is answered as yet.
        _pass(0.7)
        answered = time.time()
        outcome = head.wait_outcome(2)
        assert outcome.status == OK
        assert outcome.started_at >= answered


def test_a_moved_head_is_found_through_the_connection_file(tmp_path: Path) -> None:
    file = tmp_path / "connection.json"

    def write(head: FakeHead) -> None:
        write_connection(file, ConnectionInfo("http://x", head.endpoint, "", "", os.getpid()))

    with fake_head() as first, node("--connection-file", str(file)) as process:
        wait_for(lambda: process.spawner())
        write(first)
        first.wait_node()
        first.close()
        with fake_head() as second:
            write(second)
            second.wait_node()


def test_heartbeats_carry_the_load() -> None:
    with fake_head() as head, node("--head", head.endpoint, "--cpus", "2"):
        head.wait_node()
        beat = head.serve(
            lambda: next((said for said in head.said if isinstance(said, Heartbeat) and said.load.workers), None)
        )
        assert beat.load.workers == 2
        assert beat.load.rss_mib > 5
        assert beat.load.mem_free_mib > 0


def test_output_of_a_running_task_can_be_followed(tmp_path: Path) -> None:
    with fake_head() as head, node("--head", head.endpoint):
        head.wait_node()
        start(head, until=str(tmp_path / "go"))
        chunk = next(said for said in head.said if isinstance(said, LogChunk) and said.data)
        assert (chunk.data, chunk.end, chunk.known) == (b"waiting\n", False, True)
        (tmp_path / "go").touch()
        head.wait_outcome(1)
        head.send(LogPull(7, 1, 1, 3))
        chunk = head.serve(
            lambda: next((said for said in head.said if isinstance(said, LogChunk) and said.request == 7), None)
        )
        assert (chunk.offset, chunk.data, chunk.end) == (3, b"ting\n", True)
        head.send(LogPull(8, 999, 1, 0))
        chunk = head.serve(
            lambda: next((said for said in head.said if isinstance(said, LogChunk) and said.request == 8), None)
        )
        assert not chunk.known


def test_results_travel_in_batches() -> None:
    with fake_head() as head, node("--head", head.endpoint, "--cpus", "2"):
        head.wait_node()
        code = code_of(quick)
        head.send(code)
        head.send(*assign(*(assignment(number, code, {"x": number}, grant=number % 2 + 1) for number in range(1, 501))))
        head.serve(lambda: len(head.outcomes) == 500)
        assert all(outputs_of(outcome) == {"out": lease} for lease, outcome in head.outcomes.items())
        assert sum(isinstance(said, Result) for said in head.said) <= 500


def test_bad_arguments_are_told_without_a_traceback(tmp_path: Path) -> None:
    process = NodeProcess("--head", "nonsense")
    try:
        assert process.process.wait(20) == 2
        text = process.stderr()
        assert "expected tcp://HOST:PORT" in text
        assert "Traceback" not in text
    finally:
        process.end()


def _pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end)


def _spools(pid: int, directory: Path) -> list[str]:
    """Return the process's open files in that directory."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(descriptor))
        except OSError:
            continue
    return [name for name in found if name.startswith(f"{directory}/")]


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_node_leaves_after_long_idleness() -> None:
    with fake_head() as head, node("--head", head.endpoint, "--idle-timeout", "1s") as process:
        head.wait_node()
        alive_after(head)
        assert head.wait_said(Goodbye).reason == "no work for 1 s"
        head.serve(lambda: process.process.poll() is not None)
        assert process.process.returncode == 0, process.stderr()
        process.wait_gone()


def test_a_node_leaves_before_its_job_ends(tmp_path: Path) -> None:
    """The end of the job comes from a fake `scontrol`."""
    script = tmp_path / "scontrol"
    script.write_text("#!/bin/sh\necho JobId=$3 RunTime=00:59:56 TimeLimit=01:00:00\n")
    script.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    with fake_head() as head, node("--head", head.endpoint, "--time-limit", "auto", env=env) as process:
        assert 0 < head.wait_node().remaining < 4
        assert head.wait_said(Drain).reason == "time limit"
        assert head.wait_said(Goodbye).reason == "time limit"
        head.serve(lambda: process.process.poll() is not None)
        log = process.stderr()
        assert process.process.returncode == 0, log
        assert "scontrol: TimeLimit - RunTime" in log
        process.wait_gone()


def test_detect_tells_where_numbers_come_from() -> None:
    import json
    import sys

    command = [sys.executable, "-m", "maze_node", "detect", "--json", "--cpus", "3", "--gpus", "2", "--gpu-mem", "500"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert (found["cpu"], found["origins"]["cpu"]) == (3.0, "--cpus")
    assert [gpu["mem"] for gpu in found["gpus"]] == [500, 500]
    assert found["cpu_mem"] > 0

"""What a task may do and what its author is told, through a real node and real workers."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from maze_protocol.messages import CRASHED, FAILED, OK, TIMED_OUT, Outcome, OutputDecl
from maze_protocol.resources import Claim, DeviceClaim
from support.node_head import FakeHead, fake_head
from support.node_process import node
from support.node_work import assign, assignment, code_of, outputs_of, raw_code, source_code


class Bench:
    """A head and a node that stay for the whole module."""

    def __init__(self, head: FakeHead) -> None:
        self.head = head
        self._leases = count(1)

    def run(self, code: Any, params: dict[str, Any] | None = None, outputs=("out",), **fields: Any) -> Outcome:
        if callable(code):
            code = code_of(code)
        lease = next(self._leases)
        self.head.send(code)
        self.head.send(*assign(assignment(lease, code, params, outputs, **fields)))
        return self.head.wait_outcome(lease)

    def values(self, code: Any, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        outcome = self.run(code, params, **more)
        assert outcome.status == OK, outcome.error
        return outputs_of(outcome, self.head.payloads[outcome.lease])


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with fake_head() as head, node("--head", head.endpoint, "--cpus", "2", "--gpus", "2", "--gpu-mem", "1000"):
        head.wait_node()
        yield Bench(head)


def test_a_coroutine_function_is_awaited(bench: Bench) -> None:
    async def task(params):
        import asyncio

        await asyncio.sleep(0)
        return {"out": params["x"] + 1}

    assert bench.values(task, {"x": 1}) == {"out": 2}


def test_large_and_pickled_values_pass_through(bench: Bench) -> None:
    import numpy

    def task(params):
        return {"out": params["array"] * 2, "shape": params["array"].shape}

    array = numpy.arange(200_000.0)
    values = bench.values(task, {"array": array}, outputs=("out", "shape"))
    assert (values["out"] == array * 2).all()
    assert values["shape"] == (200_000,)


def test_the_traceback_holds_the_users_frames_only(bench: Bench) -> None:
    def helper():
        raise ValueError("bad thing")

    def task(params):
        helper()

    outcome = bench.run(task)
    assert outcome.status == FAILED
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.type_name, outcome.error.message) == ("user", "ValueError", "bad thing")
    lines = outcome.error.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: bad thing"
    assert [line.split(" in ")[1] for line in lines if line.startswith("  File")] == ["task", "helper"]
    assert "maze_node" not in outcome.error.traceback


def test_asyncio_frames_are_not_the_users(bench: Bench) -> None:
    async def task(params):
        raise KeyError("k")

    error = bench.run(task).error
    assert error is not None
    assert "asyncio" not in error.traceback
    assert error.traceback.endswith("KeyError: 'k'")


@pytest.mark.parametrize(
    ("function", "last_line"),
    [
        (lambda params: sys.exit(3), "SystemExit: 3"),
        (lambda params: (_ for _ in ()).throw(KeyboardInterrupt()), "KeyboardInterrupt"),
        (lambda: None, None),
    ],
)
def test_whatever_is_raised_fails_the_task_and_spares_the_worker(bench: Bench, function, last_line) -> None:
    outcome = bench.run(function)
    assert (outcome.status, outcome.error.kind) == (FAILED, "user")
    assert outcome.error.traceback.startswith("Traceback (most recent call last):\n")
    if last_line is not None:
        assert outcome.error.traceback.splitlines()[-1] == last_line


def test_an_exception_names_its_class_and_what_that_inherits(bench: Bench) -> None:
    def task(params):
        class Flaky(ConnectionResetError):
            pass

        raise Flaky

    bases = bench.run(task).error.bases
    assert bases[0].endswith("task.<locals>.Flaky")
    assert bases[1:4] == ("builtins.ConnectionResetError", "builtins.ConnectionError", "builtins.OSError")
    loading = bench.run(source_code("def task(p):\n    pass\n[][1]\n")).error
    assert (loading.kind, loading.bases[:2]) == ("bad_code", ("builtins.IndexError", "builtins.LookupError"))


def test_a_hostile_exception_is_still_told(bench: Bench) -> None:
    def task(params):
        class Broken(Exception):
            def __str__(self):
                raise RuntimeError("no text")

        raise Broken

    error = bench.run(task).error
    assert error.type_name == "Broken"
    assert "failed" in error.message


@pytest.mark.parametrize(
    ("returned", "outputs", "text"),
    [
        (None, ("out",), "must return a dict with 'out', not NoneType"),
        ([1], ("out",), "not list"),
        ({"other": 1, "more": 2}, ("sum",), "missing output 'sum' (returned keys: 'other', 'more')"),
        ({}, ("sum",), "missing output 'sum' (returned keys: none)"),
        (
            {1: 2, "out": 1},
            ("out",),
            "strings of 1 to 256 printable characters, not a key of type int",
        ),
        ({"a\x1b[31m": 2, "out": 1}, ("out",), "not 'a\\x1b[31m'"),
        ({"out": "text"}, ("out:int",), "output 'out' is declared as int, the task returned str"),
        ({"out": True}, ("out:int",), "declared as int, the task returned bool"),
        ({"out": 1.5}, ("out:int",), "declared as int, the task returned float"),
    ],
)
def test_a_wrong_return_is_named(bench: Bench, returned, outputs, text) -> None:
    outcome = bench.run(lambda params: returned, outputs=outputs)
    assert (outcome.status, outcome.error.kind) == (FAILED, "bad_return")
    assert text in outcome.error.message


@pytest.mark.parametrize("declared", ["out:float", "out:any", "out:file", "out:file:image", "out"])
def test_an_int_passes_where_it_may(bench: Bench, declared: str) -> None:
    kind = declared.partition(":")[2]
    code = code_of(lambda params: {"out": 1})
    lease = assignment(10_000 + len(declared), code, outputs=("out",))
    lease = type(lease)(
        **{**{name: getattr(lease, name) for name in lease.__struct_fields__}, "outputs": (OutputDecl("out", kind),)}
    )
    bench.head.send(code)
    bench.head.send(*assign(lease))
    assert bench.head.wait_outcome(lease.lease).status == OK


def test_extra_outputs_are_kept_with_a_warning(bench: Bench) -> None:
    outcome = bench.run(lambda params: {"out": 1, "extra": 2})
    assert outputs_of(outcome) == {"out": 1, "extra": 2}
    assert outcome.warnings == ("undeclared output 'extra' was kept",)


def test_tasks_of_the_original_wire_may_return_anything(bench: Bench) -> None:
    assert bench.values(lambda params: 5, outputs=("out",), strict_outputs=False) == {"": 5}
    assert bench.values(lambda params: {"x": 5}, outputs=("out",), strict_outputs=False) == {"x": 5}


def test_what_cannot_be_pickled_is_named_and_the_worker_lives(bench: Bench) -> None:
    def task(params):
        import threading

        return {"out": {"deep": [threading.Lock()]}}

    outcome = bench.run(task)
    assert outcome.error.kind == "bad_return"
    assert "output 'out'['deep'][0]: an object of type _thread.lock cannot be sent" in outcome.error.message


class Bomb:
    """Does something when it is pickled, or when it is unpickled."""

    def __init__(self, call: Callable, *arguments: object, early: bool) -> None:
        self.call, self.arguments, self.early = call, arguments, early

    def __reduce__(self) -> tuple[Any, ...]:
        if self.early:
            self.call(*self.arguments)
        return self.call, self.arguments


BOMBS = [
    (os._exit, (3,), (CRASHED, "crash")),
    (time.sleep, (3_600,), (TIMED_OUT, "timeout")),
    (sys.exit, (3,), (FAILED, "user")),
    (bytearray, (1 << 60,), (FAILED, "bad_return")),
]


@pytest.mark.parametrize(("call", "arguments", "expected"), BOMBS)
def test_a_value_that_is_dangerous_to_pickle_ends_at_most_its_worker(bench: Bench, call, arguments, expected) -> None:
    bomb = Bomb

    def task(params):
        return {"out": bomb(call, *arguments, early=True)}

    outcome = bench.run(task, timeout=0.5)
    assert (outcome.status, outcome.error.kind) == expected
    assert bench.values(lambda params: {"out": 1}) == {"out": 1}


@pytest.mark.parametrize(("call", "arguments", "expected"), BOMBS)
def test_code_that_is_a_bomb_ends_at_most_its_worker(bench: Bench, call, arguments, expected) -> None:
    body = pickle.dumps((Bomb(call, *arguments, early=False), {}))
    outcome = bench.run(raw_code("pickle", body), timeout=0.5)
    assert (outcome.status, outcome.error.kind.replace("bad_code", "bad_return")) == expected
    assert bench.values(lambda params: {"out": 1}) == {"out": 1}


def test_outputs_beyond_the_limit_are_refused_with_numbers(bench: Bench) -> None:
    outcome = bench.run(lambda params: {"out": bytes(9 * 2**20)})
    assert outcome.error.kind == "too_large"
    assert "9,437,1" in outcome.error.message
    assert "8,388,608" in outcome.error.message


def test_source_text_runs_whole(bench: Bench) -> None:
    text = """
    import math
    FACTOR = 3

    @task(inputs=["x"], outputs=["out"])
    def area(params):
        return {"out": helper(params["x"]) * FACTOR}

    def helper(x):
        return math.floor(x)
    """
    assert bench.values(source_code(text), {"x": 2.5}) == {"out": 6}


@pytest.mark.parametrize(
    ("text", "type_name"),
    [
        ("def broken(:", "SyntaxError"),
        ("x = 1", "NoFunction"),
        ("import nothing_like_it\ndef f(p): pass", "ModuleNotFoundError"),
    ],
)
def test_source_that_cannot_be_loaded(bench: Bench, text: str, type_name: str) -> None:
    error = bench.run(source_code(text)).error
    assert (error.kind, error.type_name) == ("bad_code", type_name)


def test_source_tracebacks_show_the_line(bench: Bench) -> None:
    error = bench.run(source_code("def f(params):\n    return 1 / 0\n", "f")).error
    assert 'File "<task f>", line 2, in f\n    return 1 / 0' in error.traceback


def test_another_python_is_refused_before_unpickling(bench: Bench) -> None:
    error = bench.run(raw_code("pickle", b"\x01\x03\x63 never looked at", python=(3, 99))).error
    assert error.kind == "python_mismatch"
    assert "3.99" in error.message


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x01\x03\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09"])
def test_garbage_code_is_a_failure_with_a_reason(bench: Bench, body: bytes) -> None:
    error = bench.run(raw_code("pickle", body)).error
    assert error.kind == "bad_code"
    assert error.message


def test_a_missing_library_is_named_with_a_hint(bench: Bench) -> None:
    def task(params):
        import surely_not_installed  # noqa: F401

    error = bench.run(task).error
    assert error.type_name == "ModuleNotFoundError"
    assert "No module named 'surely_not_installed' (it must be installed on the node" in error.traceback


@pytest.mark.parametrize(
    ("function", "name", "code"),
    [
        (lambda params: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL", None),
        (lambda params: os.kill(os.getpid(), signal.SIGABRT), "SIGABRT", None),
        (lambda params: os._exit(0), "", 0),
        (lambda params: os._exit(7), "", 7),
    ],
)
def test_a_dead_worker_is_a_crash_with_its_cause(bench: Bench, function: Callable, name: str, code: int | None) -> None:
    outcome = bench.run(function)
    assert (outcome.status, outcome.error.kind, outcome.error.type_name) == (CRASHED, "crash", "WorkerCrashed")
    assert (outcome.error.signal, outcome.error.exit_code) == (name, code)
    assert outcome.error.message.startswith(name or f"exit code {code}")


def test_a_segmentation_fault_tells_where(bench: Bench) -> None:
    def task(params):
        import ctypes

        ctypes.string_at(0)

    error = bench.run(task).error
    assert error.signal == "SIGSEGV"
    assert "Segmentation fault" in error.stderr_tail
    assert "in task" in error.stderr_tail
    lines = error.text.splitlines()
    assert lines[0] == "The end of its stderr:"
    assert any("Segmentation fault" in line for line in lines)
    assert lines[-1].startswith(
        "WorkerCrashed: SIGSEGV (the worker process was killed by it; peak memory of the worker "
    )


def test_output_of_c_and_of_children_is_captured_and_attributed(bench: Bench) -> None:
    def loud(params):
        import ctypes
        import subprocess
        import sys

        print("python", params["x"])
        sys.stderr.write("error text")
        ctypes.CDLL(None).puts(b"from C")
        subprocess.run(["sh", "-c", "echo child"], check=True)
        os.write(1, b"raw\xff")
        return {"out": 1}

    for number in range(3):
        outcome = bench.run(loud, {"x": number})
        assert sorted(outcome.stdout_tail.split(b"\n")) == sorted(
            [f"python {number}".encode(), b"from C", b"child", b"raw\xff"]
        )
        assert outcome.stderr_tail == b"error text"
        assert outcome.stdout_size == len(outcome.stdout_tail)


def test_much_output_keeps_the_last_64_kib(bench: Bench) -> None:
    def task(params):
        for number in range(100_000):
            print(number)
        return {"out": 1}

    outcome = bench.run(task)
    assert outcome.stdout_size == len("".join(f"{number}\n" for number in range(100_000)))
    assert len(outcome.stdout_tail) == 65_536
    assert outcome.stdout_tail.endswith(b"99999\n")


def test_an_attempt_leaves_no_trace_in_the_worker(bench: Bench, tmp_path) -> None:
    def dirty(params):
        import signal
        import sys

        os.chdir(params["dir"])
        os.environ["LEFT_BEHIND"] = "1"
        os.umask(0o777)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        sys.stdout = None
        os.close(1)
        return {"out": os.getpid()}

    def look(params):
        import signal

        print("seen")
        umask = os.umask(0)
        os.umask(umask)
        handler = signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        return {"out": (os.getpid(), os.getcwd(), os.environ.get("LEFT_BEHIND"), umask == 0o777, handler)}

    first = bench.values(dirty, {"dir": str(tmp_path)}, claim=Claim(3000, 0))["out"]
    outcome = bench.run(look, claim=Claim(3000, 0))
    pid, cwd, variable, umask, handler = outputs_of(outcome)["out"]
    assert pid == first, "the worker was not used again"
    assert (cwd != str(tmp_path), variable, umask, handler) == (True, None, False, True)
    assert outcome.stdout_tail == b"seen\n"


@pytest.mark.parametrize("leftover", ["thread", "child", "daemon"])
def test_a_worker_with_leftovers_is_not_used_again(bench: Bench, leftover: str) -> None:
    def leave(params):
        import subprocess
        import threading

        if params["what"] == "thread":
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            return {"out": os.getpid()}
        command = ["sleep", "1000"] if params["what"] == "child" else ["sh", "-c", "setsid sleep 1000 & echo $!"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        return {"out": (os.getpid(), process.pid if params["what"] == "child" else int(process.stdout.readline()))}

    def where(params):
        return {"out": os.getpid()}

    left = bench.values(leave, {"what": leftover}, claim=Claim(7000, 0))["out"]
    assert bench.values(where, claim=Claim(7000, 0))["out"] != (left if leftover == "thread" else left[0])
    if leftover != "thread":
        bench.head.serve(lambda: not os.path.exists(f"/proc/{left[1]}"), 5)


def test_the_worker_sees_its_devices_and_threads_before_user_code(bench: Bench) -> None:
    def look(params):
        return {"out": [os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")]}

    assert bench.values(look)["out"] == ["", "1"]
    assert bench.values(look, claim=Claim(2000, 0))["out"] == ["", "2"]
    devices = (DeviceClaim(0, 1000, 0), DeviceClaim(1, 500, 100))
    assert bench.values(look, claim=Claim(1000, 0, devices))["out"] == ["0,1", "1"]
    assert bench.values(look, claim=Claim(1000, 0, (DeviceClaim(1, 1000, 0),)))["out"] == ["1", "1"]


def test_a_forked_child_that_falls_out_of_the_task_does_no_harm(bench: Bench) -> None:
    def task(params):
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        return {"out": "parent" if pid else "child"}

    assert bench.values(task)["out"] == "parent"


def test_the_task_socket_is_out_of_reach(bench: Bench) -> None:
    def task(params):
        for descriptor in range(3, 200):
            try:
                os.write(descriptor, b"garbage")
            except OSError:
                continue
        os.closerange(3, 60)
        return {"out": os.read(0, 1)}

    assert bench.values(task)["out"] == b""


def test_costs_are_measured_per_attempt(bench: Bench) -> None:
    def hungry(params):
        import time

        data = bytearray(80 * 2**20)
        data[::4096] = b"x" * len(data[::4096])
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        return {"out": len(data)}

    first = bench.run(hungry, claim=Claim(5000, 0))
    second = bench.run(lambda params: {"out": 1}, claim=Claim(5000, 0))
    assert first.pid == second.pid
    assert first.peak_rss_kib > 80 * 1024 > second.peak_rss_kib > 1024
    assert first.cpu_ms >= 50 > second.cpu_ms
    assert first.wall_ms >= 50 > second.wall_ms >= 0


def test_user_modules_travel(bench: Bench, tmp_path, monkeypatch) -> None:
    (tmp_path / "users_helpers.py").write_text(
        "import users_constants\nclass Point:\n    def __init__(self, x): self.x = x\n"
        "def triple(x): return users_constants.THREE * x\n"
    )
    (tmp_path / "users_constants.py").write_text("THREE = 3\n")
    (tmp_path / "users_tasks.py").write_text(
        "from users_helpers import Point, triple\nimport users_helpers\n"
        "def task(params):\n    from users_constants import THREE\n"
        "    return {'out': users_helpers.triple(2) + triple(1) + THREE, 'point': Point(params['x'])}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import users_helpers
    import users_tasks

    values = bench.values(users_tasks.task, {"x": users_helpers.Point(4)}, outputs=("out", "point"))
    assert values["out"] == 12
    assert type(values["point"]) is users_helpers.Point
    assert type(values["point"].x) is users_helpers.Point

"""Functions as bytes: they run in a process that has none of the user's files."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maze import task
from maze._values import ValueDecodeError, ValueEncodeError, dump_function, encode, load_function
from maze._values.functions import _undecorated
from maze._values.modules import is_user_module

LOCK = threading.Lock()
OFFSET = 5


def elsewhere(function: Any, *arguments: Any) -> Any:
    """Run a function in a fresh process in another directory; results as JSON."""
    code = (
        "import asyncio, inspect, json, sys; from maze._values import load_function\n"
        "f = load_function(sys.stdin.buffer.read()); r = f(*json.loads(sys.argv[1]))\n"
        "print(json.dumps(asyncio.run(r) if inspect.iscoroutine(r) else r))"
    )
    command = [sys.executable, "-P", "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, input=dump_function(function), capture_output=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_globals_closures_lambdas_coroutines_and_recursion() -> None:
    step = 3

    def closure(x: int) -> int:
        return x + step + OFFSET

    async def coroutine(x: int) -> int:
        return closure(x)

    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    assert elsewhere(closure, 1) == 9
    assert elsewhere(coroutine, 1) == 9
    assert elsewhere(lambda x: x * OFFSET, 2) == 10
    assert elsewhere(factorial, 5) == 120


def test_a_decorated_function_travels_plain() -> None:
    @task(inputs=["x"], outputs=["y"])
    def decorated(params):
        return {"y": params["x"] + OFFSET}

    plain = _undecorated(decorated)
    assert plain is not decorated
    assert not [name for name in vars(plain) if "maze" in name]
    assert (plain.__name__, plain.__qualname__, plain.__module__) == (
        "decorated", decorated.__qualname__, decorated.__module__,
    )  # fmt: skip
    assert b"TaskMetadata" not in dump_function(decorated)
    assert elsewhere(decorated, {"x": 1}) == {"y": 6}
    assert decorated({"x": 1}) == {"y": 6}


def test_defaults_and_keywords_survive() -> None:
    def f(a: int, b: int = 2, *, c: int = 3) -> list[int]:
        return [a, b, c]

    f.__maze_task__ = "stripped"  # type: ignore[attr-defined]
    f.kept = 1  # type: ignore[attr-defined]
    loaded = load_function(dump_function(f))
    assert loaded(1) == [1, 2, 3]
    assert vars(loaded) == {"kept": 1}


def _project(folder: Path) -> None:
    package = folder / "proj_pkg"
    package.mkdir()
    (package / "__init__.py").write_text("from proj_pkg.alpha import A\nNAME = 'pkg'\n")
    (package / "alpha.py").write_text(
        "import threading\nfrom proj_pkg import beta\nL = threading.Lock()\n"
        "class A:\n    def go(self): return beta.b() + 1\n"
    )
    (package / "beta.py").write_text(
        "import proj_pkg.alpha\ndef b(): return 1\ndef c(): return proj_pkg.alpha.A().go()\n"
    )
    (folder / "proj_lazy.py").write_text("def lazy():\n    from proj_pkg import beta\n    return beta.c()\n")
    (folder / "proj_tasks.py").write_text(
        "import proj_pkg\nfrom proj_pkg.alpha import A\n"
        "def task(x):\n    import proj_lazy\n    from proj_pkg.beta import b\n"
        "    return [A().go(), b(), proj_lazy.lazy(), proj_pkg.NAME, proj_pkg.A().go(), x]\n"
        "def relative(x):\n    import proj_pkg.beta as beta\n    return beta.c() + x\n"
    )  # fmt: skip


def test_user_modules_travel_with_cycles_lazy_imports_and_locks(tmp_path: Path, monkeypatch: Any) -> None:
    _project(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import proj_tasks

    assert elsewhere(proj_tasks.task, 9) == proj_tasks.task(9) == [2, 1, 2, "pkg", 2, 9]
    assert elsewhere(proj_tasks.relative, 1) == 3


def test_registering_modules_leaves_cloudpickle_as_it_was(tmp_path: Path, monkeypatch: Any) -> None:
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    threads = [threading.Thread(target=lambda: dump_function(lambda: OFFSET)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cloudpickle.list_registry_pickle_by_value() == before


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("__main__", True),
        ("json", False),
        (np.__name__, False),
        ("maze.client", False),
        ("maze_protocol.ids", False),
        (__name__, True),
    ],
)
def test_what_counts_as_the_users_module(name: str, user: bool) -> None:
    assert is_user_module(name) is user


def test_what_pip_installed_into_another_folder_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install --target`: cloudpickle itself once travelled by value from there, without end."""
    record = tmp_path / "tool-1.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("tool_of_pip/__init__.py,sha256=x,0\nsingle_of_pip.py,sha256=y,0\ntool-1.0.dist-info/RECORD,,\n")
    (tmp_path / "tool_of_pip").mkdir()
    for file in ("tool_of_pip/__init__.py", "single_of_pip.py", "helper_beside_it.py"):
        (tmp_path / file).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name, user in (("tool_of_pip", False), ("single_of_pip", False), ("helper_beside_it", True)):
        monkeypatch.delitem(sys.modules, name, raising=False)
        __import__(name)
        assert is_user_module(name) is user
        del sys.modules[name]


def test_what_cannot_travel_is_named() -> None:
    def uses_lock(params):
        with LOCK:
            return params

    with pytest.raises(ValueEncodeError) as caught:
        dump_function(uses_lock)
    assert (caught.value.path, caught.value.type_name) == ("['LOCK']", "_thread.lock")


def test_a_captured_variable_is_named() -> None:
    lock = threading.Lock()

    def captures(params):
        return lock

    with pytest.raises(ValueEncodeError, match=r"_thread.lock at \['lock'\]"):
        dump_function(captures)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "truncated|decode"),
        (b"\x00" * 40, "decode"),
        (encode((1,))[1], "expected a function, got tuple"),
        (encode(("not callable", {}))[1], "expected a function, got str"),
        (pickle.dumps(7), "expected a function, got int"),
    ],
)
def test_bytes_that_hold_no_function_are_refused(body: bytes, told: str) -> None:
    with pytest.raises(ValueDecodeError, match=told):
        load_function(body)


def test_the_originals_bare_pickle_of_a_function_is_read() -> None:
    import cloudpickle

    assert load_function(cloudpickle.dumps(lambda params: {"y": params["x"] + 1}))({"x": 1}) == {"y": 2}
    with pytest.raises(ValueDecodeError, match="expected a function, got int"):
        load_function(cloudpickle.dumps(7))

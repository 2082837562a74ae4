"""Workers that start with what is slow to import, and a node that works whatever it was told to import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from maze_protocol.messages import OK
from support.node_head import FakeHead, fake_head
from support.node_process import NodeProcess, node, wait_for
from support.node_work import assign, assignment, code_of, outputs_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")


def look(params):
    import os
    import sys
    import threading

    return {"out": [name in sys.modules for name in params["names"]], "threads": threading.active_count(),
            "environ": os.environ.get("MAZE_PRELOAD_TROUBLE")}  # fmt: skip


def seen(head: FakeHead, *names: str) -> dict[str, Any]:
    code = code_of(look)
    head.send(code)
    head.send(*assign(assignment(1, code, {"names": list(names)}, ("out", "threads", "environ"))))
    outcome = head.wait_outcome(1)
    assert outcome.status == OK, outcome.error
    return outputs_of(outcome, head.payloads[1])


def said(process: NodeProcess, text: str) -> None:
    log: list[str] = []

    def look_again() -> bool:
        log.append(process.stderr())
        return text in "".join(log)

    wait_for(look_again, 20, lambda: "".join(log))


def test_what_is_preloaded_is_there_and_what_is_refused_is_named(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    flags = ("--cpus", "2", "--preload", "numpy,no_such_module,busy,xml.dom")
    with fake_head() as head, node("--head", head.endpoint, *flags, env={"PYTHONPATH": path(tmp_path)}) as process:
        head.wait_node()
        assert seen(head, "numpy", "busy", "xml.dom") == {
            "out": [True, False, True], "threads": 1, "environ": None,
        }  # fmt: skip
        said(process, "workers do not start with busy (--preload): it started 1 thread")


def test_a_module_that_kills_its_interpreter_costs_nothing_but_itself(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text("import os\nos.abort()\n")
    flags = ("--cpus", "2", "--preload", "deadly")
    with fake_head() as head, node("--head", head.endpoint, *flags, env={"PYTHONPATH": path(tmp_path)}) as process:
        head.wait_node()
        assert seen(head, "deadly")["out"] == [False]
        said(process, "workers start without deadly (--preload): the spawner died of it")


def path(folder: Path) -> str:
    return ":".join([str(folder), *(entry for entry in sys.path if entry)])

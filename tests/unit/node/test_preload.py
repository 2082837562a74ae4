"""What may be loaded before workers are forked. Each in an interpreter of its own: what is imported stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")

TELL = "import json, sys; from maze_node.preload import import_all; print(json.dumps(import_all(sys.argv[1:])))"


def preload(folder: Path, *names: str) -> tuple[list[str], dict[str, str], list[str] | None]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {TELL}", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, absent, refused = json.loads(done.stdout)
    return loaded, absent, refused


def test_modules_that_only_define_things_are_loaded(tmp_path: Path) -> None:
    assert preload(tmp_path, "json", "numpy", "xml.dom") == (["json", "numpy", "xml.dom"], {}, None)


def test_what_cannot_be_imported_is_named_and_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('not today')")
    loaded, absent, refused = preload(tmp_path, "no_such_module", "broken", "json")
    assert (loaded, refused) == (["json"], None)
    assert "No module named 'no_such_module'" in absent["no_such_module"]
    assert absent["broken"] == "SystemExit: not today"


def test_a_module_that_starts_a_thread_is_refused(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    loaded, _, refused = preload(tmp_path, "json", "busy", "xml.dom")
    assert loaded == ["json", "busy"]
    assert refused == ["busy", "it started 1 thread"]


def test_an_open_device_means_that_cuda_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maze_node import preload as module

    device = tmp_path / "nvidiactl"
    device.touch()
    monkeypatch.setattr(module, "_DEVICES", str(device))
    monkeypatch.setattr(module, "_TASKS", str(tmp_path))  # one entry: other tests' threads do not count here
    assert module.trouble() == ""
    with device.open():
        assert module.trouble() == "it initialised CUDA"


def test_numeric_libraries_load_with_one_thread_and_the_environment_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "looks.py").write_text("import os\nassert os.environ['OMP_NUM_THREADS'] == '1'\n")
    look = "import os; assert 'OMP_NUM_THREADS' not in os.environ; from maze_node.preload import import_all; "
    check = "assert import_all(['looks']).loaded; assert 'OMP_NUM_THREADS' not in os.environ"
    command = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {look}{check}"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", command], env=environment, check=True)
